"""Runs of fused models: resumed, of other problems, split otherwise, from given encoders; and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import sensorium.training.loop as loop
from sensorium.errors import ConfigError, DataError, InputError
from sensorium.tasks.fused import FusedHandle
from sensorium.training.fuse import fuse
from sensorium.training.fuse_folder import read_fused
from sensorium.training.loop import TrainingInterruptedError
from tests.training.fused import SMALL, read, toy, write


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy(tmp_path_factory.mktemp("toy"))


def test_an_interrupted_run_ends_with_the_same_weights(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = [*SMALL, "run.epochs=2", "run.save_every=2", "learn.mixup=0.2", "learn.modulation=0.5"]
    whole = fuse(table, label="label", out=tmp_path / "whole", overrides=small)
    real, calls = loop.save_state, []

    def stop(*args: object) -> Path:
        path = real(*args)  # type: ignore[arg-type]
        calls.append(path)
        if len(calls) == 2:
            raise TrainingInterruptedError("stopped")
        return path

    monkeypatch.setattr(loop, "save_state", stop)
    with pytest.raises(TrainingInterruptedError):
        fuse(table, label="label", out=tmp_path / "part", overrides=small)
    monkeypatch.setattr(loop, "save_state", real)
    assert not (tmp_path / "part" / "fusion.json").exists()
    again = fuse(table, label="label", out=tmp_path / "part", overrides=small, resume=True)
    first, second = (read_fused(run.folder).model.state_dict() for run in (whole, again))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert again.steps == whole.steps
    with pytest.raises(InputError, match="already exists"):
        fuse(table, label="label", out=tmp_path / "part", overrides=small)


def test_several_labels_and_amounts_with_files_that_are_missing(table: Path, tmp_path: Path) -> None:
    rows = read(table)[:100]
    for number, row in enumerate(rows):
        letter = str(row["label"])
        row["label"] = "|".join(["red"] * (letter in "cd") + ["low"] * (letter in "bd"))
        row["amount"] = str(10 + 5 * (letter in "cd") + 0.01 * number)
        if number % 10 == 0:
            row["sound"] = "gone.wav"
        if number % 7 == 0:
            row["picture"] = ""
    path = write(table.parent / "more.csv", rows)
    small = [*SMALL, "run.epochs=12", "batch.rows=16"]
    several = fuse(
        path, label="label", out=tmp_path / "several", problem="multi_label",
        columns={"amount": "ignore", "note": "ignore"}, overrides=small,
    )  # fmt: skip
    assert several.metrics["mean_average_precision"] > 0.8
    assert any("1 file could not be read (gone.wav" in note for note in several.notes)
    amounts = fuse(
        path,
        label="amount",
        out=tmp_path / "amounts",
        level="both",
        columns={"label": "ignore", "note": "ignore"},
        overrides=small,
    )
    assert amounts.metrics["rmse"] < 2.0, "their deviation is 2.5"
    found = FusedHandle.open(amounts.folder, device="cpu").predict(path)
    assert isinstance(found[0].label, float)
    assert found[0].missing == ("picture", "sound")


def test_groups_and_times_decide_the_split_and_are_not_learned_from(table: Path, tmp_path: Path) -> None:
    rows = read(table)[:60]
    for number, row in enumerate(rows):
        row["who"], row["when"] = f"p{number % 6}", f"2024-01-{number // 3 + 1:02}"
    path = write(table.parent / "groups.csv", rows)
    small = [*SMALL, "run.epochs=1"]
    for name in ("group", "time"):
        column = {"group": "who", "time": "when"}[name]
        run = fuse(
            path,
            label="label",
            out=tmp_path / name,
            overrides=small,
            columns={"picture": "ignore"},
            **{name: column},  # type: ignore[arg-type]
        )
        assert run.schema["left_out"][column] == "rows are split by it"
    with pytest.raises(InputError, match="by --group or by --time"):
        fuse(path, label="label", out=tmp_path / "x", group="who", time="when")


def test_a_validation_table_and_a_folder_to_start_from(table: Path, tmp_path: Path) -> None:
    feature = fuse(table, label="label", out=tmp_path / "first", overrides=[*SMALL, "run.steps=2"])
    other = toy(tmp_path / "other", rows=20, seed=7)
    run = fuse(
        table, label="label", out=tmp_path / "run", overrides=[*SMALL, "run.steps=1", "optim.lr=0.0"], validation=other,
        image_from=feature.folder / "image", text_from=feature.folder / "text", audio_from=feature.folder / "audio",
    )  # fmt: skip
    before, after = (read_fused(folder).model for folder in (feature.folder, run.folder))
    for name in ("picture", "sound", "note"):
        old, new = (model.encoder(name).state_dict() for model in (before, after))
        assert all(torch.equal(old[key], new[key]) for key in old), name
    assert json.loads((run.folder / "sensorium.json").read_text())["rows"]["validation"] == 20
    with pytest.raises(InputError, match="no column holds audio"):
        fuse(table, label="label", out=tmp_path / "x", columns={"sound": "ignore"}, audio_from=feature.folder / "audio")


def test_what_cannot_be_learned_from_is_refused(table: Path, tmp_path: Path) -> None:
    rows, out = read(table)[:20], tmp_path / "run"
    with pytest.raises(InputError, match="unknown column 'lable'; did you mean 'label'"):
        fuse(table, label="lable", out=out)
    one = write(table.parent / "one.csv", [{**row, "label": "a"} for row in rows])
    with pytest.raises(DataError, match="every label is 'a'"):
        fuse(one, label="label", out=out)
    gone = write(table.parent / "gone.csv", [{**row, "picture": f"gone/{row['picture']}"} for row in rows])
    with pytest.raises(DataError, match="none of its 20 files can be read"):
        fuse(gone, label="label", out=out)
    with pytest.raises(ConfigError, match=r"unknown key picture\.layer; did you mean picture\.layers"):
        fuse(table, label="label", out=out, overrides=["picture.layer=2"])
    with pytest.raises(ConfigError, match="level='features' is not one of"):
        fuse(table, label="label", out=out, level="features")
    with pytest.raises(ConfigError, match=r"fusion\.modality_dropout=1\.0 is out of range"):
        fuse(table, label="label", out=out, overrides=["fusion.modality_dropout=1"])
    with pytest.raises(ConfigError, match=r"run\.max_minutes=0\.0 is out of range. It must be above 0$"):
        fuse(table, label="label", out=out, overrides=["run.max_minutes=0"])
    with pytest.raises(ConfigError, match="unknown decision 'bogus'"):
        fuse(table.parent / "nowhere.csv", label="label", out=out, level="decision", decision="bogus")
    with pytest.raises(ConfigError, match="the decision 'calibrated' has no meaning for regression"):
        fuse(table, label="size", out=out, level="decision", decision="calibrated")
    with pytest.raises(InputError, match=r"toy.*: is a folder"):
        fuse(table.parent, label="label", out=out)
    with pytest.raises(InputError, match="Choose one of them"):
        fuse(table, label="label", out=out, resume=True, force=True)
    assert not out.exists()


def test_force_replaces_a_run_and_what_it_left(table: Path, tmp_path: Path) -> None:
    small = [*SMALL, "run.steps=1"]
    run = fuse(table, label="label", out=tmp_path / "run", overrides=small)
    (tmp_path / "run" / "mine.txt").write_text("mine", encoding="utf-8")
    less = {"sound": "ignore", "picture": "ignore"}
    fuse(table, label="label", out=tmp_path / "run", overrides=small, columns=less, force=True)
    left = {path.name for path in run.folder.iterdir()}
    assert left == {"README.md", "fusion.json", "fusion.safetensors", "mine.txt", "run", "sensorium.json", "text"}
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").write_text("mine", encoding="utf-8")
    for choice in ({"force": True}, {}):
        with pytest.raises(InputError):
            fuse(table, label="label", out=other, overrides=small, **choice)  # type: ignore[arg-type]
    assert [path.name for path in other.iterdir()] == ["mine.txt"]


def test_rows_that_cannot_be_split_are_named_with_their_column(table: Path, tmp_path: Path) -> None:
    rows, out = [{**row, "when": number, "who": "me"} for number, row in enumerate(read(table)[:20])], tmp_path / "run"
    rows[1]["when"] = "soon"
    path = write(table.parent / "soon.csv", rows)
    with pytest.raises(DataError, match=r"soon\.csv, column 'when', row 2: 'soon' is no time"):
        fuse(path, label="label", out=out, time="when")
    with pytest.raises(DataError, match=r"soon\.csv, column 'who': all rows are of 1 groups"):
        fuse(path, label="label", out=out, group="who")
    alike = [{"note": "a b c d e", "place": "in", "label": "ab"[number % 2]} for number in range(20)]
    path = write(table.parent / "alike.csv", alike)
    with pytest.raises(DataError, match=r"alike\.csv: 20 rows are alike in all that is read of them"):
        fuse(path, label="label", out=out, columns={"note": "text", "place": "category"})
    assert not out.exists()
