"""Sounds that Whisper's encoder hears."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import transformers as hf

from sensorium.data.tables.table import read_table
from sensorium.tasks.fused import FusedHandle
from sensorium.training.fuse import fuse
from tests.inference.speech import saved, whisper
from tests.training.fused import SMALL, toy


def test_an_encoder_of_speech_is_a_start_and_its_folder_stays_whispers(tmp_path: Path) -> None:
    saved(whisper(), tmp_path / "whisper", seed=1)
    table = toy(tmp_path / "toy", rows=40)
    columns = {"picture": "ignore", "note": "ignore", "size": "ignore"}
    run = fuse(
        table, label="label", out=tmp_path / "run", columns=columns, audio_from=tmp_path / "whisper",
        overrides=[*SMALL, "run.steps=3"],
    )  # fmt: skip
    handle = FusedHandle.open(run.folder, device="cpu")
    x = handle.read(read_table(table))[0].batch(np.arange(4)).inputs["sound"].values
    assert x.shape == (4, 8, 32), "0.2 seconds, a whole number of patches; not Whisper's window"
    stock = hf.WhisperModel.from_pretrained(run.folder / "audio").eval()
    window = torch.full((4, 8, 100), float(x.min()))
    window[:, :, : x.shape[2]] = x
    with torch.inference_mode():
        encoder = handle.fused.model.encoder("sound")
        assert (encoder(window) - stock.encoder(window).last_hidden_state).abs().max() < 1e-4
    before = hf.WhisperModel.from_pretrained(tmp_path / "whisper").state_dict()
    after = stock.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("decoder."))
    assert not torch.equal(before["encoder.conv1.weight"], after["encoder.conv1.weight"])
    assert len(handle.predict(table)) == 40
