"""Parquet, Arrow and Feather files: every kind of string, long texts that are stored once, and damage that bites."""

from __future__ import annotations

import struct
import subprocess
import sys
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from sensorium.data.reading import columnar as columnar_module
from sensorium.data.reading.columnar import columnar_rows
from sensorium.data.reading.files import read_file
from sensorium.data.reading.inputs import read_inputs
from sensorium.data.reading.places import UnreadableError
from sensorium.data.rows import named_rows
from sensorium.data.sample import Ledger, Sample
from sensorium.errors import DataError

TEXTS = ["An owl sat in the old oak.", "夜里很安静。", "Größe und Maß"]


def samples(path: Path, ledger: Ledger | None = None, **options) -> list[Sample]:
    return list(read_inputs([path], ledger or Ledger(strict=True), **options))


def texts(path: Path, ledger: Ledger | None = None, **options) -> list[str]:
    return [sample.text for sample in samples(path, ledger, **options)]


def columnar(name: str, table: pa.Table, path: Path) -> None:
    if name.endswith(".parquet"):
        pq.write_table(table, path)
    elif name.startswith("stream"):
        with pa.ipc.new_stream(path, table.schema) as out:
            out.write_table(table)
    elif name.endswith(".arrow"):
        with pa.ipc.new_file(path, table.schema) as out:
            out.write_table(table)
    else:
        feather.write_feather(table, path)


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "stream.arrow", "a.feather"])
def test_columnar_files_are_read_with_what_they_say_of_a_text(tmp_path: Path, name: str) -> None:
    table = pa.table({"url": ["u0", None, "u2"], "license": ["MIT", "MIT", None], "body": TEXTS, "n": [1, 2, 3]})
    columnar(name, table, tmp_path / name)
    found = samples(tmp_path / name, column="body")
    assert [sample.text for sample in found] == TEXTS
    assert [sample.meta for sample in found] == [{"url": "u0", "licence": "MIT"}, {"licence": "MIT"}, {"url": "u2"}]
    assert found[2].source == f"{tmp_path / name}:3"
    with pytest.raises(DataError, match=r"no column 'text'.*present: url, license, body, n"):
        texts(tmp_path / name)


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())])
def test_strings_of_every_kind_are_text(tmp_path: Path, kind: pa.DataType) -> None:
    columnar("a.arrow", pa.table({"text": pa.array(TEXTS).cast(kind)}), tmp_path / "a.arrow")
    assert texts(tmp_path / "a.arrow") == TEXTS


def test_a_string_that_is_no_utf8_is_a_problem_of_its_row(tmp_path: Path) -> None:
    bad = pa.array([b"good", b"\xff\xfe", b"also good", None]).view(pa.string())
    columnar("a.parquet", pa.table({"text": bad}), tmp_path / "a.parquet")
    ledger = Ledger()
    assert texts(tmp_path / "a.parquet", ledger) == ["good", "also good"]
    assert [problem["reason"] for problem in ledger.problems] == ["holds bytes, not text", "holds NoneType, not text"]


@pytest.mark.parametrize("name", ["a.arrow", "a.feather", "a.parquet"])
def test_a_columnar_file_that_is_none_or_cut_is_not_used(tmp_path: Path, name: str) -> None:
    columnar(name, pa.table({"text": TEXTS * 1000}), tmp_path / name)
    data = (tmp_path / name).read_bytes()
    for content in (data[: len(data) // 2], b"just text, no table at all"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnreadableError, match="not a readable"):
            list(read_file(tmp_path / name, Ledger()))


def with_offsets(path: Path, offsets: list[int]) -> None:
    """An Arrow file whose column has other offsets than it was written with."""
    table = pa.table({"text": ["aaaaa", "bbbbb", "ccccc"]})
    columnar(path.name, table, path)
    data, right = path.read_bytes(), struct.pack("<4i", 0, 5, 10, 15)
    assert data.count(right) == 1
    path.write_bytes(data.replace(right, struct.pack("<4i", *offsets)))


@pytest.mark.parametrize("name", ["a.arrow", "stream.arrow"])
@pytest.mark.parametrize("offsets", [[0, 5, 10, 400], [0, 5, 10, 1 << 30], [0, 900, 10, 15], [-9, 5, 10, 15]])
def test_offsets_that_lead_out_of_an_arrow_file_read_no_foreign_memory(
    tmp_path: Path, name: str, offsets: list[int]
) -> None:
    with_offsets(tmp_path / name, offsets)
    with pytest.raises(UnreadableError, match="not a readable Arrow file"):
        list(read_file(tmp_path / name, Ledger()))
    ledger = Ledger()
    assert list(columnar_rows(tmp_path / name, ".arrow", ledger)) == []
    assert "not a readable Arrow file" in ledger.problems[0]["reason"]


def test_indices_beyond_their_dictionary_are_damage(tmp_path: Path) -> None:
    wrong = pa.DictionaryArray.from_arrays(pa.array([0, 7], pa.int32()), pa.array(["one"]), safe=False)
    columnar("a.arrow", pa.table({"text": wrong}), tmp_path / "a.arrow")
    with pytest.raises(UnreadableError, match="not a readable Arrow file"):
        list(read_file(tmp_path / "a.arrow", Ledger()))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_a_string_that_is_no_utf8_does_not_cost_its_arrow_file(tmp_path: Path, kind: pa.DataType) -> None:
    bad = pa.array([b"good", b"\xff\xfe"]).view(pa.string())
    column = bad.dictionary_encode() if pa.types.is_dictionary(kind) else bad.cast(kind)
    columnar("a.arrow", pa.table({"text": column}), tmp_path / "a.arrow")
    ledger = Ledger()
    assert texts(tmp_path / "a.arrow", ledger) == ["good"]
    assert ledger.problems[0]["reason"] == "holds bytes, not text"


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"store_schema": False, "row_group_size": 700},
        {"use_dictionary": False, "column_encoding": {"text": "DELTA_BYTE_ARRAY"}},
        {"use_dictionary": False, "column_encoding": {"text": "DELTA_LENGTH_BYTE_ARRAY"}},
    ],
)
def test_a_parquet_file_that_stores_a_long_text_once_is_read_a_few_rows_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict
) -> None:
    # Short rows first, so that looking at the first rows would not do.
    column = [str(i) for i in range(500)] + ["An owl in the oak. " * 1000, None] * 1000 + ["last"]
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet", **options)
    sizes = list[int]()
    monkeypatch.setattr(columnar_module, "_HELD", 1 << 18)
    as_list = columnar_module._texts
    monkeypatch.setattr(columnar_module, "_texts", lambda array: sizes.append(array.nbytes) or as_list(array))
    ledger = Ledger()
    assert texts(tmp_path / "a.parquet", ledger) == [text for text in column if text is not None]
    assert ledger.counts["problems"] == 1000
    # 64 rows of those that are stored by what differs; about 256 KB of others.
    assert max(sizes) < (64 * 20_000 if options.get("use_dictionary") is False else 300_000)
    assert len(sizes) < 300


READ = """
import sys
from datetime import date
from pathlib import Path
from sensorium.data.reading.inputs import read_inputs
from sensorium.data.sample import Ledger
from sensorium.errors import DataError

data, path = Path(sys.argv[1]).read_bytes(), Path(sys.argv[1]).with_name("damaged.parquet")
for at in range(len(data) - 8 - int.from_bytes(data[-8:-4], "little"), len(data) - 8):
    path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    try:
        list(read_inputs([path], Ledger()))
    except DataError:
        pass
"""


def test_an_arrow_file_that_stores_a_long_text_once_is_read_a_few_rows_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    column = pa.array(["short", "An owl in the oak. " * 1000, None] * 500).dictionary_encode()
    columnar("a.arrow", pa.table({"text": column}), tmp_path / "a.arrow")
    sizes = list[int]()
    monkeypatch.setattr(columnar_module, "_HELD", 1 << 18)
    as_list = columnar_module._texts
    monkeypatch.setattr(columnar_module, "_texts", lambda array: sizes.append(array.nbytes) or as_list(array))
    assert texts(tmp_path / "a.arrow", Ledger()) == column.drop_null().to_pylist()
    assert max(sizes) < 300_000


def test_parquet_whose_description_is_damaged_does_not_end_the_process(tmp_path: Path) -> None:
    table = pa.table({"url": ["u"] * 9, "text": ["one text", "another"] * 4 + [None]})
    columnar("a.parquet", table, tmp_path / "a.parquet")
    ended = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path / "a.parquet")], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


def categories(values: pa.Array) -> pa.Array:
    """As pandas writes a categorical: the rows are numbers of the values, the last of which is not used."""
    return pa.DictionaryArray.from_arrays(pa.array([0, None, 0], pa.int8()), values)


@pytest.mark.parametrize("name", ["a.arrow", "stream.arrow", "a.feather"])
@pytest.mark.parametrize(
    "values",
    [
        pa.array([1, 2]),
        pa.array([1.5, 2.0]),
        pa.array([True, False]),
        pa.array([date(2020, 1, 1), date(2021, 1, 1)]),
        pa.array([b"ab", b"cd"], pa.binary(2)),
        pa.array([["a", "b"], ["c"]]),
        pa.nulls(1),
    ],
    ids=lambda values: str(values.type),
)
def test_categories_that_are_no_strings_are_read_as_what_they_are(tmp_path: Path, name: str, values: pa.Array) -> None:
    columnar(name, pa.table({"text": TEXTS, "url": categories(values)}), tmp_path / name)
    rows = [row for _, row in named_rows(tmp_path / name, Ledger(strict=True))]
    first = values[0].as_py()
    assert rows == [{"text": text, "url": url} for text, url in zip(TEXTS, [first, None, first], strict=True)]
    found = samples(tmp_path / name)
    assert [sample.text for sample in found] == TEXTS
    assert [sample.meta for sample in found] == [{}] * 3


@pytest.mark.parametrize("options", [{}, {"use_dictionary": False}])
def test_a_parquet_file_may_hold_groups_of_no_rows(tmp_path: Path, options: dict) -> None:
    table = pa.table({"id": range(3), "text": TEXTS})
    pq.write_table(table.slice(0, 0), tmp_path / "none.parquet", **options)
    with pq.ParquetWriter(tmp_path / "some.parquet", table.schema, **options) as out:
        for one in (table, table.slice(0, 0), table):
            out.write_table(one)
    assert texts(tmp_path / "none.parquet") == []
    assert texts(tmp_path / "some.parquet") == TEXTS * 2
    assert len(list(named_rows(tmp_path / "some.parquet", Ledger(strict=True)))) == 6


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_runs_of_the_same_text_are_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: pa.DataType) -> None:
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3, 6], pa.int32()), pa.array(TEXTS).cast(kind))
    columnar("a.arrow", pa.table({"text": runs}), tmp_path / "a.arrow")
    for held in (1 << 23, 30):
        monkeypatch.setattr(columnar_module, "_HELD", held)
        assert texts(tmp_path / "a.arrow") == [TEXTS[at] for at in (0, 0, 1, 2, 2, 2)]


def test_a_long_text_that_runs_over_many_rows_is_told_before_it_fills_the_memory(tmp_path: Path) -> None:
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([1 << 20], pa.int32()), pa.array(["o" * (1 << 20)]))
    columnar("a.arrow", pa.table({"text": runs}), tmp_path / "a.arrow")
    with pytest.raises(UnreadableError, match="unpacks to"):
        list(read_file(tmp_path / "a.arrow", Ledger()))


@pytest.mark.parametrize("cut", [1, 4, 5, 7])
def test_a_stream_that_ends_within_the_head_of_a_batch_is_cut(tmp_path: Path, cut: int) -> None:
    sizes = list[int]()
    with (tmp_path / "a.arrow").open("wb") as file, pa.ipc.new_stream(file, pa.schema({"text": pa.string()})) as out:
        for text in TEXTS[:2]:
            out.write_batch(pa.record_batch({"text": [text]}))
            sizes.append(file.tell())
    data = (tmp_path / "a.arrow").read_bytes()
    (tmp_path / "a.arrow").write_bytes(data[: sizes[0] + cut])
    with pytest.raises(UnreadableError, match="cut short"):
        list(read_file(tmp_path / "a.arrow", Ledger()))
    (tmp_path / "a.arrow").write_bytes(data[: sizes[0]] + bytes(4))  # as old versions end a stream
    assert texts(tmp_path / "a.arrow") == TEXTS[:1]


@pytest.mark.parametrize("name", ["a.arrow", "a.parquet"])
def test_a_row_that_python_cannot_hold_is_a_problem_of_its_own(tmp_path: Path, name: str) -> None:
    strings = pa.array([b"good", b"\xff\xfe", b"late"]).view(pa.string())
    times = pa.array([0, 0, 1 << 62]).cast(pa.timestamp("us"))
    columnar(name, pa.table({"text": strings, "time": times}), tmp_path / name)
    ledger = Ledger()
    rows = list(named_rows(tmp_path / name, ledger))
    assert [(where, row["text"]) for where, row in rows] == [(f"{tmp_path / name}:1", "good")]
    assert [problem["where"] for problem in ledger.problems] == [f"{tmp_path / name}:{row}" for row in (2, 3)]
    assert ledger.problems[0]["reason"] == "holds a string that is not valid UTF-8"
    assert "holds a value that cannot be read" in ledger.problems[1]["reason"]
    assert texts(tmp_path / name, Ledger(), column="time") == []
    columnar(name, pa.table({"text": TEXTS, "url": times, "title": strings}), tmp_path / name)
    assert [sample.meta for sample in samples(tmp_path / name)] == [{"title": "good"}, {}, {"title": "late"}]


@pytest.mark.parametrize("name", ["a.arrow", "a.parquet"])
def test_two_columns_of_the_same_name_are_told(tmp_path: Path, name: str) -> None:
    columnar(name, pa.table([TEXTS, TEXTS], names=["text", "text"]), tmp_path / name)
    with pytest.raises(DataError, match="two columns are called 'text'"):
        texts(tmp_path / name)
    with pytest.raises(DataError, match="two columns are called 'text'"):
        list(named_rows(tmp_path / name, Ledger()))
