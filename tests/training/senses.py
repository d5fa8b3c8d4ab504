"""Small tables of coloured squares, tones and clips, for tests of what aligns them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {
    "red": (220, 30, 30), "green": (30, 190, 30), "blue": (30, 30, 220), "yellow": (230, 230, 30),
    "black": (10, 10, 10), "pink": (250, 150, 200), "grey": (128, 128, 128), "brown": (120, 70, 20),
}  # fmt: skip
SMALL = [
    "image.size=16", "image.patch=8", "image.dim=32", "image.layers=1", "image.heads=2", "image.feedforward=64",
    "text.dim=32", "text.layers=1", "text.heads=2", "text.feedforward=64", "text.vocab=300", "text.context=16",
    "width=32", "batch.rows=16",
]  # fmt: skip
"""Of a recipe that learns in seconds."""


def write_rows(path: Path, header: list[str], rows: list[list[str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def square(name: str, rng: np.random.Generator, size: int = 16) -> Image.Image:
    """One colour, a little other each time."""
    colour = np.clip(np.array(COLOURS[name]) + rng.integers(-12, 13, 3), 0, 255)
    return Image.fromarray(np.broadcast_to(colour, (size, size, 3)).astype(np.uint8))


def coloured_squares(folder: Path, count: int = 120) -> Path:
    """A table of squares and their names."""
    rng, rows = np.random.default_rng(0), []
    for number in range(count):
        name = list(COLOURS)[number % len(COLOURS)]
        square(name, rng).save(folder / f"{number}.png")
        rows.append([f"{number}.png", f"a {name} square"])
    return write_rows(folder / "pairs.csv", ["photo", "caption"], rows)


def tones(folder: Path, count: int = 48) -> Path:
    """A table of squares, their names, and a tone for each colour; some rows lack one of them."""
    import soundfile

    rng, rows = np.random.default_rng(0), []
    for number in range(count):
        which = number % 4
        name = list(COLOURS)[which]
        square(name, rng).save(folder / f"{number}.png")
        wave = 0.5 * np.sin(2 * np.pi * 300 * (which + 1) * np.arange(4000) / 16_000 + rng.random())
        soundfile.write(folder / f"{number}.wav", wave.astype(np.float32), 16_000)
        row = [f"{number}.png", f"{number}.wav", f"a {name} square"]
        if number % 5 == 4:
            row[number // 5 % 3] = ""
        rows.append(row)
    return write_rows(folder / "three.csv", ["photo", "sound", "caption"], rows)


def frames(folder: Path, count: int = 16) -> Path:
    """A table of clips that turn from one colour to another, and their names."""
    import av

    rng, rows = np.random.default_rng(0), []
    for number in range(count):
        first, then = (list(COLOURS)[(number + shift) % 4] for shift in (0, 1))
        with av.open(str(folder / f"{number}.mkv"), "w") as out:
            stream = out.add_stream("ffv1", rate=8)
            stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
            for moment in range(8):
                picture = np.asarray(square(first if moment < 4 else then, rng))
                out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
            out.mux(stream.encode())
        rows.append([f"{number}.mkv", f"{first}, then {then}"])
    return write_rows(folder / "clips.csv", ["clip", "caption"], rows)
