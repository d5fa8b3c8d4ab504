"""Every verb works from the shell, prints JSON where asked, and fails with one line and its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TINY = [
    "model.dim=32", "model.layers=1", "model.heads=2", "model.feedforward=64", "model.context=64",
    "batch.seq_len=32", "batch.tokens=128", "run.steps=4",
]  # fmt: skip


def sensorium(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sensorium.cli.app", *arguments],
        check=False,
        input=stdin,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with texts, a corpus and two models, all made from the shell."""
    home = tmp_path_factory.mktemp("home")
    (home / "texts").mkdir()
    for i in range(12):
        (home / "texts" / f"{i}.txt").write_text(
            f"The cat sat on mat {i}. It was warm. 今天天气很好。\n" * 6, encoding="utf-8"
        )
    made = sensorium("prepare", str(home / "texts"), "--out", str(home / "corpus"), "--tokenizer", "bpe:300")
    assert made.returncode == 0, made.stderr
    sets = [word for override in TINY for word in ("--set", override)]
    for recipe, name in (("bert-tiny", "bert"), ("gpt2-mini", "gpt")):
        done = sensorium("train", str(home / "corpus"), "--recipe", recipe, "--out", str(home / name), *sets, "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["steps"] == 4
    return home


def test_the_verbs_of_use(home: Path) -> None:
    filled = sensorium("fill", str(home / "bert"), "The [MASK] sat.", "--top-k", "3", "--json")
    assert [len(candidates) for candidates in json.loads(filled.stdout)] == [3]
    lines = sensorium("fill", str(home / "bert"), "--top-k", "1", stdin="The [MASK] sat.\n今天[MASK]好。\n")
    assert len(lines.stdout.splitlines()) == 2
    written = sensorium("generate", str(home / "gpt"), "The cat", "--max-new-tokens", "5", "--json")
    assert json.loads(written.stdout)["usage"]["completion_tokens"] <= 5
    streamed = sensorium("generate", str(home / "gpt"), "The cat", "--max-new-tokens", "5")
    assert streamed.stdout.rstrip("\n") == "The cat" + json.loads(written.stdout)["text"].rstrip("\n")
    (home / "text.txt").write_text("The cat sat.", encoding="utf-8")
    scored = sensorium("score", str(home / "gpt"), str(home / "text.txt"), "--json")
    assert len(json.loads(scored.stdout)["logprobs"]) > 3
    verified = sensorium("verify", str(home / "bert"))
    assert verified.returncode == 0, verified.stderr
    assert "FAIL" not in verified.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["prepare", "nowhere", "--out", "{}/x"], 2, "no such file or folder"),
        (["prepare", "{}/empty", "--out", "{}/x"], 2, "no file that can be read"),
        (["prepare", "{}/empty.txt", "--out", "{}/x"], 2, "no usable document"),
        (["prepare", "{}/binary.txt", "--out", "{}/x"], 2, "a binary file"),
        (["prepare", "{}/latin.txt", "--out", "{}/x"], 2, "not valid UTF-8"),
        (["prepare", "{}/texts", "--out", "{}/corpus"], 2, "already exists"),
        (["prepare", "{}/texts", "--out", "{}/x", "--tokenizer", "bpe:90000"], 2, "larger than the text supports"),
        (["prepare", "{}/texts", "--out", "{}/x", "--tokenizer", "bep:900"], 2, "did you mean 'bpe'"),
        (["train", "{}/corpus", "--recipe", "bert-mni", "--out", "{}/x"], 2, "did you mean 'bert-mini'"),
        (["train", "{}/corpus", "--recipe", "bert-mini", "--out", "{}/x"], 2, "one batch takes 8192"),
        (["train", "{}/texts", "--recipe", "bert-mini", "--out", "{}/x"], 2, "not a prepared corpus"),
        (["train", "{}/corpus", "--recipe", "bert-tiny", "--out", "{}/bert"], 2, ""),
        (["fill", "{}/bert", "No mask here."], 2, "[MASK]"),
        (["fill", "{}/gpt", "A [MASK]."], 2, "fill"),
        (["generate", "{}/bert", "The"], 2, "generate"),
        (["generate", "{}/gpt", "{long}"], 2, "64"),
        (["score", "{}/gpt", "{}/none.txt"], 2, "No such file"),
        (["verify", "{}/texts"], 2, "config.json"),
        (["generate", "{}/bad.gguf", "The"], 2, "GGUF"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(home: Path, arguments: list[str], code: int, message: str) -> None:
    (home / "empty").mkdir(exist_ok=True)
    (home / "empty.txt").write_bytes(b"")
    (home / "binary.txt").write_bytes(bytes(range(256)))
    (home / "latin.txt").write_bytes("schön".encode("latin-1"))
    (home / "bad.gguf").write_bytes(b"GGUF nonsense")
    given = [a.replace("{long}", "cat " * 400).replace("{}", str(home)) for a in arguments]
    done = sensorium(*given)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr
    assert not (home / "x").exists()
    assert not list(home.glob(".*.part"))
