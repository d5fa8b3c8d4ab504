"""Columns are what their content is."""

from __future__ import annotations

import wave
from contextlib import suppress
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sensorium.data.tables.columns import type_columns
from sensorium.data.tables.schema import TableSchema
from sensorium.data.tables.table import read_table
from sensorium.errors import DataError, InputError

ROWS = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for i in range(ROWS):
        Image.new("RGB", (4, 4), (i, 0, 0)).save(folder / f"{i}.png")
        with wave.open(str(folder / f"{i}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(bytes(1600))
        (folder / f"{i}.dat").write_bytes((folder / f"{i}.png").read_bytes())
    return folder


def kinds(columns: dict[str, list[object]], root: Path = Path(), **overrides: str) -> TableSchema:
    count = len(next(iter(columns.values())))
    rows = [{"label": i % 2, **{name: cells[i] for name, cells in columns.items()}} for i in range(count)]
    return type_columns(read_table(rows, root=root), label="label", overrides=overrides)


def kind(cells: list[object], root: Path = Path()) -> str | None:
    """Of one column beside another that is surely kept."""
    found = kinds({"x": cells, "other": [f"some words {i % 7} and {i}" for i in range(len(cells))]}, root)
    return next((column.kind for column in found.columns if column.name == "x"), None)


def test_files_are_what_their_bytes_say(folder: Path) -> None:
    assert kind([f"{i}.png" for i in range(ROWS)], folder) == "image"
    assert kind([f"{i}.wav" for i in range(ROWS)], folder) == "audio"
    assert kind([f"{i}.dat" for i in range(ROWS)], folder) == "image"


def test_a_name_is_believed_where_no_file_stands(folder: Path) -> None:
    assert kind([f"gone/{i}.mp4" for i in range(ROWS)], folder) == "video"
    assert kind([f"{i}.png" if i % 4 else None for i in range(ROWS)], folder) == "image"


def test_pictures_and_sounds_in_one_column_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"mixed types: of 40 files that were looked into, there are 20 \w+ and 20 \w+"):
        kind([f"{i}.{'png' if i % 2 else 'wav'}" for i in range(ROWS)], folder)


def test_numbers_and_words_in_one_column_are_refused() -> None:
    with pytest.raises(DataError, match=r"column 'x': mixed types: 20 of 40 cells are numbers"):
        kind([i * 1.5 if i % 2 else f"about {i}" for i in range(ROWS)])


def test_what_tells_nothing_is_left_out_and_said() -> None:
    found = kinds({
        "id": [f"row-{i}" for i in range(ROWS)],
        "number": list(range(100, 100 + ROWS)),
        "same": ["x"] * ROWS,
        "empty": [None] * ROWS,
        "nested": [[1, 2]] * ROWS,
        "bytes": [b"PNG"] * ROWS,
        "day": [date(2024, 1, 1 + i % 28) for i in range(ROWS)],
        "size": [i % 7 + 0.5 for i in range(ROWS)],
    })  # fmt: skip
    assert [column.name for column in found.columns] == ["size"]
    assert "identifiers" in found.left_out["id"]
    assert "identifiers" in found.left_out["number"]
    assert "every cell is 'x'" in found.left_out["same"]
    assert "missing" in found.left_out["empty"]
    assert "lists" in found.left_out["nested"]
    assert "bytes or dates" in found.left_out["bytes"]
    assert "bytes or dates" in found.left_out["day"]


def test_few_short_values_are_a_category_and_sentences_a_text() -> None:
    assert kind([("red", "green", "blue")[i % 3] for i in range(ROWS)]) == "category"
    assert kind([f"The weather of day {i} was fine, they said" for i in range(ROWS)]) == "text"
    assert kind([("a long sentence of many words here", "another long sentence that comes again")[i % 2] for i in
                 range(ROWS)]) == "text"  # fmt: skip


@settings(max_examples=50)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=12, max_size=30, unique=True), st.data())
def test_numbers_are_numbers_however_written_and_with_gaps(values: list[float], data: st.DataObject) -> None:
    cells: list[object] = [value + 0.25 if value.is_integer() and abs(value) < 1e15 else value for value in values]
    if all(float(str(cell)).is_integer() for cell in cells):
        return
    written = [str(cell) if data.draw(st.booleans()) else cell for cell in cells]
    assert kind([*written, None, "NA", ""]) == "numeric"


@settings(max_examples=50)
@given(st.lists(st.text(max_size=30), min_size=5, max_size=20))
def test_any_text_is_typed_or_left_out_without_a_crash(cells: list[str]) -> None:
    with suppress(DataError):  # of mixed types
        assert kind(list(cells)) in (None, "text", "category", "numeric", "image", "audio", "video")


def test_what_the_user_says_goes_first() -> None:
    columns: dict[str, list[object]] = {"code": [i % 4 for i in range(ROWS)], "note": ["yes", "no"] * (ROWS // 2)}
    found = kinds(columns, code="category", note="text")
    assert {column.name: column.kind for column in found.columns} == {"code": "category", "note": "text"}
    assert [c.name for c in kinds(columns, note="ignore").columns] == ["code"]
    with pytest.raises(InputError, match="unknown kind of column 'txt'; did you mean 'text'"):
        kinds(columns, note="txt")
    with pytest.raises(InputError, match="unknown column 'notes'; did you mean 'note'"):
        kinds(columns, notes="text")
    with pytest.raises(InputError, match="is the label"):
        kinds(columns, label="text")
    with pytest.raises(DataError, match="every cell is missing"):
        kinds({"void": [None] * ROWS, **columns}, void="text")


def test_a_table_without_a_useful_column_is_refused() -> None:
    with pytest.raises(DataError, match="no column is left"):
        kinds({"same": ["x"] * ROWS})


def test_a_schema_comes_back_from_json() -> None:
    found = kinds({"size": [i % 7 + 0.5 for i in range(ROWS)], "same": ["x"] * ROWS})
    assert TableSchema.from_dict(found.to_dict()) == found
    assert [(sense.name, sense.kind, sense.columns) for sense in found.senses] == [("numbers", "numbers", ("size",))]


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("\ufefflabel,b\n1,2\n2,3\n".encode())
    assert list(read_table(path).columns) == ["label", "b"]
    path = tmp_path / "t.tsv"
    path.write_text("label\tb\n1\t2\n", encoding="utf-8")
    assert read_table(path).columns == {"label": ["1"], "b": ["2"]}


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b,a\n1,2,3\n", encoding="utf-8")
    with pytest.raises(DataError, match="two columns are called 'a'"):
        read_table(path)
    path = tmp_path / "t.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), path)
    with pytest.raises(DataError, match="two columns are called 'a'"):
        read_table(path)


def test_every_format_gives_the_same_table(tmp_path: Path) -> None:
    rows = [{"a": "x", "b": 1.5}, {"a": "y", "b": 2.5}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet")
    (tmp_path / "t.jsonl").write_text('{"a": "x", "b": 1.5}\n{"a": "y", "b": 2.5}\n', encoding="utf-8")
    for name in ("t.parquet", "t.jsonl"):
        assert read_table(tmp_path / name).columns == read_table(rows).columns
    assert np.array_equal(read_table(rows).take([1]).column("b"), [2.5])


def test_empty_and_missing_tables_are_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n", encoding="utf-8")
    with pytest.raises(DataError, match="holds no rows"):
        read_table(tmp_path / "t.csv")
    with pytest.raises(InputError, match="no such file"):
        read_table(tmp_path / "gone.csv")
    with pytest.raises(DataError, match="there are no rows"):
        read_table([])
    with pytest.raises(InputError, match="unknown column 'lable'; did you mean 'label'"):
        type_columns(read_table([{"label": 1, "x": 2}]), label="lable")
