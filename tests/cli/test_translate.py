"""`sensorium translate`, as a user meets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sensorium.tasks.model import LanguageModel, load
from tests.cli.shell import shell
from tests.inference.mock import MockSeq2SeqEngine, byte_tokenizer, copying
from tests.inference.seq2seq import marian, saved


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("translate") / "marian"
    saved(marian(), folder, ending=4.0)
    return str(folder)


def test_a_text_is_translated(model) -> None:
    done = shell("translate", model, "the %s file", "--json", "--n-best", "2", "--align")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert "%s" in found["text"]
    assert found.keys() == {"text", "score", "tokens", "alignment", "alternatives"}
    plain = shell("translate", model, "the %s file")
    assert plain.out.rstrip("\n") == found["text"]


def test_every_line_gives_a_line(model, tmp_path) -> None:
    lines = "the cat\n\na band\r\nthe end"
    done = shell(
        "translate",
        model,
        "--beam",
        "2",
        "--max-new-tokens",
        "6",
        stdin=("\ufeff" + lines).encode(),
    )
    assert done.code == 0, done.err
    assert done.out.count("\n") == 4
    assert done.out.split("\n")[1] == ""
    (tmp_path / "lines.txt").write_text(lines, encoding="utf-8")
    again = shell("translate", model, "--beam", "2", "--max-new-tokens", "6", "--file", str(tmp_path / "lines.txt"))
    assert again.out == done.out
    each = shell("translate", model, "--beam", "2", "--max-new-tokens", "6", "--json", stdin=lines.encode())
    assert len([json.loads(line) for line in each.out.splitlines()]) == 4


def test_a_line_stays_a_line_whatever_the_model_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = byte_tokenizer()
    copier = LanguageModel([MockSeq2SeqEngine(tokenizer, copying(tokenizer, o="Ċ"))], "copier")
    monkeypatch.setattr("sensorium.cli.translate.open_model", lambda *_: copier)
    done = shell("translate", "copier", stdin=b"a cow here\n\nthe end\n")
    assert done.out == "a c w here\n\nthe end\n"
    assert shell("translate", "copier", "a cow").out == "a c\nw\n"


def test_when_a_search_is_done_can_be_said(model) -> None:
    said = ["--beam", "4", "--length-penalty", "-2", "--n-best", "4", "--json"]
    found = {word: shell("translate", model, "the cat", *said, "--early-stopping", word) for word in ("true", "never")}
    assert [done.code for done in found.values()] == [0, 0]
    for word, value in (("true", True), ("never", "never")):
        expected = load(model).translate("the cat", beam=4, length_penalty=-2, n_best=4, early_stopping=value)
        assert json.loads(found[word].out)["text"] == expected.text
    done = shell("translate", model, "the cat", "--early-stopping", "nevr")
    assert done.code == 2
    assert "unknown --early-stopping 'nevr'; did you mean 'never'?" in done.err


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("g.tsv", "# terms\n\nfile\t文件\n"),
        ("g.csv", 'file,文件\n"a, b",c\n'),
        ("g.json", '{"file": "文件"}'),
        ("g.JSON", '\ufeff{"file": "文件"}'),
    ],
)
def test_a_glossary_is_read(model, tmp_path, name, content) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    done = shell("translate", model, "the file", "--glossary", str(tmp_path / name))
    assert "文件" in done.out, done.err


@pytest.mark.parametrize(
    ("arguments", "stdin", "complaint"),
    [
        (["the cat", "--file", "{there}"], "", "a text and --file are given"),
        (["--file", "{absent}"], "", "absent"),
        ([], "caf\xe9".encode("latin-1"), "standard input, line 1: not valid UTF-8"),
        (["the cat", "--to", "xx"], "", "unknown language 'xx' (known: af, am"),
        (["the cat", "--beam", "0"], "", "beams=0"),
        ([], b"fine\n" + b"word " * 60, "text 2: a sentence is"),
        (["a", "--glossary", "{absent}"], "", "absent"),
        (["a", "--glossary", "{three}"], "", "three.tsv, line 2: has 3 columns"),
        (["a", "--glossary", "{twice}"], "", "twice.tsv, line 2: 'file' has two translations"),
        (["a", "--glossary", "{latin}"], "", "not valid UTF-8"),
        (["a", "--glossary", "{half}"], "", "half.tsv, line 1: 'file' has no translation"),
        (["a", "--glossary", "{one}"], "", "one.tsv, line 1: has 1 column, where"),
        (["a", "--glossary", "{broken}"], "", "broken.json: not valid JSON"),
        (["a", "--glossary", "{list}"], "", "list.json: not a JSON object"),
        (["a", "--glossary", "{number}"], "", "number.json: the translation of 'file' is no text"),
        (["a", "--temperature", "1", "--n-best", "2"], "", "sampling draws one text"),
    ],
)
def test_bad_input_is_told_in_one_line(model, tmp_path, arguments, stdin, complaint) -> None:
    (tmp_path / "there").write_text("a\n")
    (tmp_path / "three.tsv").write_text("a\tb\nfile\tx\ty\n")
    (tmp_path / "twice.tsv").write_text("file\tx\nfile\ty\n")
    (tmp_path / "latin.tsv").write_bytes("café\tb\n".encode("latin-1"))
    paths = {name: str(tmp_path / name) for name in ("there", "absent")}
    paths |= {name: str(tmp_path / f"{name}.tsv") for name in ("three", "twice", "latin")}
    glossaries = {"half.tsv": "file\t\n", "one.tsv": "file\n", "broken.json": "{", "list.json": "[]"}
    glossaries |= {"number.json": '{"file": 3}'}
    for name, content in glossaries.items():
        (tmp_path / name).write_text(content)
        paths[name.split(".")[0]] = str(tmp_path / name)
    done = shell("translate", model, *(a.format(**paths) for a in arguments), stdin=stdin or b"")
    assert done.code == 2, done.out + done.err
    assert complaint in done.err
    assert done.err.count("\n") == 1


def test_a_model_that_does_not_translate_says_what_it_can(tmp_path) -> None:
    from tests.inference.folders import llama
    from tests.inference.folders import saved as saved_model

    saved_model(llama(), tmp_path, "decoder")
    done = shell("translate", str(tmp_path), "a")
    assert done.code == 2
    assert "cannot translate; it can: generate, score" in done.err


def test_a_wrong_line_ends_the_program_while_more_could_come(model: str, tmp_path: Path) -> None:
    """A thread waits for the next line then."""

    read, write = os.pipe()
    os.write(write, b"word " * 60 + b"\n")
    with os.fdopen(read, "rb") as stdin:
        done = subprocess.run(
            [sys.executable, "-m", "sensorium.cli.app", "translate", model], check=False, stdin=stdin,
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    os.close(write)
    assert done.returncode == 2
    assert "a sentence is" in done.stderr
