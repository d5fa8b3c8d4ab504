"""Equal documents, paragraphs and lines: what goes, why, and that neither memory nor the cut of the input matters."""

from __future__ import annotations

import struct
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.data.dedup import ExactDedup, SameDocuments, SameLines, SameParagraphs
from sensorium.data.dedup.buckets import HASHED, Buckets, InOrder, repeats
from sensorium.data.stages import Comparer, documents
from sensorium.errors import ConfigError, DataError, InputError
from tests.data.dedup.stage_runs import cut, reasons, run, texts, write_keys

FEW = st.lists(st.sampled_from(["a b", "A  b", "ab", "", " ", "春天", "春 天", "ß", "ss", "x" * 50]), max_size=30)
SIZES = st.lists(st.integers(0, 7), max_size=5)


@settings(max_examples=30, deadline=None)
@given(FEW, SIZES, st.sampled_from([1, 2048, 1 << 28]))
def test_the_first_of_equal_documents_stays_and_the_reason_names_it(
    some: list[str], sizes: list[int], memory: int
) -> None:
    judged, counts = run(SameDocuments(memory=memory), cut(some, sizes))
    first: dict[str, int] = {}
    expected = []
    for row, text in enumerate(some):
        folded = " ".join(text.casefold().split())
        expected.append(f"duplicate: of f#{first[folded]}" if folded in first else None)
        first.setdefault(folded, row)
    assert reasons(judged) == expected
    assert counts == {"duplicates": len(some) - len(first)}
    seen = ExactDedup()
    assert [seen.is_new(text) for text in some] == [reason is None for reason in expected]


@settings(max_examples=30, deadline=None)
@given(FEW, st.integers(0, 30), st.sampled_from([1, 1 << 28]))
def test_earlier_corpora_count_as_seen_and_the_result_is_that_of_one_run(some: list[str], at: int, memory: int) -> None:
    together, _ = run(SameDocuments(), cut(some, [at]))
    with tempfile.TemporaryDirectory() as name:
        stage = SameDocuments()
        old = documents(some[:at], [f"f#{row}" for row in range(len(some[:at]))])
        path = write_keys(stage, [old], Path(name) / "old.arrow")
        new = documents(some[at:], [f"f#{row}" for row in range(at, len(some))])
        judged, _ = run(SameDocuments(against=(path,), memory=memory), [[new]])
    assert reasons(judged) == reasons(together)[at:]


def test_a_million_equal_documents_take_no_more_memory_than_one(tmp_path: Path) -> None:
    buckets = Buckets.for_hashes(tmp_path, HASHED, records=1_000_000, memory=1 << 16)
    records = np.zeros(100_000, HASHED)
    for start in range(0, 1_000_000, 100_000):
        records["row"] = np.arange(start, start + 100_000)
        buckets.add(records, records["high"])
    total = 0
    for rows, firsts in repeats(buckets):
        assert len(rows) <= (1 << 16) // HASHED.itemsize
        assert not firsts.any()
        total += len(rows)
    assert total == 999_999


def test_hashes_that_differ_in_one_half_are_different(tmp_path: Path) -> None:
    records = np.array([(7, 1, 0), (7, 2, 1), (7, 1, 2), (8, 1, 3), (7, 2, 4), (8, 1, 5)], HASHED)
    buckets = Buckets(tmp_path, HASHED, count=1, memory=100)
    buckets.add(records, records["high"])
    found = sorted(
        pair for rows, firsts in repeats(buckets) for pair in zip(rows.tolist(), firsts.tolist(), strict=True)
    )
    assert found == [(2, 0), (4, 1), (5, 3)]


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.integers(0, 20_000), st.integers(0, 99)), st.lists(st.integers(0, 9000), max_size=4))
def test_what_is_found_is_read_in_order(found: dict[int, int], edges: list[int]) -> None:
    with tempfile.TemporaryDirectory() as name:
        order = InOrder(Path(name) / "x", rows=20_001, memory=1)
        order.add(np.array(list(found), np.int64), np.array(list(found.values()), np.int64))
        stops = [*np.cumsum([0, *edges]).clip(max=20_001).tolist(), 20_001]
        read = np.concatenate([order.read(a, b) for a, b in pairwise(stops)])
    expected = np.full(20_001, -1)
    expected[list(found)] = list(found.values())
    assert (read == expected[stops[0] :]).all()


LINES = st.lists(
    st.sampled_from(["short", "A line of some length", "a LINE of  some length", "春天来了花开了", ""]), max_size=6
)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(LINES.map("\n".join), max_size=8), SIZES, st.sampled_from([0.0, 0.4, 1.0]), st.sampled_from([1, 1 << 28])
)
def test_lines_seen_before_are_taken_out(some: list[str], sizes: list[int], most: float, memory: int) -> None:
    judged, counts = run(SameLines(shortest=15, most=most, memory=memory), cut(some, sizes))
    seen: set[str] = set()
    expected = []
    for text in some:
        kept, gone = [], 0
        for line in text.split("\n"):
            folded = " ".join(line.casefold().split())
            if len(folded.encode()) >= 15 and folded in seen:
                gone += len(line.strip())
            else:
                kept.append(line)
                if len(folded.encode()) >= 15:
                    seen.add(folded)
        whole = sum(len(line.strip()) for line in text.split("\n"))
        if not gone or (whole - gone and gone <= most * whole):
            expected.append("\n".join(kept) if gone else text)
    assert texts(judged) == expected
    assert counts["lines compared"] - counts["lines seen before"] == len(seen)


def test_a_document_of_which_most_is_gone_is_dropped_and_the_share_is_told() -> None:
    notice = "All rights reserved, no part of this may be copied."
    judged, _ = run(
        SameLines(shortest=20), cut([f"First.\n{notice}", f"Second.\n{notice}", f"{notice}\n" + "Much else. " * 9], [])
    )
    assert reasons(judged) == [None, "lines seen before: 88% of the text", None]
    assert texts(judged)[1] == "Much else. " * 9
    assert judged[0].counts == {"lines taken out": 1}


def test_paragraphs_go_as_a_whole_and_leave_the_others_as_they_were() -> None:
    form = "This paragraph is\nprinted on every page of the site."
    some = [
        f"One.\n\n{form}\n\n\nTwo.",
        f"Three is longer than that one, by far: it goes on and on.\n \n{form}",
        f"{form}\n\nFour " + "x" * 60,
    ]
    judged, counts = run(SameParagraphs(shortest=30), cut(some, []))
    assert texts(judged) == [some[0], "Three is longer than that one, by far: it goes on and on.", "Four " + "x" * 60]
    assert counts == {"paragraphs compared": 5, "paragraphs seen before": 2}


def test_lines_of_earlier_corpora_are_taken_out(tmp_path: Path) -> None:
    line = "This line was in the corpus of last year."
    stage = SameLines(shortest=20)
    path = write_keys(stage, [documents([line], ["old#0"])], tmp_path / "old.arrow")
    judged, _ = run(SameLines(shortest=20, against=(path,), most=0.9), cut([f"{line}\nBut this one is new here."], []))
    assert texts(judged) == ["But this one is new here."]


@pytest.mark.parametrize("stage", [SameDocuments(), SameLines(), SameParagraphs()])
def test_nothing_in_nothing_out(stage: Comparer) -> None:
    judged, _ = run(stage, [[], [documents([], [])], []])
    assert reasons(judged) == []


def test_keys_of_another_stage_or_damaged_ones_are_refused(tmp_path: Path) -> None:
    old = write_keys(SameLines(shortest=9), [documents(["some line"], ["a"])], tmp_path / "old.arrow")
    with pytest.raises(DataError, match="same lines, 1, shortest=9, not of same lines, 1, shortest=60"):
        run(SameLines(against=(old,)), cut(["x"], []))
    (tmp_path / "bad.arrow").write_bytes(old.read_bytes()[:-20])
    with pytest.raises(DataError, match="damaged"):
        run(SameLines(against=(tmp_path / "bad.arrow",)), cut(["x"], []))
    (tmp_path / "void.arrow").write_bytes(b"")
    with pytest.raises(DataError, match="damaged"):
        run(SameLines(against=(tmp_path / "void.arrow",)), cut(["x"], []))
    with pytest.raises(InputError, match="no such file of keys"):
        run(SameLines(against=(tmp_path / "none.arrow",)), cut(["x"], []))


def test_keys_whose_offsets_lead_out_of_their_file_read_no_foreign_memory(tmp_path: Path) -> None:
    old = write_keys(SameDocuments(), [documents(["one", "two"], ["aaaa", "bbbb"])], tmp_path / "old.arrow")
    data, offsets = old.read_bytes(), struct.pack("<3i", 0, 4, 8)
    assert data.count(offsets) == 1
    old.write_bytes(data.replace(offsets, struct.pack("<3i", 0, 4, 4000)))
    with pytest.raises(DataError, match="damaged"):
        run(SameDocuments(against=(old,)), cut(["x"], []))


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="between 0 and 1"):
        SameLines(most=2.0)
    with pytest.raises(DataError, match="2 decisions for 1"):
        SameDocuments().apply(
            documents(["a"], ["b"]), pa.record_batch({"duplicate_of": pa.array([None, None], pa.string())})
        )
