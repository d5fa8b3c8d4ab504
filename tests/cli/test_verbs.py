"""Every verb works from the shell and prints JSON where asked."""

from __future__ import annotations

import json
import shutil
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


def test_a_model_is_opened_as_the_options_say(home: Path) -> None:
    for command in (
        ["fill", str(home / "bert"), "The [MASK] sat."],
        ["generate", str(home / "gpt"), "The cat", "--max-new-tokens", "5"],
        ["score", str(home / "gpt"), str(home / "texts" / "0.txt")],
    ):
        native, stock = (shell(*command, "--engine", name, "--device", "cpu") for name in ("native", "transformers"))
        assert (native.code, stock.code, stock.err) == (0, 0, "")
        assert stock.out.splitlines()[0] == native.out.splitlines()[0]
        refused = shell(*command, "--engine", "x")
        assert (refused.code, refused.out) == (2, "")
        assert "unknown engine 'x' (known: native, transformers)" in refused.err
        assert "device 'x' cannot be used" in shell(*command, "--device", "x").err


def test_the_transformers_engine_verifies_without_a_word_on_stderr(home: Path) -> None:
    for name in ("bert", "gpt"):
        done = apart("verify", str(home / name), "--engine", "transformers")
        assert (done.code, done.err) == (0, "")
        assert "FAIL" not in done.out


def test_a_generation_goes_on_after_the_end_token_if_asked(home: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(home / "gpt", tmp_path / "gpt")
    command = ["generate", str(folder), "The cat", "--max-new-tokens", "5", "--json"]
    first = json.loads(shell(*command, "--ignore-eos").out)["token_ids"][0]
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": first}), encoding="utf-8")
    stopped, going = (json.loads(shell(*command, *more).out) for more in ((), ("--ignore-eos",)))
    assert (stopped["token_ids"], stopped["finish_reason"]) == ([first], "stop")
    assert len(going["token_ids"]) == 5


def test_a_candidate_of_white_space_is_shown(home: Path) -> None:
    command = ["fill", str(home / "bert"), "The [MASK] sat.", "--top-k", "300"]
    blank = [not fill["token"] for fill in json.loads(shell(*command, "--json").out)[0]]
    assert any(blank)
    assert [line[7:].split()[0] == "␣" for line in shell(*command).out.splitlines()] == blank


def test_short_documents_are_dropped_if_asked(home: Path, tmp_path: Path) -> None:
    done = shell("prepare", str(home / "texts"), "--out", str(tmp_path / "new"), "--min-characters", "99999")
    assert done.code == 2
    assert "no usable document (12 too short)" in done.err


def test_lines_of_standard_input_are_texts(home: Path) -> None:
    lines = shell("fill", str(home / "bert"), "--top-k", "1", stdin="The [MASK] sat.\n\n今天[MASK]好。\n".encode())
    assert len(lines.out.splitlines()) == 3  # an empty line parts the texts
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


def test_fill_tells_the_masks_of_a_text_apart(home: Path) -> None:
    lines = shell("fill", str(home / "bert"), "The [MASK] [MASK] sat.", "--top-k", "2").out.splitlines()
    assert [line for line in lines if line.startswith("mask")] == ["mask 1", "mask 2"]
    assert len(lines) == 6


def test_score_takes_the_method_that_is_named(home: Path, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("The cat sat.", encoding="utf-8")
    done = shell("score", str(home / "bert"), str(tmp_path / "t.txt"), "--method", "pseudo")
    assert "pseudo" in done.out
    wrong = shell("score", str(home / "bert"), str(tmp_path / "t.txt"), "--method", "guess")
    assert wrong.code == 2
    assert "known: causal, pseudo" in wrong.err
