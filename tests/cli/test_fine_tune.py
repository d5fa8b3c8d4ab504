"""Questions, classes and tags from the shell: train, use, and what is told when something is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.shell import shell
from tests.training.labelled import SHORT, encoder, names, questions, reviews

SETS = [word for setting in SHORT for word in ("--set", setting)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("fine-tune")
    encoder(home / "bert")
    questions(home / "qa.json")
    reviews(home / "reviews.jsonl")
    names(home / "names.conll")
    for data, recipe, name, epochs in (
        ("qa.json", "answer-small", "qa", 2),
        ("reviews.jsonl", "classify-small", "classes", 150),
        ("names.conll", "tag-small", "tags", 20),
    ):
        done = shell(
            "train", str(home / data), "--recipe", recipe, "--init", str(home / "bert"), "--out", str(home / name),
            "--validation-data", str(home / data), *SETS, "--set", f"run.epochs={epochs}", "--set", "optim.lr=1e-2",
        )  # fmt: skip
        assert done.code == 0, done.err
        assert "note: the model is" in done.err
        assert "start from fresh weights" in done.err
        assert f"model at {home / name}" in done.out
    return home


def test_texts_are_classified(home: Path) -> None:
    done = shell("classify", str(home / "classes"), "Anna went to Rome in 1991.")
    assert done.code == 0, done.err
    assert "%  Rome " in done.out
    done = shell("classify", str(home / "classes"), "--json", stdin=b"Anna went to Rome in 1991.\nBert went to Oslo.\n")
    found = json.loads(done.out)
    assert [one["label"] for one in found] == ["Rome", "Oslo"]
    assert set(found[0]["scores"]) == {"Rome", "Oslo", "Lima", "Paris"}
    assert len(shell("classify", str(home / "classes"), "Who?", "--all").out.splitlines()) == 4


def test_words_are_tagged(home: Path) -> None:
    done = shell("tag", str(home / "tags"), "Carl went to Lima.")
    assert done.code == 0, done.err
    assert [line.split()[1:] for line in done.out.splitlines()] == [["PER", "Carl"], ["LOC", "Lima"]]
    words = shell("tag", str(home / "tags"), "Carl went to Lima.", "--words").out
    assert [line.split()[1] for line in words.splitlines()] == ["B-PER", "O", "O", "B-LOC", "O"]
    found = json.loads(shell("tag", str(home / "tags"), "Carl went to Lima.", "--json").out)
    assert found[0]["entities"][1]["start"] == 13


def test_verify_holds_models_with_heads(home: Path) -> None:
    for name in ("qa", "classes", "tags"):
        for engine in ("native", "transformers"):
            done = shell("verify", str(home / name), "--engine", engine)
            assert done.code == 0, done.out + done.err
            assert "ok   logits of" in done.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reviews.jsonl", "--recipe", "classify-small"], "Add --init MODEL"),
        (["reviews.jsonl", "--recipe", "classify-small", "--init", "bert", "--columns", "label"], "label=stars"),
        (["reviews.jsonl", "--recipe", "classify-small", "--init", "bert", "--columns", "label=stars"],
         "unknown column 'stars'"),
        (["none.json", "--recipe", "answer-small", "--init", "bert"], "no such file"),
        (["qa.json", "--recipe", "answer-small", "--init", "none"], "no such model"),
        (["reviews.jsonl", "--recipe", "answer-small", "--init", "bert"], "no column holds the question"),
        (["names.conll", "--recipe", "classify-small", "--init", "bert"], "are no tables"),
        (["qa.json", "--recipe", "bert-tiny"], "is a file, not a prepared corpus"),
        (["bert", "--recipe", "tag-small", "--init", "bert"], "no file whose name begins with train"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_is_told_in_a_line(
    home: Path, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    done = shell("train", *arguments, "--out", "out")
    assert done.code == 2, done.err
    assert message in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not Path("out").exists()
