"""A stage that fails, a process that dies: what is lost is told, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from sensorium.data.cleaning.text import Clean
from sensorium.data.dedup.exact import SameDocuments
from sensorium.data.prepare.basic import Length
from sensorium.data.prepare.chain import StageError
from sensorium.data.prepare.executor import Processes
from sensorium.data.prepare.prepare import prepare
from sensorium.data.prepare.work import place_of
from sensorium.data.stages import Each
from sensorium.errors import DataError, InputError
from tests.data.prepare.stages import Broken, Deadly, fussy
from tests.data.prepare.texts import SPEC, TEXTS, USUAL, jsonl, kept


def test_what_cannot_be_sent_to_other_processes_is_told(folder: Path, tmp_path: Path) -> None:
    stages = [*USUAL, Each(lambda text: text)]
    with pytest.raises(InputError, match=r"'each' cannot be sent to other processes.*or one worker"):
        prepare(folder, out=tmp_path / "a", stages=stages, tokenizer=SPEC, workers=2)
    assert not place_of(tmp_path / "a")[0].exists()
    prepare(folder, out=tmp_path / "a", stages=stages, tokenizer=SPEC)


@pytest.mark.parametrize("shared", [False, True])
def test_a_stage_that_fails_is_named_with_the_document(
    folder: Path, tmp_path: Path, pair: Processes, shared: bool
) -> None:
    told = r"0\.jsonl:8: the stage 'each' failed with ValueError: no seven, please\. Mend the stage"
    with pytest.raises(StageError, match=told):
        prepare(folder, out=tmp_path / "a", stages=[Each(fussy)], executor=pair if shared else None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


@pytest.mark.parametrize(
    ("way", "told"),
    [
        ("rows", "made 60 documents of 61"),
        ("column", "lost the column 'text' or 'source'"),
        ("kind", "answered with RecordBatch, not Mapped"),
    ],
)
def test_a_stage_that_breaks_its_contract_is_named(folder: Path, tmp_path: Path, way: str, told: str) -> None:
    with pytest.raises(StageError, match=f"the stage 'broken' {told}"):
        prepare(folder, out=tmp_path / "a", stages=[Broken(way)])


def test_a_process_that_dies_once_is_replaced_and_nothing_is_lost(
    folder: Path, tmp_path: Path, pair: Processes
) -> None:
    deadly = Deadly("Ship 5 ", once=str(tmp_path / "died"))
    corpus = prepare(folder, out=tmp_path / "a", stages=[*USUAL, deadly], tokenizer=SPEC, executor=pair)
    assert (tmp_path / "died").exists()
    assert kept(corpus) == set(TEXTS)
    assert corpus.manifest["input"]["unreadable"] == []


def test_a_file_that_kills_twice_is_left_out_and_listed(tmp_path: Path, pair: Processes) -> None:
    (tmp_path / "in").mkdir()  # all in one unit
    for i in range(6):
        jsonl(tmp_path / "in" / f"{i}.jsonl", [*TEXTS[i * 40 : i * 40 + 40], *(["poison"] if i == 2 else [])])
    stages = [Clean(), Length(), Deadly("poison"), SameDocuments()]
    corpus = prepare(tmp_path / "in", out=tmp_path / "a", stages=stages, tokenizer=SPEC, executor=pair)
    (problem,) = corpus.manifest["input"]["unreadable"]
    assert problem["where"] == str(tmp_path / "in" / "2.jsonl")
    assert "SIGKILL" in problem["reason"]
    assert kept(corpus) == set(TEXTS) - set(TEXTS[80:120])
    with pytest.raises(DataError, match=r"2\.jsonl: working on it failed twice: .*SIGKILL.*without --strict"):
        prepare(tmp_path / "in", out=tmp_path / "b", stages=stages, executor=pair, strict=True)


def test_a_batch_that_kills_a_later_stage_is_left_out(folder: Path, tmp_path: Path, pair: Processes) -> None:
    stages = [*USUAL, Deadly("Ship 5 ")]
    corpus = prepare(folder, out=tmp_path / "a", stages=stages, tokenizer=SPEC, executor=pair)
    assert kept(corpus) == set(TEXTS[60:])
    assert "batch 1" in corpus.manifest["input"]["unreadable"][0]["reason"]
