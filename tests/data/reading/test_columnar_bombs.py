"""Columnar files that are made to fill the memory: what they inflate to is told before, or written out by and by."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sensorium.data.reading import arrow_sizes, columnar, parquet_sizes
from sensorium.data.reading.arrow_sizes import check_message, message_at, messages_of
from sensorium.data.reading.inputs import read_inputs
from sensorium.data.reading.packed import LIMITS, Limits
from sensorium.data.sample import Ledger
from sensorium.errors import DataError

SMALL = Limits(ratio=50.0, ratio_from=100_000)
LETTER = "o" * (1 << 20)


def texts(path: Path, ledger: Ledger | None = None, limits: Limits = LIMITS, **options) -> list[str]:
    return [sample.text for sample in read_inputs([path], ledger or Ledger(strict=True), limits=limits, **options)]


def once(values: pa.Array, times: int) -> pa.Array:
    """Rows that all are the same string, which is stored once."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * times, pa.int32()), values)


def views(text: str, times: int) -> pa.Array:
    _, view, data = pa.array([text], pa.string_view()).buffers()
    return pa.Array.from_buffers(pa.string_view(), times, [None, pa.py_buffer(view.to_pybytes()[:16] * times), data])


def write_arrow(path: Path, table: pa.Table, compression: str | None = None, rows: int | None = None) -> None:
    new = pa.ipc.new_stream if path.name.startswith("stream") else pa.ipc.new_file
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with path.open("wb") as file, new(file, table.schema, options=options) as out:
        out.write_table(table, max_chunksize=rows)


BOMBS: dict[str, Callable[[Path], None]] = {
    "zstd.arrow": lambda path: write_arrow(path, pa.table({"text": [LETTER] * 4}), "zstd"),
    "stream.arrow": lambda path: write_arrow(path, pa.table({"text": [LETTER] * 4}), "zstd"),
    "lz4.feather": lambda path: write_arrow(path, pa.table({"text": [LETTER] * 4}), "lz4"),
    "dictionary.arrow": lambda path: write_arrow(path, pa.table({"text": once(pa.array([LETTER]), 4)}), "zstd"),
    "once.arrow": lambda path: write_arrow(path, pa.table({"text": once(pa.array([LETTER]), 1000)})),
    "bytes.arrow": lambda path: write_arrow(path, pa.table({"text": once(pa.array([LETTER.encode()]), 1000)})),
    "once-viewed.arrow": lambda path: write_arrow(
        path, pa.table({"text": once(pa.array([LETTER], pa.string_view()), 999)})
    ),
    "views.arrow": lambda path: write_arrow(path, pa.table({"text": views(LETTER, 1000)})),
    "page.parquet": lambda path: pq.write_table(
        pa.table({"text": [LETTER] * 4}), path, compression="zstd", use_dictionary=False
    ),
    "once.parquet": lambda path: pq.write_table(pa.table({"text": once(pa.array([LETTER]), 1000)}), path),
    "delta.parquet": lambda path: pq.write_table(
        pa.table({"text": [LETTER] * 200}),
        path,
        use_dictionary=False,
        column_encoding={"text": "DELTA_BYTE_ARRAY"},
        store_schema=False,
    ),
    "bytes.parquet": lambda path: pq.write_table(
        pa.table({"text": once(pa.array([LETTER.encode()]), 1000)}), path, store_schema=False
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_columnar_bomb_is_found_before_it_bursts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    BOMBS[name](tmp_path / name)
    sizes = list[int]()
    as_list = columnar._texts
    monkeypatch.setattr(columnar, "_texts", lambda array: sizes.append(array.nbytes) or as_list(array))
    ledger = Ledger()
    assert texts(tmp_path / name, ledger, SMALL) == []
    assert "as a compression bomb does" in ledger.problems[0]["reason"]
    # Whatever of it is looked at is no more than a batch.
    assert sum(sizes) < 70 * len(LETTER)


@pytest.mark.parametrize("name", ["zstd.arrow", "dictionary.arrow", "page.parquet"])
def test_what_a_small_file_holds_is_read_where_that_is_not_much(tmp_path: Path, name: str) -> None:
    BOMBS[name](tmp_path / name)
    found = texts(tmp_path / name, limits=Limits(ratio_from=1 << 40))
    assert set("".join(found)) == {"o"}
    assert len("".join(found)) % len(LETTER) == 0


def test_a_dictionary_of_views_is_text(tmp_path: Path) -> None:
    words = pa.DictionaryArray.from_arrays(
        pa.array([1, 0, None, 1]), pa.array(["夜里很安静。", "owl"], pa.string_view())
    )
    write_arrow(tmp_path / "a.arrow", pa.table({"text": words}))
    assert texts(tmp_path / "a.arrow", Ledger()) == ["owl", "夜里很安静。", "owl"]


INFLATE = """
import resource, sys
from pathlib import Path
from sensorium.data.reading.inputs import read_inputs
from sensorium.data.sample import Ledger
import pyarrow.parquet

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
ledger = Ledger()
assert not list(read_inputs([Path(sys.argv[1])], ledger))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, ledger.problems[0]["reason"])
"""


@pytest.mark.parametrize("name", ["zstd.arrow", "stream.arrow", "page.parquet"])
def test_a_real_bomb_takes_no_memory(tmp_path: Path, name: str) -> None:
    table = pa.table({"text": pa.array(["o" * (1 << 28)])})
    if name.endswith(".arrow"):
        write_arrow(tmp_path / name, table, "zstd")
    else:
        pq.write_table(table, tmp_path / name, compression="zstd", use_dictionary=False, write_statistics=False)
    assert (tmp_path / name).stat().st_size < 30_000
    ended = subprocess.run(
        [sys.executable, "-c", INFLATE, str(tmp_path / name)], capture_output=True, text=True, check=True
    )
    kilobytes, _, reason = ended.stdout.partition(" ")
    assert "as a compression bomb does" in reason
    assert int(kilobytes) < 50_000


def test_columns_that_are_not_read_do_not_count(tmp_path: Path) -> None:
    table = pa.table({"picture": [LETTER * 2] * 3, "text": ["one", "two", "three"], "views": views(LETTER, 3)})
    write_arrow(tmp_path / "a.arrow", table, "zstd")
    assert texts(tmp_path / "a.arrow", limits=SMALL) == ["one", "two", "three"]
    pq.write_table(table.drop_columns("views"), tmp_path / "a.parquet", compression="zstd", use_dictionary=False)
    assert texts(tmp_path / "a.parquet", limits=SMALL) == ["one", "two", "three"]


def test_a_batch_that_cannot_be_in_memory_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"text": [str(number) * 1000 for number in range(100)]})
    monkeypatch.setattr(arrow_sizes, "LARGEST", 50_000)
    monkeypatch.setattr(parquet_sizes, "LARGEST", 50_000)
    for name in ("a.arrow", "stream.arrow"):
        write_arrow(tmp_path / name, table)
        with pytest.raises(DataError, match=r"a batch of \d+ bytes.*write it in smaller batches"):
            texts(tmp_path / name)
        write_arrow(tmp_path / name, table, rows=10)
        assert texts(tmp_path / name) == table.column(0).to_pylist()
    pq.write_table(table, tmp_path / "a.parquet", use_dictionary=False)
    with pytest.raises(DataError, match=r"a page of \d+ bytes.*write it in smaller pages"):
        texts(tmp_path / "a.parquet")


NESTED = {
    "list<": [["a", "b"], ["c"]],
    "struct<": [{"a": "b"}, {"a": "c"}],
    "map<": pa.array([[("a", "b")], []], pa.map_(pa.string(), pa.string())),
    "dictionary<values=list": pa.DictionaryArray.from_arrays(pa.array([0, 0]), pa.array([["a"]])),
    "run_end_encoded<": pa.RunEndEncodedArray.from_arrays(pa.array([2], pa.int32()), pa.array([["a"]])),
}


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [(kind, ".arrow") for kind in NESTED] + [(kind, ".parquet") for kind in ("list<", "struct<", "map<")],
)
def test_lists_and_structures_are_no_text(tmp_path: Path, kind: str, suffix: str) -> None:
    table = pa.table({"text": NESTED[kind], "body": ["one", "two"], "url": [["u"], ["v"]]})
    if suffix == ".arrow":
        write_arrow(tmp_path / "a.arrow", table)
    else:
        pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=rf"the column 'text' holds {kind}.*, not text.*--column \(present: body\)"):
        texts(tmp_path / f"a{suffix}")
    # What goes with a text may be anything, and is left where it is if it is no text.
    (sample, _) = read_inputs([tmp_path / f"a{suffix}"], Ledger(strict=True), column="body")
    assert (sample.text, sample.meta) == ("one", {})


@pytest.mark.parametrize("suffix", [".arrow", ".parquet"])
def test_a_text_that_is_too_long_is_a_problem_of_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setattr(columnar, "MAX_ROW", 150_000)
    monkeypatch.setattr(columnar, "_HELD", 500_000)
    table = pa.table({"text": ["short", "夜" * 150_000, "x" * 150_001, "x" * 700_000, "last"]})
    if suffix == ".arrow":
        write_arrow(tmp_path / "a.arrow", table)
    else:
        pq.write_table(table, tmp_path / "a.parquet")
    ledger = Ledger()
    assert "".join(texts(tmp_path / f"a{suffix}", ledger)) == "short" + "夜" * 150_000 + "last"
    assert [problem["where"][-1] for problem in ledger.problems] == ["3", "4"]
    assert {problem["reason"] for problem in ledger.problems} == {"a text of more than 150000 characters"}


def every_type(rows: int) -> pa.Table:
    """A column of every layout that Arrow has."""
    halves = pa.array([0, 1] * (rows // 2), pa.int8())
    numbers, strings = pa.array(range(rows)), pa.array(["a string that is no short one"] * rows)
    return pa.table(
        {
            "text": [f"Text number {row}" for row in range(rows)],
            "lists": pa.array([["a", "b"]] * rows),
            "structures": pa.array(
                [{"a": 1, "b": "a string that is no short one"}] * rows,
                pa.struct([("a", pa.int8()), ("b", pa.string_view())]),
            ),
            "views": strings.cast(pa.string_view()),
            "nothing": pa.nulls(rows),
            "words": strings.dictionary_encode(),
            "maps": pa.array([[("k", 1)]] * rows, pa.map_(pa.string(), pa.int64())),
            "triples": pa.array([[1, 2, 3]] * rows, pa.list_(pa.int32(), 3)),
            "sparse": pa.UnionArray.from_sparse(halves, [numbers, strings]),
            "dense": pa.UnionArray.from_dense(
                halves, pa.array([row // 2 for row in range(rows)], pa.int32()), [numbers, strings]
            ),
            "runs": pa.RunEndEncodedArray.from_arrays(pa.array([rows], pa.int32()), pa.array(["r"])),
            "truths": pa.array([True] * rows),
            "list views": pa.array([["a"]] * rows, pa.list_view(pa.string())),
            "json": pa.ExtensionArray.from_storage(pa.json_(), strings),
        }
    )


@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
def test_the_buffers_of_each_column_are_known_by_its_type(tmp_path: Path, compression: str | None) -> None:
    table = every_type(40)
    write_arrow(tmp_path / "a.arrow", table, compression, rows=15)
    with (tmp_path / "a.arrow").open("rb") as file:
        dictionaries, batches = messages_of(file)
        assert (len(dictionaries), len(batches)) == (1, 3)
        for at in batches:
            message = message_at(file, at)
            assert message is not None
            assert message._batch is not None
            spans = arrow_sizes._buffers_of(table.schema.types, [count for (count,) in message._batch.rows(4, "q")])
            assert spans[-1].stop == len(list(message._batch.rows(2, "qq")))
            check_message(message, file, table.schema.types, [0, 3], LIMITS)
    assert texts(tmp_path / "a.arrow") == table.column("text").to_pylist()


@pytest.mark.parametrize("name", ["a.arrow", "stream.arrow", "a.parquet"])
def test_changed_bytes_never_end_in_a_defect_of_ours(tmp_path: Path, name: str) -> None:
    table = pa.table({"text": ["An owl sat in the old oak.", "夜里很安静。", None, "x" * 500] * 9})
    if name.endswith(".parquet"):
        pq.write_table(table, tmp_path / name, row_group_size=20, data_page_version="2.0", compression="zstd")
    else:
        write_arrow(tmp_path / name, table, "zstd", rows=20)
    draw, whole = random.Random(0), (tmp_path / name).read_bytes()
    for _ in range(200):
        damaged = bytearray(whole)
        for _ in range(draw.choice((1, 1, 4))):
            damaged[draw.randrange(len(whole))] = draw.choice((0, 127, 128, 255, draw.randrange(256)))
        (tmp_path / name).write_bytes(damaged)
        ledger = Ledger()
        try:
            texts(tmp_path / name, ledger)
        except DataError:
            continue
        assert not any("Error" in problem["reason"] for problem in ledger.problems), ledger.problems
