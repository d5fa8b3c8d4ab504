"""Tables whose columns hold texts and paths of pictures, sounds and clips that belong together, row by row.

Unusual: a column is what its content is. Files that exist are looked into; the names are asked only where files are
missing. Columns of numbers, and those in which every row says the same, are left out, which is told.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args

from sensorium.data.rows import named_rows
from sensorium.data.sample import Ledger
from sensorium.errors import DataError, InputError, SensoriumError, unknown
from sensorium.files import StrPath, refuse_unspeakable, text_hash
from sensorium.modalities.kinds import modality_of

Kind = Literal["audio", "image", "text", "video"]
_SAMPLE = 200
"""Distinct cells of a column that are looked at."""
_LONGEST_PATH = 1024
_NAMES: dict[Kind, tuple[str, ...]] = {
    "image": (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".avif"),
    "audio": (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".aiff", ".aif"),
    "video": (".mp4", ".webm", ".mkv", ".avi", ".mov", ".mpg", ".mpeg", ".ogv"),
}


@dataclass(frozen=True, kw_only=True)
class SenseColumn:
    """One column."""

    name: str
    kind: Kind
    cells: tuple[str | None, ...]
    """A text or a path; None where a row has none."""


@dataclass(frozen=True, kw_only=True)
class SenseTable:
    """A table, of which each row tells of one thing."""

    path: Path
    columns: tuple[SenseColumn, ...]
    notes: tuple[str, ...]
    """What was left out, and why."""
    manifest: dict[str, Any]
    """Files with their hashes, and what could not be used."""

    def __len__(self) -> int:
        return len(self.columns[0].cells)

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The senses, sorted."""
        return tuple(sorted({column.kind for column in self.columns}))

    @property
    def root(self) -> Path:
        """What its paths are relative to."""
        return self.path.parent

    @property
    def fingerprint(self) -> str:
        """Tells tables apart by their cells, kinds and the sizes of the files."""
        parts = [(c.name, c.kind, c.cells, _sizes(c, self.root)) for c in self.columns]
        return text_hash(repr(parts))


def read_sense_table(path: StrPath, *, columns: Mapping[str, str] | None = None, least: int = 2) -> SenseTable:
    """Read a table of pairs, or of more that belongs together.

    Args:
        path: CSV or TSV with a header, JSON, JSON Lines or Parquet.
        columns: the columns to read, and what each holds: {"caption": "text", "photo": "image"}. Without it, every
            column is read as what its content is. Several may be of one kind: two captions, say.
        least: how many senses there must be.

    Raises:
        InputError: there is no such file, column or kind.
        DataError: it is no table, has no rows, or fewer senses than `least`.
    """
    path, ledger = Path(path), Ledger()
    rows = [row for where, row in named_rows(path, ledger) if _speakable(row, where, ledger)]
    if not rows:
        raise DataError("there are no rows in it", where=str(path), fix="Give a header and one row or more")
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = {name: tuple(_cell(row.get(name)) for row in rows) for name in names}
    if columns is not None:
        kinds, notes = _given(columns, names, path), list[str]()
    else:
        kinds, notes = _found(cells, path.parent)
    if problems := ledger.counts["problems"]:
        first = ledger.problems[0]
        notes.append(f"{problems:,} rows could not be used, the first of them {first['where']}: {first['reason']}")
    read = tuple(SenseColumn(name=name, kind=kind, cells=cells[name]) for name, kind in kinds.items())
    senses = sorted({column.kind for column in read})
    if len(senses) < least:
        told = ", ".join(f"{name} is {kind}" for name, kind in kinds.items()) or "none of its columns can be used"
        left = f"; left out: {'; '.join(notes)}" if notes else ""
        raise DataError(
            f"{'two senses or more are' if least > 1 else 'a sense is'} needed, and {told}{left}",
            where=str(path),
            fix="Say what the columns hold: --columns photo=image,caption=text",
        )
    return SenseTable(
        path=path,
        columns=read,
        notes=tuple(notes),
        manifest={"files": ledger.files, "rows": len(rows), "columns": kinds, "unreadable": ledger.problems},
    )


def kind_of_cells(cells: tuple[str | None, ...], root: Path) -> Kind:
    """What most of a column's cells are: paths of files of one kind, or texts."""
    sample = list(dict.fromkeys(cell for cell in cells if cell is not None))[:_SAMPLE]
    found = Counter(kind for cell in sample if (kind := _kind_of_path(cell, root)) is not None)
    if found and 2 * sum(found.values()) >= len(sample):
        return found.most_common(1)[0][0]
    return "text"


def _kind_of_path(cell: str, root: Path) -> Kind | None:
    """What the file that a cell names holds; by its name where there is no such file."""
    if len(cell) > _LONGEST_PATH or "\n" in cell or "\0" in cell:
        return None
    with suppress(OSError):
        if (root / cell).is_file():
            return held_by(root / cell) or kind_by_name(cell)
    return kind_by_name(cell)


def held_by(path: StrPath) -> Kind | None:
    """Whether a file holds a picture, a sound or a clip; None if it is none of them, or cannot be read."""
    with suppress(SensoriumError):
        kind = modality_of(path)
        return kind if kind in _NAMES else None
    return None


def kind_by_name(path: StrPath) -> Kind | None:
    """What a file's name says that it holds, if its ending is known."""
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    return next((kind for kind, suffixes in _NAMES.items() if suffix in suffixes), None)


def _given(columns: Mapping[str, str], names: list[str], path: Path) -> dict[str, Kind]:
    for name, kind in columns.items():
        if name not in names:
            raise InputError(unknown("column", name, names), where=str(path))
        if kind not in get_args(Kind):
            raise InputError(unknown("kind of column", kind, get_args(Kind)), where=f"column {name}")
    return cast("dict[str, Kind]", dict(columns))


def _found(cells: Mapping[str, tuple[str | None, ...]], root: Path) -> tuple[dict[str, Kind], list[str]]:
    """The kind of each column that can be used, and why others cannot."""
    kinds, notes = dict[str, Kind](), list[str]()
    for name, column in cells.items():
        values = {cell for cell in column if cell is not None}
        kind = kind_of_cells(column, root)
        if not values:
            notes.append(f"column {name!r} is empty")
        elif kind == "text" and all(map(_is_number, values)):
            notes.append(f"column {name!r} holds numbers")
        elif kind == "text" and len(values) == 1 and len(column) > 1:
            notes.append(f"column {name!r} says the same in every row")
        else:
            kinds[name] = kind
    return kinds, notes


def _cell(value: Any) -> str | None:
    """A cell as text; a list as its parts."""
    if isinstance(value, list | tuple):
        value = ", ".join(str(part) for part in value if part is not None)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return str(value).strip() or None


def _speakable(row: Mapping[str, Any], where: str, ledger: Ledger) -> bool:
    """Whether UTF-8 can write all of a row; it is a problem otherwise."""
    try:
        for value in row.values():
            refuse_unspeakable(_cell(value) or "")
    except InputError as error:
        ledger.problem(where, error.problem)
        return False
    return True


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _sizes(column: SenseColumn, root: Path) -> list[int]:
    if column.kind == "text":
        return []
    sizes = []
    for cell in column.cells:
        size = -1
        with suppress(OSError, ValueError):
            size = (root / cell).stat().st_size if cell is not None else -1
        sizes.append(size)
    return sizes
