"""The documents of a unit, in batches of a few megabytes of text.

A file counts as a whole: if it cannot be read to its end, or changes while it is read, the unit is read again without
it, so that none of its documents is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sensorium.data.prepare.units import Part, Task, mark, stamp
from sensorium.data.reading import spans
from sensorium.data.reading.files import read_file
from sensorium.data.reading.listing import list_files, names_of
from sensorium.data.reading.places import STANDARD_INPUT, Place, Remote, UnreadableError
from sensorium.data.sample import Ledger, Sample
from sensorium.data.stages import documents
from sensorium.data.statistics import FILE
from sensorium.files import StrPath

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 1 << 22
"""Characters of a batch, about."""
ROWS = 1 << 16
"""Documents of a batch at most."""
CUT = "files of which the beginning was read"
"""What a ledger counts them as, of which the limit cut off the rest."""
TOLD = ("url", "licence")
"""Columns of what a file may say of its documents; null where it does not."""
_ROW = 16
"""What a document weighs besides its characters."""


@dataclass(frozen=True)
class Reading:
    """How the input is read.

    Args:
        column: of tables, that holds the text.
        strict: whether a file or row that cannot be read ends the run.
        limit: characters to read of each file, for a sample.
        encoding: of all text, whatever it looks like.
    """

    column: str
    strict: bool
    limit: int | None = None
    encoding: str | None = None

    def tell(self, ledger: Ledger, task: Task) -> dict[str, str]:
        """Put the files that are left out into the ledger; returns those that have spans elsewhere, and why."""
        failed: dict[str, str] = {}
        for piece, reason in task.left_out:
            part = task.unit.parts[piece]
            ledger.count("files")
            ledger.count("bytes", part.size)
            if part.path not in failed:
                ledger.problem(part.path, reason)
            if part.split:
                failed[part.path] = reason
        return failed


class PieceError(Exception):
    """A piece of a unit cannot be used."""

    def __init__(self, piece: int, reason: str) -> None:
        super().__init__(reason)
        self.piece, self.reason = piece, reason


def parts_of(inputs: Sequence[StrPath], ledger: Ledger) -> list[Part]:
    """The files that the inputs name, the large ones in spans.

    Args:
        inputs: files, folders, or "-".
        ledger: receives what the folders hold besides.

    Raises:
        InputError: an input does not exist, or its format is not known.
    """
    files = list_files(inputs, ledger)
    return [part for file, name in zip(files, names_of(files, inputs), strict=True) for part in _parts(file, name)]


def _parts(file: Place, name: str) -> list[Part]:
    if isinstance(file, Remote):
        return [Part(str(file), max(0, file.size), None, file, name=name)]
    at = None if file == STANDARD_INPUT else stamp(file)
    if at is None or at[0] <= spans.SPAN:
        return [Part(str(file), at[0] if at else 0, at, file, name=name)]
    try:
        cut = spans.split_file(file)
    except (UnreadableError, OSError):  # what is wrong with it is told when its turn to be read has come
        cut = []
    if len(cut) < 2:
        return [Part(str(file), at[0], at, file, name=name)]
    return [Part(str(file), span.size, at, span, split=True, name=name) for span in cut]


def batches(task: Task, reading: Reading, ledger: Ledger, marker: Path) -> Iterator[pa.RecordBatch]:
    """The documents of a unit.

    Raises:
        PieceError: a file cannot be used.
        DataError: in strict mode, any unusable file or row.
    """
    left_out = {piece for piece, _ in task.left_out}
    held, files, size = list[Sample](), list[str](), 0
    for piece, part in enumerate(task.unit.parts):
        if piece in left_out:
            continue
        mark(marker, piece)
        file = _written(part.name or part.path)
        for sample in _documents(piece, part, reading, ledger):
            held.append(sample)
            files.append(file)
            size += len(sample.text) + _ROW
            if size >= BATCH or len(held) >= ROWS:
                yield _batch(held, files, ledger)
                held, files, size = [], [], 0
        if task.careful and held:
            yield _batch(held, files, ledger)
            held, files, size = [], [], 0
    if held:
        yield _batch(held, files, ledger)


def _documents(piece: int, part: Part, reading: Reading, ledger: Ledger) -> Iterator[Sample]:
    if part.stamp is not None and stamp(part.path) != part.stamp:
        raise PieceError(piece, "the file changed since the run began")
    read = 0
    given = read_file(part.place, ledger, column=reading.column, encoding=reading.encoding, name=part.name)
    try:
        for sample in given:
            yield sample
            read += len(sample.text)
            if reading.limit is not None and read >= reading.limit:
                ledger.count(CUT)
                return
    except UnreadableError as error:
        if reading.strict:
            raise
        raise PieceError(piece, error.problem) from error
    if part.stamp is not None and stamp(part.path) != part.stamp:
        raise PieceError(piece, "the file changed while it was read")


def _batch(samples: Sequence[Sample], files: Sequence[str], ledger: Ledger) -> pa.RecordBatch:
    """A batch, with the file of each document, as the manifest names it, and what that says of it besides."""
    import pyarrow as pa

    ledger.count("documents", len(samples))
    batch = documents([sample.text for sample in samples], [_written(sample.source) for sample in samples])
    batch = batch.append_column(FILE, pa.array(files, pa.string()))
    for name in TOLD:
        batch = batch.append_column(name, pa.array([sample.meta.get(name) for sample in samples], pa.string()))
    return batch


def _written(name: str) -> str:
    """A name that may be no Unicode, as Unicode."""
    return name.encode("utf-8", "backslashreplace").decode()
