"""The classic program and `fill_mask` agree on the token."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sensorium.tasks.model import load
from tests.inference.folders import bert, saved

PROGRAM = Path(__file__).parents[2] / "examples" / "fill_mask_classic.py"


def run(*arguments: str) -> str:
    done = subprocess.run([sys.executable, str(PROGRAM), *arguments], capture_output=True, check=True, timeout=120)
    return done.stdout.decode("utf-8").rstrip("\n")


def test_it_prints_what_fill_mask_gives(tmp_path) -> None:
    saved(bert(), tmp_path, "encoder")
    assert run(str(tmp_path)) == load(tmp_path).fill_mask("This is a [MASK] example.")[0].token


def test_it_prints_what_the_bundled_encoder_gives() -> None:
    assert run() == load("default:encoder").fill_mask("This is a [MASK] example.")[0].token
