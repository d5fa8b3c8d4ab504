"""Key files, read in the order of their documents, and what is kept of them on disk while duplicates are looked for.

Unusual: no file is mapped into memory while it is used, so that what a process holds stays small however large it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sensorium.data.stages import SOURCE
from sensorium.errors import DataError, InputError
from sensorium.files import disk_errors

_MADE_BY = b"sensorium"


def marked(columns: dict[str, pa.Array], made_by: str) -> pa.RecordBatch:
    """A batch of keys that says what settings made it."""
    batch = pa.record_batch(columns)
    return batch.replace_schema_metadata({_MADE_BY: made_by.encode()})


class KeyFiles:
    """The keys of earlier corpora, then those of the present one.

    Args:
        against: key files of earlier corpora.
        keys: of the present one.
        made_by: what the keys are marked with.

    Raises:
        InputError: a file of an earlier corpus does not exist.
        DataError: it was made with other settings, or one of them all is damaged.
    """

    def __init__(self, against: Sequence[Path], keys: Sequence[Path], made_by: str) -> None:
        self.keys = tuple(keys)
        self._paths = (*against, *keys)
        self._made_by = made_by
        self._earlier = len(against)
        self._counts = [self._count(path, earlier=at < len(against)) for at, path in enumerate(self._paths)]

    def _count(self, path: Path, *, earlier: bool) -> list[int]:
        # Mapped into memory, of which counting touches no more than the head of each batch.
        with _opened(path, pa.memory_map) as reader:
            made_by = (reader.schema.metadata or {}).get(_MADE_BY, b"").decode()
            if earlier and reader.num_record_batches and made_by != self._made_by:
                raise DataError(
                    f"these keys are of {made_by or 'another stage'}, not of {self._made_by}",
                    where=str(path),
                    fix="Compare with keys that the same stage made with the same settings",
                )
            return [batch.num_rows for batch in _batches(reader, path, whole=False)]

    @property
    def rows(self) -> int:
        """Of all files."""
        return sum(map(sum, self._counts))

    @property
    def earlier(self) -> int:
        """Rows of the earlier corpora; those of the present one follow them."""
        return sum(map(sum, self._counts[: self._earlier]))

    def __iter__(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        """All batches of keys, each with the number of its first row."""
        yield from self._read(self._paths, 0)

    def present(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The batches of the present corpus alone."""
        yield from self._read(self.keys, self.earlier)

    @staticmethod
    def _read(paths: Sequence[Path], row: int) -> Iterator[tuple[int, pa.RecordBatch]]:
        for path in paths:
            # Read rather than mapped: mapped pages would stay in memory until the file is closed.
            with _opened(path, pa.OSFile) as reader:
                for batch in _batches(reader, path):
                    yield row, batch
                    row += batch.num_rows

    def write(self, out: Sequence[Path], schema: pa.Schema, decide: Callable[[int, int], dict[str, pa.Array]]) -> None:
        """Write what is decided, a file for each file of the present corpus, a batch for each of its batches.

        Args:
            out: the files to write.
            schema: of the batches.
            decide: gives the columns of the rows from one number to before another.
        """
        row = self.earlier
        for path, counts in zip(out, self._counts[self._earlier :], strict=True):
            with disk_errors(path), pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
                for count in counts:
                    writer.write_batch(pa.record_batch(decide(row, row + count), schema=schema))
                    row += count


@contextmanager
def _opened(path: Path, opened: Callable[[str], Any]) -> Iterator[Any]:
    """The reader of an Arrow IPC file."""
    try:
        file = opened(str(path))
    except FileNotFoundError as error:
        raise InputError("no such file of keys", where=str(path), fix="Check the path") from error
    except (pa.ArrowInvalid, OSError) as error:  # an empty file cannot be mapped
        raise _damaged(path, error) from error
    with file:
        try:
            reader = pa.ipc.open_file(file)
        except pa.ArrowInvalid as error:
            raise _damaged(path, error) from error
        yield reader


def _batches(reader: Any, path: Path, *, whole: bool = True) -> Iterator[pa.RecordBatch]:
    """The batches of keys; of a file that another may have made, offsets that lead astray would read foreign memory.

    Args:
        reader: of the file.
        path: of it.
        whole: whether all of a batch is looked at.

    Raises:
        DataError: it is damaged.
    """
    for number in range(reader.num_record_batches):
        try:
            batch = reader.get_batch(number)
            if whole:
                batch.validate(full=True)
        except (pa.ArrowInvalid, OSError) as error:
            raise _damaged(path, error) from error
        yield batch


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"not a file of keys, or a damaged one: {error}", where=str(path), fix="Prepare the corpus anew")


class Stored:
    """A file of numbers that is written from its beginning to its end, of which rows are then read at any place.

    Rows are read one by one rather than mapped: Linux may map megabytes around each row that is touched.

    Args:
        path: of the file.
        kind: of the numbers.
        width: how many a row has.
    """

    def __init__(self, path: Path, kind: type[Any], width: int = 1) -> None:
        self._path, self._kind, self._width = path, np.dtype(kind), width
        with disk_errors(path):
            self._file = path.open("w+b")

    def append(self, rows: NDArray[Any]) -> None:
        """Write more rows."""
        with disk_errors(self._path):
            self._file.write(np.ascontiguousarray(rows, self._kind).data)

    def end(self) -> None:
        """Nothing more is to be written."""
        with disk_errors(self._path):
            self._file.flush()

    def close(self) -> None:
        """Nothing more is to be read."""
        self._file.close()

    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Some rows, each read once even if it is asked for several times."""
        distinct, places = np.unique(rows, return_inverse=True)
        size = self._kind.itemsize * self._width
        number = self._file.fileno()
        content = b"".join([os.pread(number, size, at) for at in (distinct * size).tolist()])
        return np.frombuffer(content, self._kind).reshape(-1, self._width)[places]

    def span(self, start: int, stop: int) -> bytes:
        """The bytes from one to before another."""
        return os.pread(self._file.fileno(), stop - start, start)


class Sources:
    """Where each row came from, on disk.

    Args:
        folder: for its files.
    """

    def __init__(self, folder: Path) -> None:
        self._text, self._ends = Stored(folder / "sources", np.uint8), Stored(folder / "ends", np.int64, 2)
        self._bytes = 0

    def append(self, batch: pa.RecordBatch) -> None:
        """Note the sources of a batch of keys."""
        column = batch.column(SOURCE).cast(pa.large_binary())
        if not len(column):
            return
        _, ends, content = column.buffers()
        offsets = np.frombuffer(ends, np.int64)[column.offset : column.offset + len(column) + 1]
        if content is not None:
            self._text.append(np.frombuffer(content, np.uint8)[offsets[0] : offsets[-1]])
        offsets = offsets - offsets[0] + self._bytes
        self._ends.append(np.stack((offsets[:-1], offsets[1:]), axis=1))
        self._bytes = int(offsets[-1])

    def end(self) -> None:
        """Nothing more is to be noted."""
        self._text.end()
        self._ends.end()

    def close(self) -> None:
        """Nothing more is to be asked."""
        self._text.close()
        self._ends.close()

    def take(self, rows: NDArray[np.int64]) -> pa.Array:
        """The sources of some rows, as a string array; null where the number is negative."""
        known = np.flatnonzero(rows >= 0)
        names = np.full(len(rows), None, object)
        ends = self._ends.take(rows[known]).tolist()
        names[known] = [self._text.span(start, stop).decode() for start, stop in ends]
        return pa.array(names, pa.string())
