"""Arrow files between the steps of a run: each is whole or absent, and read a batch at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sensorium.data.prepare.chain import StageError
from sensorium.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa


class ArrowWriter:
    """Writes a file that takes its name when the block has succeeded; one without a batch never comes to be.

    Args:
        path: of the file.
        packed: compress it, so that it is small rather than mapped into memory as it is.
    """

    def __init__(self, path: Path, *, packed: bool = True) -> None:
        self._path, self._packed = path, packed
        self._part = path.with_name(f"{path.stem}.{uuid4().hex}.part.arrow")
        self._writer: Any = None
        self._schema: Any = None

    def __enter__(self) -> ArrowWriter:
        import pyarrow as pa

        self._sink = pa.OSFile(str(self._part), "wb")
        return self

    def __exit__(self, kind: type[BaseException] | None, *reason: Any) -> None:
        try:
            if self._writer is not None and kind is None:
                self._writer.close()
                self._sink.close()
                with self._part.open("rb") as file:
                    os.fsync(file.fileno())  # before anything says that the unit is finished
                os.replace(self._part, self._path)
        finally:
            if not self._sink.closed:
                self._sink.close()
            self._part.unlink(missing_ok=True)

    def write(self, batch: pa.RecordBatch) -> None:
        """Append a batch; all have the columns of the first.

        Raises:
            StageError: they have not.
        """
        import pyarrow as pa

        if self._writer is None:
            options = pa.ipc.IpcWriteOptions(compression="lz4" if self._packed else None)
            self._schema = batch.schema
            self._writer = pa.ipc.new_file(self._sink, batch.schema, options=options)
        elif not batch.schema.equals(self._schema):
            raise StageError(
                f"the columns of two batches differ: {_columns(self._schema)}, then {_columns(batch.schema)}",
                where=str(batch.column(0)[0])[:100],
                fix="A stage gives the same columns, of the same types, to every batch",
            )
        self._writer.write_batch(batch)


def _columns(schema: pa.Schema) -> str:
    return ", ".join(f"{field.name} ({field.type})" for field in schema)


def read_arrow(path: Path) -> Iterator[pa.RecordBatch]:
    """The batches of a file that a step has left.

    Raises:
        DataError: it is not there any more, or damaged.
    """
    import pyarrow as pa

    try:
        with pa.OSFile(str(path), "rb") as source, pa.ipc.open_file(source) as reader:
            for number in range(reader.num_record_batches):
                yield reader.get_batch(number)
    except (pa.ArrowInvalid, FileNotFoundError) as error:
        raise DataError(
            f"what an earlier step left is missing or damaged: {str(error).splitlines()[0]}",
            where=str(path),
            fix="Begin anew with --force",
        ) from error
