"""`sensorium fuse` and `sensorium predict`, as a user meets them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.cli.shell import shell
from tests.training.fused import SMALL, read, toy, write

SETS = [word for override in [*SMALL, "run.epochs=1"] for word in ("--set", override)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("fuse")
    table = toy(place, rows=40)
    done = shell("fuse", str(table), "--label", "label", "--out", str(place / "run"), *SETS)
    assert done.code == 0, done.err
    assert "column picture: image" in done.err
    assert "column 'id' is left out" in done.err
    assert "note: the label 'label' is taken for classification, 4 classes" in done.err
    assert "rows read in" in done.out
    assert "accuracy: " in done.out
    assert f"model at {place / 'run'}" in done.out
    return place


def test_the_result_is_json_where_that_is_asked_for(place: Path) -> None:
    done = shell(
        "fuse", str(place / "t.csv"), "--label", "label", "--out", str(place / "more"), "--columns",
        "note=ignore,picture=ignore", "--json", *SETS,
    )  # fmt: skip
    told = json.loads(done.out)
    assert done.code == 0
    assert told["schema"]["columns"].keys() == {"sound", "size", "place"}
    assert 0 <= told["metrics"]["accuracy"] <= 1


def test_predictions_are_written_and_what_is_missing_is_warned_of(place: Path) -> None:
    rows = [{key: value for key, value in row.items() if key not in ("note", "label")} for row in read(place / "t.csv")]
    rows[0]["picture"] = "gone.png"
    new = write(place / "new.csv", rows)
    done = shell("predict", str(place / "run"), str(new), "--out", str(place / "p.csv"), "--device", "cpu")
    assert done.code == 0
    assert done.out == f"40 predictions at {place / 'p.csv'}\n"
    assert "warning: column 'note' is not there" in done.err
    assert "1 file could not be read (gone.png" in done.err
    assert "warning: 1 of 40 rows are without 'picture'" in done.err
    with (place / "p.csv").open(newline="", encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    assert written[0]["missing"] == "note|picture"
    assert written[1]["used"] == "numbers|picture|sound"
    told = json.loads(shell("predict", str(place / "run"), str(new), "--json").out)
    assert [row["label"] for row in told["predictions"]] == [row["label"] for row in written]
    again = shell("predict", str(place / "run"), str(new), "--out", str(place / "p.csv"))
    assert again.code == 2
    assert "already exists" in again.err
    assert len(shell("predict", str(place / "run"), str(new)).out.splitlines()) == 40


def test_mistakes_are_one_line_and_exit_with_2(place: Path) -> None:
    table = str(place / "t.csv")
    for words, told in (
        (("fuse", table, "--label", "lable"), "did you mean 'label'"),
        (("fuse", table, "--label", "label", "--level", "late"), "level='late' is not one of feature, decision, both"),
        (("fuse", table, "--label", "label", "--columns", "note"), "--columns 'note' has another form"),
        (("fuse", table, "--label", "label", "--out", str(place / "run")), "already exists"),
        (("fuse", table, "--label", "label", "--text-from", "gone"), "no such folder"),
        (("fuse", str(place / "gone.csv"), "--label", "label"), "no such file"),
        (("predict", str(place), table), "holds no fused model"),
        (("predict", str(place / "run"), str(place / "0.png")), "are no tables"),
        (("predict", str(place / "run"), table, "--out", str(place), "--force"), f"{place}: is a folder"),
        (("predict", str(place / "run"), str(place)), f"{place}: is a folder"),
        (("fuse", str(place / "gone"), "--label", "label"), f"{place / 'gone'}: no such file"),
    ):
        done = shell(*words)
        assert done.code == 2, words
        assert told in done.err
        assert len(done.err.strip().splitlines()) == 1
