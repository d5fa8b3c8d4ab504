"""The pieces that an input is worked on in: a unit is a run of small files, or a span of a large one.

What a unit holds depends on the files alone, never on the number of processes, so that any number of them gives the
same bytes. Small files share a unit, because thousands of units with a page of text each would cost more than the text.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

UNIT = 1 << 25
"""Bytes that a unit holds, about; a file that cannot be split may be larger."""
FILES = 2000
"""Files that a unit holds at most."""


@dataclass(frozen=True)
class Part:
    """A file, or a span of one."""

    path: str
    """`-` for standard input."""
    size: int
    """Bytes of the part."""
    stamp: tuple[int, int] | None
    """Size and time of change of the whole file when the run was planned; None where a file has neither."""
    place: Any
    """What the readers are handed: a path, or a span of a file."""
    split: bool = False
    """Whether the file has other parts."""
    name: str | None = None
    """What the file is called in the manifest."""


@dataclass(frozen=True)
class Unit:
    """What one process works on at a time."""

    number: int
    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(part.size for part in self.parts)

    @property
    def streamed(self) -> bool:
        """Whether only the process that was started by hand can read it: standard input."""
        return any(part.path == "-" for part in self.parts)


@dataclass(frozen=True)
class Task:
    """A unit, and how it is to be worked on.

    Args:
        unit: what.
        careful: hand on the documents of each piece (a part, or a batch) before the next is read, so that a process
            that dies has told in which piece.
        left_out: pieces that are passed over, and why.
    """

    unit: Unit
    careful: bool = False
    left_out: tuple[tuple[int, str], ...] = ()

    def without(self, piece: int, reason: str) -> Task:
        """The task without a piece."""
        return replace(self, left_out=(*self.left_out, (piece, reason)))


def stamp(path: str | Path) -> tuple[int, int] | None:
    """Size and time of change of a file, by which it is seen whether it changed; None for what is no local file."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def in_units(parts: Sequence[Part]) -> list[Unit]:
    """Parts to units, in their order."""
    return [Unit(number, tuple(run)) for number, run in enumerate(_runs(parts))]


def _runs(parts: Sequence[Part]) -> Iterator[list[Part]]:
    run, size = list[Part](), 0
    for part in parts:
        alone = part.path == "-"
        if run and (alone or size + part.size > UNIT or len(run) >= FILES):
            yield run
            run, size = [], 0
        run.append(part)
        size += part.size
        if alone:
            yield run
            run, size = [], 0
    if run:
        yield run


def mark(path: Path, piece: int) -> None:
    """Leave word of the piece that is in hand, for who asks why this process died."""
    # In place: a file that is cut to nothing and written anew may wait for the disk.
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        os.write(file, b"%8d" % piece)
    finally:
        os.close(file)


def marked(path: Path) -> int:
    """The piece that was in hand."""
    return int(path.read_text(encoding="ascii") or 0) if path.exists() else 0
