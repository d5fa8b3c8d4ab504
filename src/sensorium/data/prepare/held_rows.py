"""Rows of kept text between two passes over them, in an Arrow file: as many as the disk holds, few in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

HELD = 1 << 22
"""Characters that are held before they are written."""


class HeldRows:
    """A file of rows of texts, written once and read as often as need be.

    Args:
        path: the file to make.
        columns: the names of a row's texts.
        held: characters that are held before they are written.
    """

    def __init__(self, path: Path, columns: Sequence[str], *, held: int = HELD) -> None:
        import pyarrow as pa

        self._path = path
        self._schema = pa.schema([(name, pa.large_string()) for name in columns])
        self._buffer: list[tuple[str, ...]] = []
        self._buffered, self._held = 0, held
        self.count = 0
        self.characters = 0
        self._sink = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_stream(self._sink, self._schema)

    def add(self, *row: str) -> None:
        """Append a row."""
        self.count += 1
        self._buffer.append(row)
        size = sum(map(len, row))
        self._buffered += size
        self.characters += size
        if self._buffered >= self._held:
            self._flush()

    def close(self) -> None:
        """Write what is held; nothing can be added any more."""
        self._flush()
        self._writer.close()
        self._sink.close()

    def rows(self) -> Iterator[tuple[str, ...]]:
        """Every row, in order."""
        import pyarrow as pa

        with pa.OSFile(str(self._path), "rb") as source, pa.ipc.open_stream(source) as reader:
            for batch in reader:
                yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

    def remove(self) -> None:
        """Delete the file."""
        self._path.unlink()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._buffer:
            columns = [pa.array(values, pa.large_string()) for values in zip(*self._buffer, strict=True)]
            self._writer.write_batch(pa.record_batch(columns, schema=self._schema))
            self._buffer.clear()
            self._buffered = 0
