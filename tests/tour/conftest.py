"""A tiny text with its SOURCES.md, a plan that takes seconds, and one tour of it for all tests that only look."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
from pathlib import Path

import pytest
import transformers as hf

from sensorium.tour.plan import Asked, Plan, Strings, Term
from sensorium.tour.tour import Tour, tour
from tests.inference import folders, seq2seq
from tests.tasks.test_translate import with_tokens
from tests.training.fused import SMALL

ANIMALS = ["cat", "dog", "bird", "horse", "fish", "mouse", "sheep", "goat"]
SOURCES = """# The text

| file | holds | licence |
|---|---|---|
| `farm.jsonl.gz` | animals that sit | public domain <test> |
| `weather.jsonl.gz` | 天气 | CC0 |
"""
SIZE = (
    "model.dim=32", "model.layers=2", "model.heads=2", "model.feedforward=64", "model.context=64",
    "batch.seq_len=64", "batch.tokens=256", "run.steps=12", "run.eval_every=6", "run.max_minutes=1.0",
)  # fmt: skip


def write(path: Path, texts: list[str]) -> None:
    lines = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)
    path.write_bytes(gzip.compress(lines.encode()))


@pytest.fixture(scope="session")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights that know two languages by name."""
    folder = tmp_path_factory.mktemp("translator")
    seq2seq.saved(seq2seq.marian(), folder, tokenizer=with_tokens(">>zh<<", ">>en<<"))
    return folder


@pytest.fixture(scope="session")
def answerer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("answerer")
    config = hf.BertConfig(**folders._SIZE, max_position_embeddings=folders.CONTEXT, pad_token_id=0)
    folders.saved(hf.BertForQuestionAnswering(config), folder, "encoder")
    return folder


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some of the bundled digits: two classes, all voices."""
    path = tmp_path_factory.mktemp("digits") / "digits.zip"
    with zipfile.ZipFile(Plan().digits) as whole, zipfile.ZipFile(path, "w") as part:
        rows = list(csv.DictReader(io.StringIO(whole.read("digits.csv").decode())))
        kept = [row for row in rows if row["digit"] in ("one", "two")]
        listed = io.StringIO()
        writer = csv.DictWriter(listed, list(kept[0]))
        writer.writeheader()
        writer.writerows(kept)
        part.writestr("digits.csv", listed.getvalue())
        for name in (row[key] for row in kept for key in ("image", "sound")):
            part.writestr(name, whole.read(name))
    return path


@pytest.fixture(scope="session")
def plan(tmp_path_factory: pytest.TempPathFactory, translator: Path, answerer: Path, digits: Path) -> Plan:
    folder = tmp_path_factory.mktemp("text")
    farm = [f"The {a} sat by the {b}. It was warm. The {b} ran to the {a}." for a in ANIMALS for b in ANIMALS]
    weather = [f"今天天气很好，{a}月{b}日有雨。明天天气不好，没有雨。" for a in "一二三四五六" for b in "一二三四五六"]
    write(folder / "farm.jsonl.gz", farm)
    write(folder / "weather.jsonl.gz", weather)
    (folder / "SOURCES.md").write_text(SOURCES, encoding="utf-8")
    return Plan(
        corpus=folder,
        tokenizer="bpe:330",
        validation=0.25,
        encoder=SIZE,
        decoder=(*SIZE, "model.kv_heads=1"),
        masks=("The cat [MASK] by the dog.", "今天[MASK]气很好。"),
        prompts=("The <b>cat</b>", "今天"),
        new_tokens=8,
        translator=str(translator),
        strings=(Strings("en", "zh", ("the cat", "Delete %s?")), Strings("zh", "en", ("猫",))),
        terms=(Term("the cat", "cat", "猫"),),
        answerer=str(answerer),
        book=folder / "farm.jsonl.gz",
        digits=digits,
        fuse=(*SMALL, "run.epochs=2"),
        questions=(Asked("who sat by the horse?", "the cat"), Asked("who ran?", "nobody at all")),
    )


@pytest.fixture(scope="session")
def toured(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Tour:
    return tour(tmp_path_factory.mktemp("toured") / "out", plan=plan)
