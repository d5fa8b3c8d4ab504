"""Decontamination: what of evaluation sets is found in documents, against plain sets of word tuples."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.data.dedup import Decontaminate, FindContaminated
from sensorium.data.dedup.evaluation import read_evaluation
from sensorium.data.stages import Filter, Mapper, documents
from sensorium.errors import ConfigError, DataError, InputError

QUESTION = "Which of the two rivers that meet below the old town carries more water to the sea in spring?"
CHINESE = "下面哪一条河流在春天的时候把更多的水从老城下面带到大海里去？"


@pytest.fixture
def sets(tmp_path: Path) -> tuple[Path, Path]:
    rows = [
        {"id": 7, "question": "Too short to tell", "choices": ["yes"]},
        {"question": QUESTION, "choices": ["a", "b"]},
    ]
    quiz, chinese = tmp_path / "quiz.jsonl", tmp_path / "zh.txt"
    quiz.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    chinese.write_text(f"短\n{CHINESE}\nEight words in a row are looked for.\n", encoding="utf-8")
    return quiz, chinese


def judge(stage: Filter, *texts: str) -> list[str | None]:
    return stage.judge(documents(texts, [""] * len(texts))).to_pylist()


def test_the_reason_names_the_set_the_row_and_the_words(sets: tuple[Path, Path]) -> None:
    found = judge(
        Decontaminate(against=sets),
        "Rivers are long.",
        f'A page of quizzes. "{QUESTION.upper()}"\nAnd so on.',
        f"测验题：{CHINESE}答案见下页。",
        "They said: eight words, in a row -- are looked for!",
        "Eight words in a row are looked up, that is all.",
    )
    assert found[0] is None
    run = " ".join(QUESTION.lower().split()[:13])
    assert found[1] == f'contaminated: by quiz.jsonl#2, runs 7, the first "{run}"'
    assert str(found[2]).startswith("contaminated: by zh.txt#2, runs 10, the first")
    assert found[3] == 'contaminated: by zh.txt#3, runs 1, the first "eight words, in a row -- are looked for"'
    assert found[4] is None


def test_so_many_runs_as_asked_for_must_be_shared(sets: tuple[Path, Path]) -> None:
    part = " ".join(QUESTION.split()[:14])
    assert judge(Decontaminate(against=sets, least=2), part) != [None]
    assert judge(Decontaminate(against=sets, least=3), part) == [None]


def test_marking_keeps_every_document_and_counts_by_set(sets: tuple[Path, Path]) -> None:
    stage = FindContaminated(against=sets)
    assert isinstance(stage, Mapper)
    assert not isinstance(stage, Filter)
    mapped = stage.map(documents([QUESTION, "x", CHINESE, QUESTION], list("abcd")))
    assert mapped.batch.column("contaminated").to_pylist() == ["quiz.jsonl#2", None, "zh.txt#2", "quiz.jsonl#2"]
    assert mapped.counts == {"contaminated by quiz.jsonl": 2, "contaminated by zh.txt": 1}
    assert stage.map(documents([], [])).batch.num_rows == 0


def test_columns_may_be_chosen(tmp_path: Path) -> None:
    pq.write_table(pa.table({"q": [QUESTION], "context": [CHINESE]}), tmp_path / "a.parquet")
    path = tmp_path / "a.parquet"
    assert judge(Decontaminate(against=(path,), columns=("q",)), CHINESE) == [None]
    assert judge(Decontaminate(against=(path,), columns=("context",)), CHINESE) != [None]
    with pytest.raises(DataError, match=r"no column 'body'.*Present: q, context"):
        judge(Decontaminate(against=(path,), columns=("body",)), CHINESE)


WORDS = st.lists(st.sampled_from("abcd"), max_size=14)


@settings(max_examples=60, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=4), st.lists(WORDS, max_size=5))
def test_exactly_the_documents_that_share_a_run_go(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], some: list[list[str]]
) -> None:
    path = tmp_path_factory.mktemp("set") / "set.txt"
    path.write_text("\n".join(" ".join(row) for row in [*rows, list("zzzz")]), encoding="utf-8")
    runs = {
        tuple(row[at : at + min(5, len(row))]) for row in rows if len(row) >= 3 for at in range(max(1, len(row) - 4))
    }
    expected = [
        any(tuple(text[at : at + n]) in runs for n in (3, 4, 5) for at in range(len(text) - n + 1)) for text in some
    ]
    found = judge(Decontaminate(against=(path,), ngram=5, shortest=3), *(" ".join(text) for text in some))
    assert [reason is not None for reason in found] == expected
    read_evaluation.cache_clear()


def test_bad_sets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no evaluation set"):
        Decontaminate(against=())
    with pytest.raises(ConfigError, match="shortest at most ngram"):
        Decontaminate(against=(tmp_path,), ngram=5)
    with pytest.raises(InputError, match="no such file"):
        judge(Decontaminate(against=(tmp_path / "none.jsonl",)), "x")
    (tmp_path / "short.txt").write_text("nothing\nhere\n", encoding="utf-8")
    with pytest.raises(DataError, match="no row of 8 words or more"):
        judge(Decontaminate(against=(tmp_path / "short.txt",)), "x")
