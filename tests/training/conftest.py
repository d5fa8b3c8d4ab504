"""A small corpus in English and Chinese."""

from __future__ import annotations

from pathlib import Path

import pytest

from sensorium.data.prepare.prepare import prepare
from sensorium.data.shards import Corpus

ANIMALS = ["cat", "dog", "bird", "horse", "fish", "mouse", "sheep", "goat"]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("text")
    for i in range(24):
        a, b = ANIMALS[i % 8], ANIMALS[(i * 3 + 1) % 8]
        lines = [
            f"The {a} sat by the {b} on day {j}. It was warm. 今天天气很好。The {b} ran away." for j in range(i, i + 8)
        ]
        (folder / f"{i:02}.txt").write_text("\n".join(lines), encoding="utf-8")
    return prepare(folder, out=folder.with_name(f"{folder.name}-corpus"), tokenizer="bpe:320", validation=0.1)


@pytest.fixture
def small() -> list[str]:
    return [
        "model.dim=32", "model.layers=1", "model.heads=2", "model.feedforward=64", "model.context=64",
        "batch.seq_len=32", "batch.tokens=128", "run.steps=12", "run.eval_every=6", "run.save_every=4",
    ]  # fmt: skip


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "run"
