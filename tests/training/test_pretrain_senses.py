"""`pretrain` makes encoders of pictures, sounds and clips without labels, which stock `transformers` opens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import sensorium as sm
from sensorium.data.sense_table import read_sense_table
from sensorium.errors import ConfigError, DataError, InputError
from sensorium.training.pretrain_senses import pretrain
from tests.training.senses import coloured_squares, frames, tones

hf = pytest.importorskip("transformers")
SIZES = [f"{kind}.{part}" for kind in ("image", "audio", "video") for part in ("dim=16", "layers=1", "heads=2")]
SMALL = [
    *SIZES, "image.size=16", "image.patch=4", "audio.mels=16", "audio.seconds=0.25", "audio.patch=8",
    "video.size=16", "video.patch=4", "video.frames=3", "decoder.dim=16", "decoder.layers=1", "decoder.heads=2",
    "batch.rows=8", "run.save_every=2", "run.eval_every=100",
]  # fmt: skip


def run(data: Path, out: Path, *settings: str, steps: int = 4, **options) -> sm.Run:
    return pretrain(
        data, out=out, overrides=[*SMALL, f"run.steps={steps}", *settings], device="cpu", show_progress=False, **options
    )


@pytest.mark.parametrize(("kind", "channels"), [("image", 3), ("audio", 1), ("video", 3)])
def test_each_sense_becomes_a_stock_vit(kind: str, channels: int, tmp_path: Path) -> None:
    table = {"image": coloured_squares, "audio": tones, "video": frames}[kind](tmp_path, count=16)
    done = run(table, tmp_path / "out", kind=kind)
    assert 0 < done.metrics["loss"] < 5
    theirs, info = hf.ViTModel.from_pretrained(tmp_path / "out", add_pooling_layer=False, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert theirs.config.num_channels == channels
    assert (tmp_path / "out" / "preprocessor_config.json").is_file() == (kind != "audio")


def test_the_loss_falls_below_what_the_mean_gives_and_resuming_gives_the_same_bits(tmp_path: Path) -> None:
    coloured_squares(tmp_path, count=24)
    (tmp_path / "runs").mkdir()
    whole = run(tmp_path, tmp_path / "runs" / "whole", steps=6)
    assert whole.metrics["loss"] < 2

    class StopError(Exception):
        pass

    from sensorium.training import loop

    real, calls = loop.Loop._step, 0

    def failing(self, stream):
        nonlocal calls
        calls += 1
        if calls == 4:
            raise StopError
        return real(self, stream)

    again = tmp_path.with_name(tmp_path.name + "-again")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.Loop, "_step", failing)
        with pytest.raises(StopError):
            run(tmp_path / "pairs.csv", again / "cut", steps=6)
    run(tmp_path / "pairs.csv", again / "cut", steps=6, resume=True)
    run(tmp_path / "pairs.csv", again / "whole", steps=6)
    assert (again / "cut" / "model.safetensors").read_bytes() == (again / "whole" / "model.safetensors").read_bytes()


def test_bad_input_is_told_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="fewer than two files"):
        run(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(InputError, match="no such file or folder"):
        run(tmp_path / "nope", tmp_path / "out")
    with pytest.raises(InputError, match="not one of image, audio, video"):
        run(tmp_path / "empty", tmp_path / "out", kind="smell")
    table = coloured_squares(tmp_path, count=4)
    with pytest.raises(DataError, match="no column holds paths of audios"):
        run(table, tmp_path / "out", kind="audio")
    with pytest.raises(ConfigError, match="leaves no patch"):
        run(table, tmp_path / "out", "hidden=1.0")
    assert not (tmp_path / "out").exists()


def test_files_that_only_their_names_make_pictures_are_counted_and_named_once(tmp_path: Path) -> None:
    coloured_squares(tmp_path, count=8)
    for name in ("a.png", "b.png", "c.jpg"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "d.png").write_text("words")
    (note,) = [note for note in run(tmp_path, tmp_path / "out", steps=1).notes if "could not be read" in note]
    assert "4 files could not be read" in note
    assert "and 1 more" in note


def test_columns_of_another_sense_are_told(tmp_path: Path) -> None:
    table = tones(tmp_path, count=8)
    assert any("'sound' (audio)" in note for note in run(table, tmp_path / "out", steps=1).notes)
    assert not any("learned from" in note for note in run(table, tmp_path / "other", steps=1, kind="audio").notes)


def test_half_a_character_is_repaired(tmp_path: Path) -> None:
    coloured_squares(tmp_path, count=4)
    rows = [{"photo": f"{number}.png", "caption": f"number {number}"} for number in range(4)]
    rows += [{"photo": "0.png", "caption": "a \ud800 b"}, {"photo": "\ud800.png", "caption": "c"}]
    table = tmp_path / "pairs.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_sense_table(table)
    assert len(found) == 6
    assert [column.cells[-2:] for column in found.columns] == [("0.png", "\ufffd.png"), ("a \ufffd b", "c")]


def test_force_leaves_a_model_whose_successor_cannot_be_made(tmp_path: Path) -> None:
    table = coloured_squares(tmp_path, count=16)
    out = tmp_path / "model"
    run(table, out, steps=2)
    before = (out / "model.safetensors").read_bytes()
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "a.png").write_bytes(b"no picture")
    with pytest.raises(DataError):
        run(broken, out, steps=2, force=True)
    assert (out / "model.safetensors").read_bytes() == before
    assert (out / "run" / "run.json").is_file()
    run(table, out, steps=3, force=True)
    assert (out / "model.safetensors").read_bytes() != before
