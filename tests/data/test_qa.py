"""Questions in every form that they come in; spans that do not match are counted, listed, and never mended."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sensorium.data.labelled.questions import AnswerSpan, Question, read_questions
from sensorium.data.sample import Ledger
from sensorium.errors import DataError, InputError, SensoriumError

CONTEXT = "Jane Austen wrote Emma in 1815. 她住在  汉普郡。\n"
EMMA, YEAR, PLACE = AnswerSpan("Emma", 18), AnswerSpan("1815", 26), AnswerSpan("汉普郡", 37)
ROWS = [
    ("1", "What did she write?", [EMMA]),
    ("2", "When?", [YEAR, AnswerSpan("in 1815", 23)]),
    ("3", "她住在哪里？", [PLACE]),
    ("4", "Who printed it?", []),
]
QUESTIONS = [Question(id, question, CONTEXT, tuple(spans), not spans) for id, question, spans in ROWS]


def spans(given: list[AnswerSpan]) -> list[dict]:
    return [{"text": span.text, "answer_start": span.start} for span in given]


def squad(version: int = 2) -> dict:
    qas = [
        {
            "id": id,
            "question": question,
            "answers": spans(given),
            **({"is_impossible": not given} if version == 2 else {}),
        }
        for id, question, given in ROWS
    ]
    return {"version": "2.0", "data": [{"title": "Emma", "paragraphs": [{"context": CONTEXT, "qas": qas}]}]}


def read(*paths: Path, ledger: Ledger | None = None, **options) -> list[Question]:
    return list(read_questions(list(paths), ledger or Ledger(strict=True), **options))


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("packed", [False, True])
def test_squad_is_read(tmp_path: Path, version: int, packed: bool) -> None:
    data = json.dumps(squad(version)).encode()
    path = tmp_path / ("a.json.gz" if packed else "a.json")
    path.write_bytes(gzip.compress(data) if packed else data)
    found = read(path)
    assert [question.title for question in found] == ["Emma"] * 4
    assert [(q.id, q.question, q.answers, q.impossible) for q in found] == [
        (q.id, q.question, q.answers, q.impossible) for q in QUESTIONS
    ]
    for question in found:
        assert all(question.context[span.start : span.end] == span.text for span in question.answers)
        assert question.context is found[0].context


def columns(form: str) -> list[dict]:
    rows = []
    for id, question, given in ROWS:
        row = {"id": id, "question": question, "context": CONTEXT}
        if form == "records":
            row["answers"] = spans(given)
        elif form == "columns":
            row["answers"] = {"text": [s.text for s in given], "answer_start": [s.start for s in given]}
        elif form == "lists":
            row |= {"answer": [s.text for s in given], "answer_start": [s.start for s in given]}
        else:
            row |= {"answer": [s.text for s in given]}
        rows.append(row)
    return rows


@pytest.mark.parametrize("form", ["records", "columns", "lists", "texts"])
@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".tsv", ".parquet"])
def test_tables_are_read(tmp_path: Path, suffix: str, form: str) -> None:
    path, rows = tmp_path / f"a{suffix}", columns(form)
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif suffix in (".csv", ".tsv"):
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter="\t" if suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)  # lists as Python writes them
    elif suffix == ".json":
        path.write_text(json.dumps(rows), encoding="utf-8")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    ledger = Ledger(strict=True)
    assert read(path, ledger=ledger) == QUESTIONS
    assert ledger.counts["answers found in their context"] == (4 if form == "texts" else 0)


def test_a_plain_table_with_one_answer_a_row_and_other_names(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "frage,passage,answer_text,answer_start,is_impossible\n"
        "Wer?,Jane schrieb es.,Jane,0.0,False\nWann?,Jane schrieb es.,,,true\nWas?,Jane schrieb [es].,[es],,\n",
        encoding="utf-8",
    )
    found = read(tmp_path / "a.csv", columns={"question": "frage"})
    assert [(q.answers, q.impossible) for q in found] == [
        ((AnswerSpan("Jane", 0),), False),
        ((), True),
        ((AnswerSpan("[es]", 13),), False),
    ]
    assert found[0].id == f"{tmp_path / 'a.csv'}:2"


def test_spans_that_do_not_match_are_counted_and_listed(tmp_path: Path) -> None:
    data = squad()
    qas = data["data"][0]["paragraphs"][0]["qas"]
    qas[0]["answers"] = spans([AnswerSpan("Emma", 17)])
    qas[1]["answers"] = spans([YEAR, AnswerSpan("1816", 26), AnswerSpan("in 1815", 900), AnswerSpan("1815", -5)])
    qas[2]["answers"] = [{"text": "Bath"}]
    (tmp_path / "a.json").write_text(json.dumps(data), encoding="utf-8")
    ledger = Ledger()
    found = read(tmp_path / "a.json", ledger=ledger)
    assert [(question.id, question.answers) for question in found] == [("2", (YEAR,)), ("4", ())]
    assert ledger.counts["answers that do not match"] == 5
    assert ledger.dropped == {"no answer matches the context": 2}
    assert [problem["reason"] for problem in ledger.problems] == [
        "the answer 'Emma' does not stand at 17 of the context, ' Emm' does",
        "the answer '1816' does not stand at 26 of the context, '1815' does",
        "the answer 'in 1815' does not stand at 900 of the context, nothing does",
        "the answer '1815' does not stand at -5 of the context, nothing does",
        "the answer 'Bath' does not stand in the context",
    ]
    assert ledger.problems[0]["where"] == f"{tmp_path / 'a.json'}, question 1"
    with pytest.raises(DataError, match="question 1: the answer 'Emma' does not stand at 17"):
        read(tmp_path / "a.json")


def test_what_squad_calls_impossible_has_no_answers(tmp_path: Path) -> None:
    data = squad()
    qa = data["data"][0]["paragraphs"][0]["qas"][0]
    qa["is_impossible"] = True
    (tmp_path / "a.json").write_text(json.dumps(data), encoding="utf-8")
    assert (read(tmp_path / "a.json")[0].answers, read(tmp_path / "a.json")[0].impossible) == ((), True)


@pytest.mark.parametrize("said", [False, "False", 0])
def test_a_question_that_is_possible_and_has_no_answer_is_not_one_that_cannot_be_answered(said, tmp_path: Path) -> None:
    rows = [
        {"question": "?", "context": "x", "answers": [], "is_impossible": value} for value in (said, None, "", True)
    ]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    ledger = Ledger()
    assert [question.impossible for question in read(tmp_path / "a.jsonl", ledger=ledger)] == [True] * 3
    assert ledger.dropped == {"said to be possible, without an answer": 1}


def test_an_empty_question_or_context_is_dropped_and_counted(tmp_path: Path) -> None:
    rows = [
        {"question": " ", "context": "x", "answer": "x"},
        {"question": None, "context": "x", "answer": "x"},
        {"question": "?", "context": "", "answer": "x"},
        {"question": "?", "context": "x", "answer": 7},
        {"question": "?", "context": "x", "answer": "x", "answer_start": "first"},
        {"question": "?", "context": "x", "answer": "x"},
    ]
    for row in rows:
        row.setdefault("answer_start", None)
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    ledger = Ledger()
    assert len(read(tmp_path / "a.jsonl", ledger=ledger)) == 1
    assert ledger.dropped == {"empty question": 2, "empty context": 1}
    assert [problem["reason"] for problem in ledger.problems] == [
        "an answer is int, not text", "the place of an answer is 'first', not a whole number",
    ]  # fmt: skip
    assert ledger.counts["questions"] == 6


REFUSED: dict[str, tuple[str, bytes, str]] = {
    "no json": ("a.json", b'{"data": [', r"a\.json: not valid JSON"),
    "a number": ("a.json", b"7", r"a\.json: holds neither a list of objects nor"),
    "no question": ("a.jsonl", b'{"context": "x", "answer": "y"}', r"no column holds the question of a question"),
    "no answer": ("a.csv", b"question,context\na,b\n", r"a\.csv:2: no column holds the answers.*context"),
    "text": ("a.txt", b"hello", r"a\.txt: files of the kind '\.txt' are no tables"),
    "paragraphs": ("a.json", b'[{"paragraphs": 7}]', r"object 1: paragraphs: holds int, not a list"),
    "questions": ("a.json", b'[{"paragraphs": [{"context": "x", "qas": [7]}]}]', r"qas: holds int, not an object"),
    "binary": ("a.json", b"\0\1\2", r"a\.json: a binary file, not text"),
    "parquet": ("a.parquet", b"PAR1", r"a\.parquet: not a readable Parquet file"),
    "cut": ("a.json.gz", gzip.compress(b"[]")[:-4], r"a\.json\.gz: cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_files_that_hold_no_questions_are_refused(tmp_path: Path, case: str) -> None:
    name, data, reason = REFUSED[case]
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SensoriumError, match=reason):
        read(tmp_path / name)


def test_folders_are_read_and_missing_files_named(tmp_path: Path) -> None:
    for name in ("b/one.json", "a.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(squad()), encoding="utf-8")
    assert len(read(tmp_path)) == 8
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty: the folder holds no table"):
        read(tmp_path / "empty")
    with pytest.raises(InputError, match=r"nowhere\.json: no such file"):
        read(tmp_path / "nowhere.json")
    with pytest.raises(InputError, match="no input given"):
        read()


def test_a_context_of_50_megabytes_is_held_once(tmp_path: Path) -> None:
    context = "word " * 10_000_000 + "end"
    qas = [{"id": str(i), "question": "?", "answers": [{"text": "end", "answer_start": 50_000_000}]} for i in range(3)]
    text = json.dumps({"data": [{"title": "", "paragraphs": [{"context": context, "qas": qas}]}]})
    (tmp_path / "a.json").write_text(text)
    found = read(tmp_path / "a.json")
    assert [question.answers for question in found] == [(AnswerSpan("end", 50_000_000),)] * 3
    assert len({id(question.context) for question in found}) == 1
