"""A fused model is asked: about whole rows, rows with holes, rows of nothing."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import sensorium as sm
from sensorium.errors import CapabilityError, CheckpointError, DataError, InputError
from sensorium.modalities.mel import MelSpec, log_mel
from sensorium.tasks.fused import FusedHandle, as_json, write_predictions
from sensorium.tasks.fused_subsets import evaluate_noise, evaluate_subsets, with_noise, worth
from sensorium.training.fuse import fuse
from tests.training.fused import SMALL, read, toy, write


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="module")
def folder(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fuse(table, label="label", out=tmp_path_factory.mktemp("f") / "run", level="both", overrides=SMALL).folder


@pytest.fixture(scope="module")
def handle(folder: Path) -> FusedHandle:
    found = sm.load(folder, device="cpu")
    assert isinstance(found, FusedHandle)
    return found


def test_rows_are_told_from_what_they_hold(handle: FusedHandle, table: Path) -> None:
    found = handle.predict_all(table)
    truth = [row["label"] for row in read(table)]
    right = np.mean([row.label == label for row, label in zip(found.rows, truth, strict=True)])
    assert right > 0.9
    assert not found.notes
    assert not found.missing
    assert not found.empty
    first = found.rows[0]
    assert first.used == ("note", "numbers", "picture", "sound")
    assert first.missing == ()
    assert sum(first.probabilities.values()) == pytest.approx(1)
    assert set(first.probabilities) == set("abcd")


def test_what_is_missing_or_broken_is_done_without_and_counted(handle: FusedHandle, table: Path) -> None:
    root = table.parent
    (root / "zero.png").write_bytes(b"")
    (root / "half.wav").write_bytes((root / "0.wav").read_bytes()[:30])
    rows = [
        {**read(table)[0], "picture": "zero.png"},
        {**read(table)[1], "sound": "half.wav"},
        {**read(table)[2], "sound": "gone.wav", "picture": "", "place": "elsewhere", "size": "NA"},
        {"note": None},
    ]  # fmt: skip
    found = handle.predict_all(rows, root=root)
    assert [row.missing for row in found.rows] == [
        ("picture",), ("sound",), ("picture", "sound"), ("note", "numbers", "picture", "sound"),
    ]  # fmt: skip
    assert found.missing == {"note": 1, "numbers": 1, "picture": 3, "sound": 3}
    assert found.empty == 1
    assert "zero.png" in found.notes[0]
    assert "half.wav" in found.notes[1]
    assert "gone.wav" in found.notes[1]
    assert found.notes[2:] == ("column 'place': 1 value was not seen in training",)
    assert list(found.rows[3].probabilities.values()) == pytest.approx(list(handle.fused.verdict.prior))


def test_a_column_may_be_missing_but_not_all(handle: FusedHandle, table: Path) -> None:
    rows = [{key: row[key] for key in ("picture", "size", "place")} for row in read(table)[:5]]
    found = handle.predict_all(rows, root=table.parent)
    assert found.notes == (
        "column 'note' is not there: predictions do without it",
        "column 'sound' is not there: predictions do without it",
    )
    assert all(row.missing == ("note", "sound") for row in found.rows)
    with pytest.raises(InputError, match="has no column that the model reads"):
        handle.predict([{"colour": "red"}])


def test_half_a_character_is_read_as_a_replacement_and_counted(handle: FusedHandle, table: Path) -> None:
    rows = [{**read(table)[0], "note": "a \ud800 day"}, {**read(table)[0], "note": "a \ufffd day"}]
    found = handle.predict_all(rows, root=table.parent)
    assert found.notes == ("column 'note': 1 text is not valid Unicode, and read with \ufffd for what is not",)
    assert found.rows[0].probabilities == pytest.approx(found.rows[1].probabilities)
    found = handle.predict_all([{**read(table)[0], "picture": "\ud800.png"}], root=table.parent)
    assert found.rows[0].missing == ("picture",)
    assert found.notes[0].startswith("column 'picture': 1 file could not be read")
    assert as_json(found).encode("utf-8")


def test_a_row_is_told_alike_alone_and_among_others(handle: FusedHandle, table: Path) -> None:
    rows = read(table)[:6]
    together = handle.predict(rows, root=table.parent)
    alone = [handle.predict(row, root=table.parent)[0] for row in rows]
    for one, other in zip(together, alone, strict=True):
        assert one.label == other.label
        assert np.allclose(list(one.probabilities.values()), list(other.probabilities.values()), atol=1e-4)


def test_every_subset_is_measured_and_worth_adds_up(handle: FusedHandle, table: Path) -> None:
    found = evaluate_subsets(handle, table)
    assert len(found) == 16
    assert found[frozenset({"picture", "sound"})]["accuracy"] > 0.9
    assert found[frozenset({"picture"})]["accuracy"] < 0.8
    shares = worth(found, "classification")
    assert min(shares.shapley["picture"], shares.shapley["sound"]) > 5 * abs(shares.shapley["numbers"])
    assert sum(shares.shapley.values()) == pytest.approx(shares.all - shares.none)


def test_noise_costs_what_it_hides(handle: FusedHandle, table: Path) -> None:
    found = {(one.modality, one.noise, one.strength): one.measures["accuracy"] for one in evaluate_noise(handle, table)}
    assert found["picture", "missing", 0.75] < 0.85
    assert found["numbers", "missing", 0.75] > 0.9
    assert found["note", "words", 0.5] > 0.9
    assert ("sound", "sound", 0) in found
    assert ("picture", "blur", 3) in found
    with pytest.raises(InputError, match="unknown noise 'hum'"):
        evaluate_noise(handle, table, noises=["hum"])


def test_noise_in_a_spectrogram_is_noise_in_the_sound() -> None:
    spec, generator = MelSpec(mels=40, seconds=1.0), torch.Generator().manual_seed(0)
    sound = 0.3 * torch.sin(torch.arange(16_000) * 0.2)
    noise = torch.randn(16_000, generator=generator) * sound.std()
    expected = log_mel(sound + noise, spec)
    found = with_noise(log_mel(sound, spec), spec, decibels=0.0, generator=generator)
    assert (found - expected).mean().abs() < 0.05
    assert (found - expected).abs().mean() < 0.15


def test_predictions_become_a_csv(handle: FusedHandle, table: Path, tmp_path: Path) -> None:
    found = handle.predict_all(table)
    write_predictions(tmp_path / "p.csv", found, handle.classes, handle.label)
    with (tmp_path / "p.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["label"] == found.rows[0].label
    assert rows[0]["used"] == "note|numbers|picture|sound"
    assert float(rows[0]["p(a)"]) == pytest.approx(found.rows[0].probabilities["a"], abs=1e-6)


def test_a_damaged_folder_is_told_and_a_label_that_is_not_known(folder: Path, table: Path, tmp_path: Path) -> None:
    import shutil

    for name, content in (("fusion.json", b"{"), ("fusion.safetensors", b"abc"), ("image/model.safetensors", b"abc")):
        copy = tmp_path / name.replace("/", "-")
        shutil.copytree(folder, copy)
        (copy / name).write_bytes(content)
        with pytest.raises(CheckpointError):
            FusedHandle.open(copy)
    settings = json.loads((folder / "fusion.json").read_text())
    settings["modalities"]["picture"]["folder"] = "../image"
    copy = tmp_path / "elsewhere"
    shutil.copytree(folder, copy)
    (copy / "fusion.json").write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match="is no folder of an encoder"):
        FusedHandle.open(copy)
    odd = write(table.parent / "odd.csv", [{**read(table)[0], "label": "z"}])
    with pytest.raises(DataError, match="'z' is none of the training data's"):
        evaluate_subsets(FusedHandle.open(folder, device="cpu"), odd)


def test_only_a_fused_folder_is_opened(tmp_path: Path) -> None:
    from sensorium.tasks.fused import open_fused

    with pytest.raises(InputError, match="no such folder"):
        open_fused(tmp_path / "gone")
    with pytest.raises(CapabilityError, match="holds no fused model"):
        open_fused(tmp_path)
