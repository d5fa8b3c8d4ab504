"""Parquet, Arrow and Feather files, read a few megabytes at a time.

Arrow hands out the buffers of a file as they stand in it, offsets included, and a wrong offset reads foreign memory or
ends the process: `checked` looks at all of them first. Parquet may store a long text once for thousands of rows: such
columns are taken as dictionaries, and their rows written out only so many at a time as are small together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

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
_DELTA = frozenset(("DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"))
"""Encodings of strings that Arrow does not read as dictionaries."""
_DELTA_ROWS = 64
"""Rows of a batch of such strings: where only what differs from the string before is stored, each may be long."""


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
    schema = table.schema_arrow
    columns = choose(schema.names)
    leaves = [at for at in range(len(table.schema)) if table.schema.column(at).path.split(".")[0] in columns]
    strings = [name for name in dict.fromkeys(columns) if _binary_of(schema.types[schema.names.index(name)])]
    packed = pq.ParquetFile(file, metadata=table.metadata, read_dictionary=strings) if strings else table
    for group in range(table.num_row_groups):
        # A damaged description of a column ends the process if it is asked for, but is an error to who reads a row.
        next(table.iter_batches(batch_size=1, row_groups=[group], columns=columns), None)
        told = table.metadata.row_group(group)
        chunks = [told.column(at) for at in leaves]
        size = sum(chunk.total_uncompressed_size for chunk in chunks)
        # A group may hold gigabytes: rows are taken so many at a time that a batch is small.
        rows = max(1, min(1 << 16, told.num_rows * _HELD // max(size, 1)))
        delta = any(_DELTA.intersection(chunk.encodings) for chunk in chunks if chunk.physical_type == "BYTE_ARRAY")
        rows = min(rows, _DELTA_ROWS) if delta else rows
        for batch in (table if delta else packed).iter_batches(batch_size=rows, row_groups=[group], columns=columns):
            yield from _written_out(batch)


def _written_out(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """A batch without dictionaries of strings, in slices that are small then."""
    import pyarrow as pa
    import pyarrow.compute as pc

    packed = [at for at, column in enumerate(batch.columns) if _packed(column.type)]
    sizes = np.zeros(batch.num_rows, np.int64)
    for at in packed:
        column = batch.column(at)
        lengths = pc.binary_length(column.dictionary).take(column.indices)
        sizes += lengths.fill_null(0).to_numpy(zero_copy_only=False)
    ends, start = np.cumsum(sizes), 0
    while start < batch.num_rows:
        before = int(ends[start - 1]) if start else 0
        stop = max(int(np.searchsorted(ends, before + _HELD, "right")), start + 1)
        columns = batch.slice(start, stop - start).columns
        for at in packed:
            columns[at] = columns[at].dictionary_decode()
        yield pa.record_batch(columns, names=batch.schema.names)
        start = stop


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
    for batch in map(checked, (batch.select(columns) for batch in batches)):
        rows = max(1, min(1 << 16, batch.num_rows * _HELD // max(batch.nbytes, 1)))
        for at in range(0, batch.num_rows, rows):
            yield from _written_out(batch.slice(at, rows))


def checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch whose buffers are as large as its offsets and its dictionaries' indices say.

    Strings that are no UTF-8 pass: they are told row by row.

    Raises:
        pyarrow.ArrowInvalid: it is damaged.
    """
    for column in batch.columns:
        _check(column)
    return batch


def _check(column: pa.Array) -> None:
    import pyarrow as pa

    column.validate()
    if pa.types.is_dictionary(column.type):
        _check(column.dictionary)
        if binary := _binary_of(column.type.value_type):
            column = pa.DictionaryArray.from_arrays(column.indices, column.dictionary.view(binary), safe=False)
    elif binary := _binary_of(column.type):
        column = column.view(binary)
    column.validate(full=True)


def _packed(kind: pa.DataType) -> bool:
    """Whether a column is a dictionary of strings whose lengths Arrow tells."""
    import pyarrow as pa

    return bool(pa.types.is_dictionary(kind)) and _binary_of(kind.value_type) in (pa.binary(), pa.large_binary())


def _binary_of(kind: pa.DataType) -> pa.DataType | None:
    """The type of bytes that a type of strings is laid out as; None for other types."""
    import pyarrow as pa

    if pa.types.is_string(kind):
        return pa.binary()
    if pa.types.is_large_string(kind):
        return pa.large_binary()
    return pa.binary_view() if pa.types.is_string_view(kind) else None


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
