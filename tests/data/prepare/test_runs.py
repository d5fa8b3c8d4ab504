"""Many processes give the bytes of one; stages of a user's own run as they stand in the list."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sensorium.data.dedup.exact import SameDocuments
from sensorium.data.prepare import reading, units
from sensorium.data.prepare.executor import Processes
from sensorium.data.prepare.prepare import prepare
from sensorium.data.prepare.reading import parts_of
from sensorium.data.reading import spans
from sensorium.data.sample import Ledger
from sensorium.data.stages import Each, Stage, Where
from sensorium.errors import InputError
from tests.data.prepare.stages import Weigh, short, shout
from tests.data.prepare.texts import CHINESE, ENGLISH, SPEC, TEXTS, USUAL, files, jsonl, kept


def test_many_processes_give_the_bytes_of_one(folder: Path, tmp_path: Path, pair: Processes) -> None:
    options = {"tokenizer": SPEC, "keep_text": True, "validation": 0.1}
    alone = prepare(folder, out=tmp_path / "one", **options)
    shared = prepare(folder, out=tmp_path / "two", executor=pair, **options)
    prepare(folder, out=tmp_path / "three", workers=3, **options)
    assert files(tmp_path / "one") == files(tmp_path / "two") == files(tmp_path / "three")
    assert alone.manifest["dropped"] == shared.manifest["dropped"] == {"duplicate": 100, "empty": 6}
    assert kept(shared) == set(TEXTS)


def test_the_hash_seed_of_other_processes_changes_nothing(folder: Path, tmp_path: Path) -> None:
    prepare(folder, out=tmp_path / "one", tokenizer=SPEC)
    code = "import sys; from sensorium.data.prepare import units, prepare; units.UNIT = 1; prepare.prepare("
    command = f"{code}sys.argv[1], out=sys.argv[2], tokenizer={SPEC!r}, workers=2)"
    environment = {**os.environ, "PYTHONHASHSEED": "11"}
    subprocess.run([sys.executable, "-c", command, folder, tmp_path / "two"], check=True, env=environment)
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_stages_of_ones_own_run_in_the_order_of_the_list(folder: Path, tmp_path: Path, pair: Processes) -> None:
    shouted: list[Stage] = [*USUAL, Each(shout), Where(short), Weigh()]
    corpus = prepare(folder, out=tmp_path / "a", stages=shouted, tokenizer=SPEC, executor=pair, keep_text=True)
    assert kept(corpus) == {text.upper() for text in TEXTS if len(text.upper()) < 60}
    assert corpus.manifest["dropped"]["not short"] == sum(len(text) >= 60 for text in TEXTS)
    tables = [pq.read_table(path) for path in sorted((tmp_path / "a" / "documents").iterdir())]
    rows = [row for table in tables for row in table.to_pylist()]
    assert [row["weight"] for row in rows] == [len(row["text"]) for row in rows]
    before = prepare(folder, out=tmp_path / "b", stages=[Where(short), *USUAL], tokenizer=SPEC)
    names = [stage["name"] for stage in json.loads((tmp_path / "b" / "report.json").read_text())["stages"]]
    assert names == ["where", "clean", "length", "same documents"]
    assert before.manifest["dropped"]["not short"] > corpus.manifest["dropped"]["not short"]


def test_a_stage_may_stand_in_the_list_twice(folder: Path, tmp_path: Path) -> None:
    stages = [*USUAL, Where(short), Each(shout), SameDocuments(), Where(short)]
    prepare(folder, out=tmp_path / "a", stages=stages, tokenizer=SPEC)
    report = json.loads((tmp_path / "a" / "report.json").read_text())["stages"]
    assert [stage["name"] for stage in report][3:] == ["where", "each", "same documents 2", "where 2"]
    for first, second in pairwise(report):
        assert first["documents_out"] == second["documents_in"]
        assert first["documents_in"] - first["documents_out"] == sum(first["dropped"].values())


def test_a_later_corpus_is_kept_free_of_what_an_earlier_one_holds(tmp_path: Path) -> None:
    prepare(jsonl(tmp_path / "a.jsonl", ENGLISH), out=tmp_path / "a", tokenizer=SPEC)
    source = jsonl(tmp_path / "b.jsonl", [*ENGLISH[:50], *CHINESE])
    later = prepare(source, out=tmp_path / "b", tokenizer="bpe:290", against=tmp_path / "a")
    assert later.manifest["dropped"] == {"duplicate": 50}
    assert kept(later) == set(CHINESE)
    prepare(source, out=tmp_path / "c", tokenizer="bpe:290", keep_keys=False)
    with pytest.raises(InputError, match="no keys of the stage 'same documents'"):
        prepare(source, out=tmp_path / "d", against=[tmp_path / "c"])


def test_a_file_that_changes_while_it_is_read_is_not_used_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BATCH", 100)
    (tmp_path / "in").mkdir()
    jsonl(tmp_path / "in" / "a.jsonl", ENGLISH)
    path = jsonl(tmp_path / "in" / "b.jsonl", CHINESE)
    grown = Each(_grower(path))
    corpus = prepare(tmp_path / "in", out=tmp_path / "c", stages=[grown, *USUAL], tokenizer=SPEC)
    assert kept(corpus) == set(ENGLISH)
    (problem,) = corpus.manifest["input"]["unreadable"]
    assert problem["where"] == str(path)
    assert "changed" in problem["reason"]
    assert corpus.manifest["input"]["counts"]["documents"] == len(ENGLISH)


def _grower(path: Path):
    def grow(text: str) -> str:
        with path.open("a") as file:
            file.write("\n")
        return text

    return grow


def test_a_million_empty_documents_are_counted_and_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": " "}\n' * 20_000 + json.dumps({"text": ENGLISH[0]}) + "\n")
    corpus = prepare(path, out=tmp_path / "c")
    assert corpus.manifest["dropped"] == {"empty": 20_000}
    dropped = pq.read_table(tmp_path / "c" / "dropped.parquet")
    assert dropped.column_names == ["stage", "rule", "reason", "source", "characters", "excerpt"]
    assert dropped.num_rows == 200


def test_a_large_file_is_shared_by_its_spans_and_damaged_in_one_it_is_not_used_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = jsonl(tmp_path / "a.jsonl", TEXTS * 3)
    whole = prepare(path, out=tmp_path / "whole", tokenizer=SPEC, keep_keys=False)
    monkeypatch.setattr(spans, "SPAN", 4000)
    monkeypatch.setattr(units, "UNIT", 1)
    parts = parts_of([path], Ledger())
    assert len(parts) > 5
    assert all(part.split for part in parts)
    corpus = prepare(path, out=tmp_path / "spans", tokenizer=SPEC, keep_keys=False)
    assert corpus.manifest == whole.manifest
    for name in ("report.json", "tokenizer.json", "train/tokens-00000.bin", "train/sentences.npy"):
        assert files(tmp_path / "whole")[name] == files(tmp_path / "spans")[name]
    path.write_bytes(path.read_bytes()[:-100] + b"\xff" * 20 + b"\n")
    other = jsonl(tmp_path / "b.jsonl", ENGLISH)
    corpus = prepare([path, other], out=tmp_path / "damaged", tokenizer=SPEC)
    assert kept(corpus) == set(ENGLISH)
    assert [problem["where"] for problem in corpus.manifest["input"]["unreadable"]] == [str(path)]
