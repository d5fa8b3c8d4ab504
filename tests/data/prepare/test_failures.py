"""A stage that fails, a process that dies: what is lost is told, and nothing else is."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from sensorium.data.cleaning.text import Clean
from sensorium.data.dedup.exact import SameDocuments
from sensorium.data.prepare import engine
from sensorium.data.prepare.arrow import read_arrow
from sensorium.data.prepare.basic import Length
from sensorium.data.prepare.chain import StageError
from sensorium.data.prepare.describe import describe
from sensorium.data.prepare.executor import Processes
from sensorium.data.prepare.prepare import prepare
from sensorium.data.prepare.units import Unit
from sensorium.data.prepare.work import place_of
from sensorium.data.stages import Each, Where
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


def test_what_other_machines_wrote_may_come_into_sight_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    units = [Unit(number, ()) for number in range(2)]
    (tmp_path / "00000.json").touch()
    threading.Timer(0.3, (tmp_path / "00001.json").touch).start()
    assert engine._unseen(units, tmp_path) == []
    monkeypatch.setattr(engine, "LATE", 0.2)
    assert engine._unseen([*units, Unit(2, ())], tmp_path) == [Unit(2, ())]


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


def test_what_a_stage_reads_or_captures_tells_runs_apart(tmp_path: Path) -> None:
    def longer_than(least: int):
        return lambda text: len(text) > least

    assert describe(Where(longer_than(5))) != describe(Where(longer_than(50)))
    words = tmp_path / "words.txt"
    words.write_text("one")
    before = describe((words,), stamped=True)
    words.write_text("one two")
    assert describe((words,), stamped=True) != before
    assert describe((words,)) == describe((words,))


def test_a_corpus_that_is_compared_with_is_not_replaced(tmp_path: Path) -> None:
    text = tmp_path / "new.txt"
    text.write_text("A few words about ships and the sea, and more of them.")
    prepare(text, out=tmp_path / "x")
    before = (tmp_path / "x" / "manifest.json").read_bytes()
    with pytest.raises(InputError, match="would replace the input"):
        prepare(text, out=tmp_path / "x", against=tmp_path / "x", force=True)
    assert (tmp_path / "x" / "manifest.json").read_bytes() == before


def test_a_folder_that_no_run_has_signed_is_not_emptied(tmp_path: Path) -> None:
    text = tmp_path / "new.txt"
    text.write_text("A few words about ships and the sea, and more of them.")
    place = place_of(tmp_path / "x")[0]
    place.mkdir()
    (place / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="no run has signed"):
        prepare(text, out=tmp_path / "x")
    assert (place / "mine.txt").read_text() == "keep"


def test_what_cannot_work_is_told_before_anything_is_read(tmp_path: Path) -> None:
    text = tmp_path / "new.txt"
    text.write_text("A few words about ships and the sea, and more of them.")
    with pytest.raises(InputError, match="no such evaluation set"):
        prepare(text, out=tmp_path / "x", decontaminate="nothing.jsonl")
    with pytest.raises(InputError, match="thrown away"):
        prepare(text, out=tmp_path / "x", stop_words=True, identify=True)
    with pytest.raises(InputError, match="nothing tells"):
        prepare(text, out=tmp_path / "x", stop_words=True, keep_text=True)
    with pytest.raises(InputError, match="unknown set of quality rules 'gofer'"):
        prepare(text, out=tmp_path / "x", quality="gofer")
    assert not (tmp_path / "x").exists()


def test_chinese_is_kept_by_its_script(tmp_path: Path) -> None:
    text = tmp_path / "new.txt"
    text.write_text("我们在学校里学习中文，老师很好，学生也很好。今天天气不错，我们去公园玩。")
    assert len(prepare(text, out=tmp_path / "x", identify=True, languages=["zh-Hans"]).train) == 1


def test_a_staged_file_that_is_lost_is_not_taken_for_no_documents(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing or damaged.*--force"):
        list(read_arrow(tmp_path / "gone.arrow"))
    (tmp_path / "empty.arrow").touch()
    with pytest.raises(DataError, match=r"missing or damaged.*--force"):
        list(read_arrow(tmp_path / "empty.arrow"))
