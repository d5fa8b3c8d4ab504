"""Make the digits that the tour fuses: pictures of handwritten ones and sounds of spoken ones, and a table of both.

    python -m scripts.make_digits

Writes `src/sensorium/assets/digits/digits.zip`: 600 rows, each with one of 600 pictures (opencv-doc, Apache-2.0) and
one of 300 sounds that a synthesiser (espeak-ng) speaks in 30 voices. Every third picture is hidden for the most part
and every third sound is drowned in noise, so that neither sense is enough (as in AV-MNIST, Vielzeuf et al. 2018).
"""

from __future__ import annotations

import csv
import io
import random
import zipfile
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from benchmarks.data_senses import WORDS, table
from sensorium.modalities.audio import read_audio

OUT = Path(__file__).parents[1] / "src" / "sensorium" / "assets" / "digits" / "digits.zip"
RATE, A_DIGIT, VOICES = 8000, 60, 30


def main() -> None:
    """Choose, spoil, and pack."""
    source = table("digits")
    chance, noise = random.Random(0), np.random.default_rng(0)
    with source.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    voices = sorted({row["voice"] for row in rows} - {"a real speaker"})[:: 79 // VOICES][:VOICES]
    by_digit = {word: [row for row in rows if row["digit"] == word] for word in WORDS}
    spoken = {(row["voice"], row["digit"]): source.parent / row["sound"] for row in rows}
    OUT.parent.mkdir(parents=True, exist_ok=True)
    made: list[dict[str, str]] = []
    with zipfile.ZipFile(OUT, "w", zipfile.ZIP_DEFLATED) as packed:
        for word in WORDS:
            for number, row in enumerate(chance.sample(by_digit[word], A_DIGIT)):
                voice = chance.choice([name for name in voices if (name, word) in spoken])
                clean = chance.random() > 1 / 3, chance.random() > 1 / 3
                picture = _picture(source.parent / row["image"], noise, hidden=not clean[0])
                image, sound = f"{word}-{number}.png", f"{word}-{number}.ogg"
                packed.writestr(_entry(image), _png(picture))
                packed.writestr(_entry(sound), _ogg(spoken[voice, word], noise, drowned=not clean[1]))
                made.append({"image": image, "sound": sound, "voice": voice, "digit": word})
        chance.shuffle(made)
        listed = io.StringIO()
        writer = csv.DictWriter(listed, list(made[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(made)
        packed.writestr(_entry("digits.csv"), listed.getvalue())
    print(f"{OUT}: {len(made)} rows, {OUT.stat().st_size / 1e6:.1f} MB")


def _entry(name: str) -> zipfile.ZipInfo:
    """With a date of its own, so that the same files make the same archive."""
    entry = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _picture(path: Path, noise: np.random.Generator, *, hidden: bool) -> np.ndarray:
    pixels = np.array(Image.open(path).convert("L")).astype(np.float64)
    if hidden:
        top = int(noise.integers(0, 8))
        pixels[top : top + 12] = noise.uniform(0, 255, (12, pixels.shape[1]))
    return pixels.astype(np.uint8)


def _png(pixels: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "PNG", optimize=True)
    return data.getvalue()


def _ogg(path: Path, noise: np.random.Generator, *, drowned: bool) -> bytes:
    sound = read_audio(path, rate=RATE).numpy()
    loud = np.flatnonzero(np.abs(sound) > 0.02 * np.abs(sound).max())
    sound = sound[loud[0] : loud[-1] + 1]
    level = 1.5 if drowned else 0.05
    sound = sound / np.abs(sound).max() * 0.5 + noise.normal(0, 0.1 * level, len(sound))
    data = io.BytesIO()
    soundfile.write(data, np.clip(sound, -1, 1).astype(np.float32), RATE, format="OGG", subtype="VORBIS")
    return data.getvalue()


if __name__ == "__main__":
    main()
