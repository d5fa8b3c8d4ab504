"""A folder such as a user has: texts, a corpus of them, and two models, all made from the shell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.shell import shell

TINY = [
    "model.dim=32", "model.layers=1", "model.heads=2", "model.feedforward=64", "model.context=64",
    "batch.seq_len=32", "batch.tokens=128", "run.steps=4",
]  # fmt: skip
SETS = [word for override in TINY for word in ("--set", override)]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    (home / "texts").mkdir()
    for i in range(12):
        (home / "texts" / f"{i}.txt").write_text(
            f"The cat sat on mat {i}. It was warm. 今天天气很好。\n" * 6, encoding="utf-8"
        )
    made = shell("prepare", str(home / "texts"), "--out", str(home / "corpus"), "--tokenizer", "bpe:300")
    assert made.code == 0, made.err
    for recipe, name in (("bert-tiny", "bert"), ("gpt2-mini", "gpt")):
        done = shell("train", str(home / "corpus"), "--recipe", recipe, "--out", str(home / name), *SETS, "--json")
        assert done.code == 0, done.err
        assert json.loads(done.out)["steps"] == 4
    return home
