"""Parquet, Arrow and Feather files, read a few megabytes at a time.

Arrow hands out the buffers of a file as they stand in it, offsets included, and a wrong offset reads foreign memory or
ends the process: `checked` looks at all of them first, and `arrow_sizes` at how large they will be. Both formats may
store a long text once for thousands of rows: such columns are taken as dictionaries, and rows are written out only so
many at a time as are small together.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sensorium.data.reading.arrow_sizes import check_message, message_at, messages_of
from sensorium.data.reading.documents import row_documents, short_document
from sensorium.data.reading.packed import LIMITS, Limits, UnpackError, check_unpacked
from sensorium.data.reading.parquet_sizes import check_pages, groups_of
from sensorium.data.reading.places import UnreadableError
from sensorium.data.reading.streams import File
from sensorium.data.reading.tables import MAX_ROW, META, meta_of, no_column
from sensorium.data.sample import Ledger, Sample
from sensorium.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_TOO_LONG = object()
"""In place of a string that is not even looked at."""
_HELD = 1 << 23
"""Bytes that a batch has, about."""
_ARROW_FILE = b"ARROW1\0\0"
_DELTA_ROWS = 64
"""Rows of a batch of strings in encodings that Arrow does not read as dictionaries."""
_DENSE = 1 << 26
"""Bytes that a batch has at most whose rows are written out by Arrow, however much they have in common."""


def columnar_documents(
    file: File, kind: str, source: str | Path, ledger: Ledger, column: str, limits: Limits = LIMITS
) -> Iterator[Sample]:
    """The texts of a columnar file.

    Args:
        file: its bytes, seekable.
        kind: its suffix.
        source: what it is called.
        ledger: receives the rows that hold no text.
        column: the one that holds the text.
        limits: what may be unpacked from how much.

    Raises:
        DataError: there is no such column, or two, or it holds lists or structures.
        UnreadableError: it is damaged, or holds more than the limits allow.
    """

    def choose(schema: pa.Schema) -> list[str]:
        plain = [name for name, kind in zip(schema.names, schema.types, strict=True) if not _nested(kind)]
        if column not in schema.names:
            raise no_column(str(source), column, schema.names)
        if column not in plain:
            raise DataError(
                f"the column {column!r} holds {schema.types[schema.names.index(column)]}, not text",
                where=str(source),
                fix=f"Choose one with --column (present: {', '.join(plain) or 'none'})",
            )
        return _each_once(schema, [column, *(name for name in plain if name in META and name != column)], source)

    number = 0
    for batch in _batches(file, kind, source, choose, limits):
        texts = _texts(batch.column(column))
        others = {name: _texts(batch.column(name)) for name in batch.schema.names if name != column}
        for row, text in enumerate(texts):
            number += 1
            meta = meta_of({name: values[row] for name, values in others.items()}, column) if others else None
            where = f"{source}:{number}"
            if (sample := short_document(text, where, meta or {})) is not None:
                yield sample
            elif text is _TOO_LONG or (isinstance(text, str) and len(text) > MAX_ROW):
                ledger.problem(where, f"a text of more than {MAX_ROW} characters")
            else:
                yield from row_documents(text, where, ledger, meta)


def columnar_rows(path: Path, kind: str, ledger: Ledger) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a columnar file, with their numbers; a damaged file, or row, is a problem of the ledger.

    Raises:
        DataError: two columns have the same name.
    """
    number = 0
    try:
        with path.open("rb") as file:
            for batch in _batches(file, kind, path, lambda schema: _each_once(schema, schema.names, path), LIMITS):
                for row in _rows(batch):
                    number += 1
                    if isinstance(row, str):
                        ledger.problem(f"{path}:{number}", row)
                    else:
                        yield f"{path}:{number}", row
    except UnreadableError as error:
        ledger.problem(error.where, error.problem)


def _rows(batch: pa.RecordBatch) -> list[dict[str, Any] | str]:
    """Each row as Python has it, or what is wrong with it: Arrow holds times that Python has not, and strings that it
    does not check."""
    try:
        rows: list[dict[str, Any] | str] = batch.to_pylist()
    except (ValueError, OverflowError) as error:
        if batch.num_rows > 1:
            rows = [row for at in range(batch.num_rows) for row in _rows(batch.slice(at, 1))]
        elif isinstance(error, UnicodeDecodeError):
            rows = ["holds a string that is not valid UTF-8"]
        else:
            rows = [f"holds a value that cannot be read: {error}"]
    return rows


def parquet_rows(path: Path, ledger: Ledger) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a Parquet file, with their numbers; a damaged file is a problem of the ledger."""
    return columnar_rows(path, ".parquet", ledger)


def _each_once(schema: pa.Schema, chosen: Sequence[str], source: str | Path) -> list[str]:
    """The chosen columns, none of which may share its name.

    Raises:
        DataError: one does.
    """
    for name in chosen:
        if schema.names.count(name) > 1:
            raise DataError(f"two columns are called {name!r}", where=str(source), fix="Rename one of them")
    return list(chosen)


_Choose = Callable[["pa.Schema"], list[str]]
"""From all columns to the names of those that are read."""


def _batches(file: File, kind: str, source: str | Path, choose: _Choose, limits: Limits) -> Iterator[pa.RecordBatch]:
    """The chosen columns, in batches.

    Raises:
        UnreadableError: it is damaged, or holds more than the limits allow.
    """
    import pyarrow as pa

    name = "Parquet" if kind == ".parquet" else "Arrow"
    try:
        packed, taken = file.seek(0, 2), 0
        file.seek(0)
        for batch in (_parquet if kind == ".parquet" else _arrow)(file, choose, limits):
            sizes = sum(map(_lengths, batch.columns), np.zeros(batch.num_rows, np.int64))
            taken += batch.num_rows + int(sizes.sum())
            check_unpacked(taken, packed, limits)
            yield from _written_out(batch, sizes)
    except UnpackError as error:
        raise UnreadableError(f"cannot be read: {error}", where=str(source)) from error
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise UnreadableError(f"not a readable {name} file: {said}", where=str(source)) from error


def _parquet(file: File, choose: _Choose, limits: Limits) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    table = pq.ParquetFile(file, arrow_extensions_enabled=False)
    schema = table.schema_arrow
    columns = choose(schema)
    strings = [name for name in columns if _stringy(schema.types[schema.names.index(name)])]
    packed = pq.ParquetFile(file, metadata=table.metadata, read_dictionary=strings, arrow_extensions_enabled=False)
    for group, (count, chunks) in enumerate(groups_of(file, columns)):
        if not count:
            continue  # its chunks point nowhere
        # A group may hold gigabytes: rows are taken so many at a time that a batch is small.
        rows = max(1, min(1 << 16, count * _HELD // max(sum(chunk.size for chunk in chunks), 1)))
        longest = max((check_pages(chunk, file, limits) for chunk in chunks), default=0)
        delta = any(chunk.delta for chunk in chunks)
        # What is stored once for many rows is taken as it is and written out by and by, unless it is so large that
        # Arrow's copies of it would hurt: then Arrow writes out few rows at a time.
        once = 0 < longest <= _HELD and not delta
        rows = rows if once else max(1, min(rows, _DELTA_ROWS if delta else rows, _DENSE // max(longest, 1)))
        yield from (packed if once else table).iter_batches(batch_size=rows, row_groups=[group], columns=columns)


def _arrow(file: File, choose: _Choose, limits: Limits) -> Iterator[pa.RecordBatch]:
    """Arrow's file format, which is Feather's too, or its format of streams, which Hugging Face's data sets use."""
    import pyarrow as pa

    in_file = file.read(8).startswith(_ARROW_FILE[:6])
    opened = pa.ipc.open_file if in_file else pa.ipc.open_stream
    file.seek(0)
    schema = opened(pa.PythonFile(file, mode="r")).schema
    columns = [schema.names.index(name) for name in choose(schema)]
    file.seek(0)
    options = pa.ipc.IpcReadOptions(included_fields=columns)
    reader = opened(pa.PythonFile(file, mode="r"), options=options)
    for number in _checked_messages(file, schema, columns, limits, in_file=in_file):
        batch = checked(reader.get_batch(number) if in_file else reader.read_next_batch())
        rows = max(1, min(1 << 16, batch.num_rows * _HELD // max(batch.nbytes, 1)))
        for at in range(0, batch.num_rows, rows):
            yield batch.slice(at, rows)


def _checked_messages(
    file: File, schema: pa.Schema, columns: Sequence[int], limits: Limits, *, in_file: bool
) -> Iterator[int]:
    """The numbers of an Arrow file's batches, each as soon as it is known that reading it takes no more than it may.

    Raises:
        UnpackError: it would.
        ValueError: the file is damaged.
    """
    numbers, at = itertools.count(), file.tell()
    listed = itertools.chain(*messages_of(file)) if in_file else None
    while (at := at if listed is None else next(listed, -1)) >= 0:
        place = file.tell()
        message = message_at(file, at)
        if message is None:
            return
        check_message(message, file, schema.types, columns, limits, whole=not in_file)
        file.seek(place)
        at = message.end
        if message.is_batch:
            yield next(numbers)


def _written_out(batch: pa.RecordBatch, sizes: np.ndarray) -> Iterator[pa.RecordBatch]:
    """A batch without dictionaries, in slices that are small then: a row that is long is alone in its own.

    Args:
        batch: which may take more memory then than there is.
        sizes: bytes of each row's strings.
    """
    import pyarrow as pa

    whole = pa.record_batch(list(map(_decodable, batch.columns)), names=batch.schema.names)
    ends, start = np.cumsum(sizes), 0
    while start < batch.num_rows:
        before = int(ends[start - 1]) if start else 0
        stop = max(int(np.searchsorted(ends, before + _HELD, "right")), start + 1)
        columns = list(map(_plain, whole.slice(start, stop - start).columns))
        yield pa.record_batch(columns, names=batch.schema.names)
        start = stop


def _plain(column: pa.Array) -> pa.Array:
    """A column that holds each row for itself."""
    import pyarrow as pa

    if pa.types.is_run_end_encoded(column.type):
        return _plain(column.values.take(pa.array(_runs(column))))  # Arrow's own function lacks some types
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _decodable(column: pa.Array) -> pa.Array:
    """A column as it is, but for a dictionary of views, whose rows Arrow does not write out."""
    import pyarrow as pa

    if not pa.types.is_dictionary(column.type) or not _viewed(column.type.value_type):
        return column
    plain = pa.large_string() if column.type.value_type == pa.string_view() else pa.large_binary()
    return pa.DictionaryArray.from_arrays(column.indices, column.dictionary.cast(plain), safe=False)


def _lengths(column: pa.Array) -> np.ndarray:
    """Bytes of each row's string; 0 for what is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if isinstance(column, pa.ExtensionArray):
        return _lengths(column.storage)
    if pa.types.is_run_end_encoded(kind):
        return np.take(_lengths(column.values), _runs(column))
    if pa.types.is_dictionary(kind):
        lengths = pa.array(_lengths(column.dictionary)).take(column.indices)
    elif _viewed(kind):
        # Each is laid out as 16 bytes, of which the first four are its length.
        views = np.frombuffer(column.buffers()[1] or b"", np.int32)[::4]
        lengths = pa.array(views[column.offset : column.offset + len(column)], mask=column.is_null().to_numpy(False))
    elif _stringy(kind):
        lengths = pc.binary_length(column)
    else:
        return np.zeros(len(column), np.int64)
    return np.asarray(lengths.fill_null(0).to_numpy(zero_copy_only=False))


def _runs(column: pa.Array) -> np.ndarray:
    """Of each row of a column that is encoded by the ends of runs, the run that it is in."""
    rows = np.arange(column.offset, column.offset + len(column))
    return np.searchsorted(column.run_ends.to_numpy(), rows, "right")


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


def _nested(kind: pa.DataType) -> bool:
    """Whether a type is of lists, structures and the like."""
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        return _nested(kind.storage_type)
    encoded = pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind)
    return _nested(kind.value_type) if encoded else bool(kind.num_fields)


def _stringy(kind: pa.DataType) -> bool:
    """Whether a type is of strings or bytes, each of its own length."""
    import pyarrow as pa

    return kind in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary()) or _viewed(kind)


def _viewed(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return kind in (pa.string_view(), pa.binary_view())


def _binary_of(kind: pa.DataType) -> pa.DataType | None:
    """The type of bytes that a type of strings is laid out as; None for other types."""
    import pyarrow as pa

    if pa.types.is_string(kind):
        return pa.binary()
    if pa.types.is_large_string(kind):
        return pa.large_binary()
    return pa.binary_view() if pa.types.is_string_view(kind) else None


def _texts(column: pa.Array) -> list[Any]:
    """A column's values; what Python has no value for becomes one that is no text."""
    if len(column) == 1 and np.max(_lengths(column)) > 4 * MAX_ROW:
        return [_TOO_LONG]
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError):
        return list(map(_value, column))


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return b""  # bytes, which is what a string is that Arrow did not check
    except (ValueError, OverflowError):
        return scalar
