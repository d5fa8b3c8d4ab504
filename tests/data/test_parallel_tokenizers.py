"""Corpora of pairs by Marian's tokenizers, which have one part for sources and another for targets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sensorium.data.corpus import ParallelCorpus
from sensorium.data.parallel.prepare import prepare_parallel
from sensorium.data.sample import Ledger
from sensorium.errors import InputError
from sensorium.objectives.seq2seq import Seq2SeqObjective
from sensorium.tasks.evaluate import read_pairs
from tests.data.piece_files import lines
from tests.data.test_piece_folders import marian

LANGUAGES = {"source": "en", "target": "zh"}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """English beside Chinese: no translations, but that is all the same to a tokenizer."""
    english = [" ".join(line.split()[:6]) for line in lines() if line.isascii() and len(line.split()) > 5]
    chinese = [line[:8] for line in lines() if not line.isascii() and len(line) > 8]
    rows = [("en", "zh"), *zip(english[:60], chinese[:60], strict=True)]
    (tmp_path / "a.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in rows), encoding="utf-8")
    return tmp_path / "a.tsv"


@pytest.fixture(params=[False, True], ids=["one vocabulary", "two"])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Where there are two, the target's is too large for two bytes, and numbers </s> otherwise."""
    (tmp_path / "marian").mkdir()
    folder = marian(tmp_path / "marian", separate=request.param)
    if request.param:
        path = folder / "target_vocab.json"
        names = ["<unk>", "</s>", *(f"unused {i}" for i in range(1 << 16)), *json.loads(path.read_text())]
        path.write_text(json.dumps({name: id for id, name in enumerate(dict.fromkeys(names))}))
    return folder


def prepared(table: Path, folder: Path) -> ParallelCorpus:
    return prepare_parallel(table, out=table.parent / "corpus", tokenizer=folder, validation=0.2, **LANGUAGES)


def test_each_side_has_the_tokens_of_its_own_part(table: Path, folder: Path) -> None:
    prepared(table, folder)
    corpus = ParallelCorpus.open(table.parent / "corpus")
    tokenizer, split = corpus.tokenizer, corpus.validation
    assert tokenizer.target is not tokenizer
    known = dict(line.split("\t") for line in table.read_text(encoding="utf-8").splitlines()[1:])
    asked = tokenizer.id(">>zho<<")
    sources = {(asked, *tokenizer.encode_raw([text])[0]): text for text in known}
    assert len(split)
    for source, target in map(split.pair, range(len(split))):
        text = known[sources[tuple(source.tolist())]]
        assert target.tolist() == tokenizer.target.encode_raw([text])[0] != tokenizer.encode_raw([text])[0]


def test_each_side_is_given_back_and_ended_by_its_own_part(table: Path, folder: Path) -> None:
    corpus = prepared(table, folder)
    tokenizer, split = corpus.tokenizer, corpus.validation
    pairs, way = read_pairs([corpus.folder], None, None, {}, Ledger())
    assert way == ("en", "zh")
    assert pairs == [
        (tokenizer.decode(source), tokenizer.target.decode(target))
        for source, target in map(split.pair, range(len(split)))
    ]
    goal, draw = Seq2SeqObjective(tokenizer, seq_len=64, start=3), np.random.default_rng(0)
    for unit in goal.units(split, draw):
        example, (source, target) = goal.example(split, unit, draw), split.pair(int(unit[0]))
        assert example.source.tolist() == [*source.tolist(), tokenizer.eos_id]
        assert example.targets.tolist() == [*target.tolist(), tokenizer.target.eos_id]


@pytest.mark.parametrize(
    "options", [{"both_ways": True}, {"source": "zh", "target": "en"}, {"source": "zh-CN", "target": "en-GB"}]
)
def test_no_language_stands_on_both_sides(table: Path, folder: Path, options: dict) -> None:
    table.write_text(table.read_text(encoding="utf-8").replace("en\tzh\n", "en-GB\tzh-CN\n", 1), encoding="utf-8")
    with pytest.raises(InputError, match=r"marian: .*one part for sources and one for targets.*both sides\. Prepare"):
        prepare_parallel(table, out=table.parent / "corpus", tokenizer=folder, **LANGUAGES | options)
    assert not (table.parent / "corpus").exists()
