"""Every verb works from the shell and prints JSON where asked."""

from __future__ import annotations

import json
from pathlib import Path

from sensorium import __version__
from tests.cli.shell import apart, shell


def test_the_verbs_of_use(home: Path) -> None:
    filled = shell("fill", str(home / "bert"), "The [MASK] sat.", "--top-k", "3", "--json")
    assert [len(candidates) for candidates in json.loads(filled.out)] == [3]
    written = shell("generate", str(home / "gpt"), "The cat", "--max-new-tokens", "5", "--json")
    assert json.loads(written.out)["usage"]["completion_tokens"] <= 5
    streamed = shell("generate", str(home / "gpt"), "The cat", "--max-new-tokens", "5")
    assert streamed.out.rstrip("\n") == "The cat" + json.loads(written.out)["text"].rstrip("\n")
    scored = shell("score", str(home / "gpt"), str(home / "texts" / "0.txt"), "--json")
    assert len(json.loads(scored.out)["logprobs"]) > 3
    verified = shell("verify", str(home / "bert"))
    assert verified.code == 0, verified.err
    assert "FAIL" not in verified.out
    listed = shell("recipes", "--json")
    assert "bert-mini" in json.loads(listed.out)


def test_lines_of_standard_input_are_texts(home: Path) -> None:
    lines = shell("fill", str(home / "bert"), "--top-k", "1", stdin="The [MASK] sat.\n\n今天[MASK]好。\n".encode())
    assert len(lines.out.splitlines()) == 2
    text = (home / "texts" / "0.txt").read_bytes()
    piped, named = (shell("score", str(home / "gpt"), source, stdin=text) for source in ("-", f"{home}/texts/0.txt"))
    assert piped == named


def test_a_corpus_comes_through_a_pipe(home: Path, tmp_path: Path) -> None:
    text = "".join(f"Line {i} of a text that came through a pipe. 春天来了。\n\n" for i in range(40))
    done = shell("prepare", "-", "--out", str(tmp_path / "piped"), "--json", stdin=text.encode("utf-16"))
    assert done.code == 0, done.err
    assert json.loads(done.out)["splits"]["train"]["documents"] == 1


def test_the_console_script_helps_and_names_its_version() -> None:
    assert "prepare" in apart("--help").out
    bare, asked = shell(), shell("--help")
    assert (bare.code, bare.out) == (0, asked.out)
    assert shell("--version").out.strip() == __version__
