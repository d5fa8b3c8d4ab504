"""Clips, their frames and their sound, in a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sensorium.tasks.fused import FusedHandle
from sensorium.training.fuse import fuse
from tests.training.fused import SMALL, write

ROWS = 64


def clip(path: Path, *, bright: bool, high: bool) -> None:
    """Half a second of a square that is bright or dark, and a tone that is high or low."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as out:
        moving = out.add_stream("ffv1", rate=8)
        moving.width, moving.height, moving.pix_fmt = 16, 16, "bgr0"
        sound = out.add_stream("pcm_s16le", rate=16_000)
        for _ in range(4):
            picture = np.full((16, 16, 3), 200 if bright else 40, np.uint8)
            out.mux(moving.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        wave = (np.sin(2 * np.pi * (3000 if high else 300) * np.arange(8000) / 16_000) * 9000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
        frame.sample_rate = 16_000
        out.mux(sound.encode(frame))
        out.mux(moving.encode())
        out.mux(sound.encode())


def test_frames_and_sound_of_one_column_are_two_modalities(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = []
    for number in range(4):
        clip(tmp_path / f"{number}.mkv", bright=number > 1, high=number % 2 == 1)
    rng = np.random.default_rng(0)
    for number in range(ROWS):
        kind = number % 4
        rows.append({"clip": f"{kind}.mkv", "size": round(float(rng.normal()), 3), "label": "abcd"[kind]})
    table = write(tmp_path / "t.csv", rows)
    small = [*SMALL, "run.epochs=20", "clip.frames=2", "clip.layers=1", "batch.rows=16"]
    run = fuse(table, label="label", out=tmp_path / "run", overrides=small)
    assert run.schema["sound_tracks"] == ["clip"]
    assert run.metrics["accuracy"] > 0.9
    assert run.metrics["accuracy/clip"] < 0.8
    assert run.metrics["accuracy/clip (sound)"] < 0.8
    handle = FusedHandle.open(run.folder, device="cpu")
    assert handle.modalities == ("clip", "clip (sound)", "numbers")
    assert (run.folder / "video" / "config.json").is_file()
    assert (run.folder / "audio" / "config.json").is_file()
    found = handle.predict([{"clip": "1.mkv"}, {"size": 1.0}], root=tmp_path)
    assert found[0].label == "b"
    assert found[0].used == ("clip", "clip (sound)")
    assert found[1].missing == ("clip", "clip (sound)")
