"""A toy table: coloured squares, tones, words and numbers. Its label needs the square and the
tone."""

from __future__ import annotations

import csv
import wave
from pathlib import Path

import numpy as np
from PIL import Image

SMALL = [
    "picture.dim=32", "picture.layers=1", "picture.heads=2", "picture.size=16", "picture.patch=8",
    "picture.feedforward=64", "sound.dim=32", "sound.layers=1", "sound.heads=2", "sound.feedforward=64",
    "sound.mels=32", "text.dim=32", "text.layers=1", "text.heads=2", "text.feedforward=64", "text.vocab=300",
    "fusion.dim=32", "run.epochs=14", "run.eval_every=50", "run.save_every=100", "optim.lr=3e-3",
    "augment.crop=1.0", "augment.colour=0.0", "run.precision=fp32",
]  # fmt: skip


def toy(folder: Path, rows: int = 160, *, seed: int = 0) -> Path:
    """The table, t.csv: columns picture, sound, note, size, place, id, label (a, b, c, d)."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    table = []
    for i in range(rows):
        colour, tone = int(rng.integers(2)), int(rng.integers(2))
        pixels = np.array((220, 30, 30) if colour else (30, 30, 220)) + rng.integers(-30, 30, (16, 16, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{i}.png")
        time = np.arange(3200) / 16_000
        sound = 0.3 * np.sin(2 * np.pi * (400 if tone else 2500) * time) + 0.01 * rng.normal(size=3200)
        with wave.open(str(folder / f"{i}.wav"), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", ""))
            file.writeframes((sound * 32_000).astype("<i2").tobytes())
        words = " ".join(rng.choice(["a", "nice", "old", "day", "night", "house", "tree", "river"], 6))
        table.append({
            "id": f"row{i}", "picture": f"{i}.png", "sound": f"{i}.wav", "note": words,
            "size": round(float(rng.normal()), 3), "place": ("in", "out")[i % 2], "label": "abcd"[2 * colour + tone],
        })  # fmt: skip
    write(folder / "t.csv", table)
    return folder / "t.csv"


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def read(path: Path) -> list[dict[str, object]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        return [dict(row) for row in csv.DictReader(file)]
