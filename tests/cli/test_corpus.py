"""`sensorium corpus` from the shell: what a corpus holds, and what was dropped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.shell import shell
from tests.data.corpus_folder import corpus_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpus_folder(tmp_path_factory.mktemp("shown"))


def test_a_corpus_is_shown(folder: Path) -> None:
    done = shell("corpus", "show", str(folder))
    assert done.code == 0, done.err
    for shown in ("train:", "validation:", "gopher", "1.9%", "too few words", "zh", "unreadable:"):
        assert shown in done.out, shown
    assert "\x1b" not in done.out


def test_a_corpus_is_shown_as_json(folder: Path) -> None:
    told = json.loads(shell("corpus", "show", str(folder), "--json").out)
    assert told["manifest"]["tokenizer"]["vocab_size"] == 300
    assert [stage["name"] for stage in told["report"]["stages"]] == ["clean", "gopher", "same documents"]


def test_a_page_is_written_and_no_file_is_overwritten(folder: Path, tmp_path: Path) -> None:
    html = tmp_path / "new" / "page.html"
    assert shell("corpus", "show", str(folder), "--html", str(html)).out.endswith(f"page at {html}\n")
    assert html.read_text(encoding="utf-8").startswith("<!doctype html>")
    html.write_text("mine")
    refused = shell("corpus", "show", str(folder), "--html", str(html))
    assert (refused.code, html.read_text()) == (2, "mine")
    assert "already exists. Choose another --html, or pass --force" in refused.err
    assert shell("corpus", "show", str(folder), "--html", str(html), "--force", "--json").code == 0
    assert html.read_text(encoding="utf-8") != "mine"


def test_what_was_dropped_is_shown_with_its_reason(folder: Path) -> None:
    done = shell("corpus", "dropped", str(folder), "--stage", "gopher", "--sample", "2")
    assert done.code == 0, done.err
    assert "gopher: too few words: 0 of 50\na.txt#0, 5 characters\n    short 0 <script>" in done.out
    assert done.out.count("characters\n") == 2
    assert "duplicate" not in done.out
    assert "\x1b" not in done.out


def test_what_was_dropped_is_json(folder: Path) -> None:
    told = json.loads(shell("corpus", "dropped", str(folder), "--rule", "duplicate", "--json").out)
    assert told["rules"] == [{"stage": "same documents", "rule": "duplicate", "documents": 1}]
    assert [one["source"] for one in told["documents"]] == ["c.txt"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["show", "nowhere"], "nowhere: no such folder"),
        (["dropped", "nowhere"], "nowhere: no such folder"),
        (["dropped", "{folder}", "--stage", "gofer"], "did you mean 'gopher'"),
        (["dropped", "{folder}", "--rule", "duplicat"], "did you mean 'duplicate'"),
        (["dropped", "{folder}", "--sample", "0"], "--sample 0 is not positive"),
        (["shw"], "No such command"),
    ],
)
def test_what_is_asked_wrongly_is_told(folder: Path, arguments: list[str], complaint: str) -> None:
    done = shell("corpus", *(word.format(folder=folder) for word in arguments))
    assert (done.code, done.out) == (2, "")
    assert complaint in done.err
    assert done.err.count("\n") == 1


def test_a_damaged_report_is_one_line(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "report.json").write_text("{")
    done = shell("corpus", "show", str(copy))
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "report.json: not valid JSON" in done.err
