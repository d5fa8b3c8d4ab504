"""Parquet, Arrow and Feather files, read a few megabytes at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sensorium.data.reading.documents import row_documents, short_document
from sensorium.data.reading.places import UnreadableError
from sensorium.data.reading.streams import File
from sensorium.data.reading.tables import META, meta_of, no_column
from sensorium.data.sample import Ledger, Sample

if TYPE_CHECKING:
    import pyarrow as pa

_HELD = 1 << 23
"""Bytes that a batch has, about."""
_ARROW_FILE = b"ARROW1\0\0"


def columnar_documents(file: File, kind: str, source: str | Path, ledger: Ledger, column: str) -> Iterator[Sample]:
    """The texts of a columnar file.

    Args:
        file: its bytes, seekable.
        kind: its suffix.
        source: what it is called.
        ledger: receives the rows that hold no text.
        column: the one that holds the text.

    Raises:
        DataError: there is no such column.
        UnreadableError: it is damaged.
    """

    def choose(names: Sequence[str]) -> list[str]:
        if column not in names:
            raise no_column(str(source), column, names)
        return [column, *(name for name in dict.fromkeys(names) if name in META and name != column)]

    number = 0
    for batch in _batches(file, kind, source, choose):
        texts = _texts(batch.column(column))
        others = {name: _texts(batch.column(name)) for name in batch.schema.names if name != column}
        for row, text in enumerate(texts):
            number += 1
            meta = meta_of({name: values[row] for name, values in others.items()}, column) if others else None
            where = f"{source}:{number}"
            if (sample := short_document(text, where, meta or {})) is not None:
                yield sample
            else:
                yield from row_documents(text, where, ledger, meta)


def columnar_rows(path: Path, kind: str, ledger: Ledger) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a columnar file, with their numbers; a damaged file is a problem of the ledger."""
    number = 0
    try:
        with path.open("rb") as file:
            for batch in _batches(file, kind, path, list):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}:{number}", row
    except UnreadableError as error:
        ledger.problem(error.where, error.problem)


def parquet_rows(path: Path, ledger: Ledger) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a Parquet file, with their numbers; a damaged file is a problem of the ledger."""
    return columnar_rows(path, ".parquet", ledger)


def _batches(
    file: File, kind: str, source: str | Path, choose: Callable[[list[str]], list[str]]
) -> Iterator[pa.RecordBatch]:
    """The chosen columns, in batches.

    Raises:
        UnreadableError: it is damaged.
    """
    import pyarrow as pa

    name = "Parquet" if kind == ".parquet" else "Arrow"
    try:
        yield from (_parquet if kind == ".parquet" else _arrow)(file, choose)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise UnreadableError(f"not a readable {name} file: {said}", where=str(source)) from error


def _parquet(file: File, choose: Callable[[list[str]], list[str]]) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    table = pq.ParquetFile(file)
    columns = choose(table.schema_arrow.names)
    for group in range(table.num_row_groups):
        told = table.metadata.row_group(group)
        size = sum(
            told.column(at).total_uncompressed_size
            for at in range(told.num_columns)
            if told.column(at).path_in_schema.split(".")[0] in columns
        )
        # A group may hold gigabytes: rows are taken so many at a time that a batch is small.
        rows = max(1, min(1 << 16, told.num_rows * _HELD // max(size, 1)))
        yield from table.iter_batches(batch_size=rows, row_groups=[group], columns=columns)


def _arrow(file: File, choose: Callable[[list[str]], list[str]]) -> Iterator[pa.RecordBatch]:
    """Arrow's file format, which is Feather's too, or its format of streams, which Hugging Face's data sets use."""
    import pyarrow as pa

    head = file.read(8)
    file.seek(0)
    if head.startswith(_ARROW_FILE[:6]):
        reader = pa.ipc.open_file(pa.PythonFile(file, mode="r"))
        batches: Iterator[pa.RecordBatch] = (reader.get_batch(at) for at in range(reader.num_record_batches))
    else:
        reader = pa.ipc.open_stream(pa.PythonFile(file, mode="r"))
        batches = iter(reader)
    columns = choose(reader.schema.names)
    for batch in batches:
        rows = max(1, min(1 << 16, batch.num_rows * _HELD // max(batch.nbytes, 1)))
        for at in range(0, batch.num_rows, rows):
            yield batch.slice(at, rows).select(columns)


def _texts(column: pa.Array) -> list[Any]:
    """A column's values. A string that is no UTF-8, which Arrow does not check, becomes bytes: no text."""
    try:
        return list(column.to_pylist())
    except UnicodeDecodeError:
        import pyarrow as pa

        return [_text(value) for value in column.cast(pa.large_binary()).to_pylist()]


def _text(value: bytes | None) -> str | bytes | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return value
