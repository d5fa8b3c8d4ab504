"""A corpus whose documents are known word by word."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sensorium.data.prepare.prepare import prepare
from sensorium.data.shards import Corpus


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Sixty documents of 1 to 30 sentences of 2 to 25 words, one sentence of 120 words, one document of one word."""
    folder = tmp_path_factory.mktemp("objectives")
    draw = np.random.default_rng(0)
    documents = ["Alone."]
    for number in range(60):
        lengths = draw.integers(2, 26, size=int(draw.integers(1, 31)))
        if number == 7:
            lengths = np.append(lengths, 120)
        sentences = [
            " ".join(["D" + str(number), *(f"w{int(draw.integers(300))}" for _ in range(n))]) + "." for n in lengths
        ]
        documents.append(" ".join(sentences))
    source = Path(folder / "documents.jsonl")
    source.write_text("".join(json.dumps({"text": text}) + "\n" for text in documents), encoding="utf-8")
    return prepare(source, out=folder / "corpus", tokenizer="bpe:500", validation=0.1)
