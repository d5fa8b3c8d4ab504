"""`sensorium align`, `search` and `pretrain`, as a user meets them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.cli.shell import shell
from tests.training.senses import SMALL, coloured_squares

SET = [word for setting in [*SMALL, "run.steps=4"] for word in ("--set", setting)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("align")
    table = coloured_squares(place, count=24)
    done = shell("align", str(table), "--out", str(place / "run"), "--device", "cpu", *SET, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["steps"] == 4
    return place


def test_a_search_prints_the_nearest_first(place: Path) -> None:
    words = ("search", str(place / "run"), "a red square", "--index", str(place), "--top", "3", "--device", "cpu")
    plain = shell(*words)
    assert plain.code == 0
    assert len(plain.out.splitlines()) == 3
    told = json.loads(shell(*words, "--json").out)
    assert [hit["path"] for hit in told] == [line.split("  ")[-1] for line in plain.out.splitlines()]
    like = shell("search", str(place / "run"), "--index", str(place), "--like", str(place / "3.png"), "--top", "1")
    assert like.out.strip().endswith("3.png")


def test_what_cannot_be_read_is_named_once(place: Path, tmp_path: Path) -> None:
    shutil.copyfile(place / "0.png", os.fsencode(tmp_path) + b"/\xff.png")
    for number in range(5):
        (tmp_path / f"{number}.png").write_bytes(b"")
    words = ("search", str(place / "run"), "red", "--index", str(tmp_path), "--device", "cpu")
    first, again = shell(*words), shell(*words, "--json")
    (note,) = first.err.splitlines()
    assert note.startswith("note: 5 of the files could not be read (0.png: the file is empty; 1.png: ")
    assert note.endswith("; and 2 more)")
    assert again.err == "note: 5 of the files could not be read\n"
    assert json.loads(again.out)[0]["path"] == "\\udcff.png"


@pytest.mark.parametrize(
    "words",
    [("x", "--top", "0"), (), ("x", "--like", "0.png"), ("--like", "absent.png"), ("x", "--index-file", "a.txt")],
)
def test_a_search_that_asks_nothing_reads_no_folder(place: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    shutil.copyfile(place / "0.png", tmp_path / "0.png")
    (tmp_path / "a.txt").write_text("mine")
    given = [str(tmp_path / word) if word.endswith((".png", ".txt")) else word for word in words]
    failed = shell("search", str(place / "run"), *given, "--index", str(tmp_path), "--device", "cpu")
    assert failed.code == 2
    assert failed.err.startswith("error: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.png", "a.txt"]
    assert (tmp_path / "a.txt").read_text() == "mine"


def test_pretraining_prints_its_loss(place: Path) -> None:
    settings = [word for setting in SMALL if setting.startswith("image.") for word in ("--set", setting)]
    done = shell("pretrain", str(place), "--out", str(place / "vit"), *settings, "--set", "run.steps=2")
    assert done.code == 0, done.err
    assert "loss" in done.out
    assert (place / "vit" / "preprocessor_config.json").is_file()


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("align", "nothing.csv", "--out", "x"), "no such file"),
        (("align", "{table}", "--out", "{run}"), "already exists"),
        (("align", "{table}", "--out", "x", "--columns", "photo"), "has another form"),
        (("align", "{table}", "--out", "x", "--columns", "photo=image"), "two senses or more"),
        (("align", "{table}", "--out", "x", "--loss", "mse"), "not one of clip, siglip"),
        (("align", "{table}", "--out", "x", "--set", "image.sise=3"), "did you mean image.size"),
        (("search", "{run}", "x", "--index", "nothing"), "no such folder"),
        (("search", "nothing", "x"), "no such model"),
        (("pretrain", "nope", "--out", "x"), "no such file or folder"),
        (("pretrain", "{run}", "--out", "x", "--kind", "smell"), "is not one of image, audio, video"),
    ],
)
def test_bad_input_is_one_line_and_code_2(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = shell(*(word.format(table=place / "pairs.csv", run=place / "run") for word in words))
    assert done.code == 2
    assert problem in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not (tmp_path / "x").exists()
