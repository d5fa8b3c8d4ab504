"""Coloured squares with captions, a tiny language model, and a tiny tower of pictures."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sensorium.core.fresh import initialise_senses
from sensorium.core.sense_encoder import SenseEncoder, SenseModelConfig
from sensorium.families import clip
from sensorium.families.senses import write_senses
from tests.inference.eyes import SPEC
from tests.inference.folders import llama, saved

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220), "white": (240, 240, 240)}
SHORT = ["batch.tokens=256", "batch.seq_len=64", "run.eval_every=1000", "run.save_every=1000", "schedule.warmup=5"]


def squares(folder: Path, count: int = 64, seed: int = 0) -> Path:
    """A table of pictures of one colour each, somewhat different ones, and what they show."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, path = np.random.default_rng(seed), folder / "pairs.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "caption"])
        for number in range(count):
            name = list(COLOURS)[number % len(COLOURS)]
            pixels = np.array(COLOURS[name]) + rng.integers(-25, 25, (16, 16, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{seed}-{number}.png")
            rows.writerow([f"{seed}-{number}.png", f"a {name} one"])
    return path


def language(folder: Path) -> Path:
    torch.manual_seed(0)
    saved(llama(), folder, "decoder")
    return folder


def tower(folder: Path) -> Path:
    """A CLIP's tower of pictures with random weights, and its preprocessor."""
    torch.manual_seed(3)
    config = clip.image_tower(size=(16, 16), patch=(8, 8), dim=24, layers=2, heads=2, feedforward=48, projection=None)
    model = SenseEncoder(SenseModelConfig(tower=config))
    initialise_senses(model, std=0.1)
    folder.mkdir(parents=True, exist_ok=True)
    write_senses(folder, model, preprocessor=SPEC.to_dict())
    return folder
