"""A table in memory, by columns, and the folder that its paths begin from.

What `named_rows` reads (CSV, TSV, JSON Lines, JSON, Parquet) or rows that are given. A column that a row leaves out is
missing there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorium.data.rows import kind_of, named_rows
from sensorium.data.sample import Ledger
from sensorium.errors import DataError, InputError, unknown
from sensorium.files import StrPath, read_errors, text_hash

"""A table's file, a row, or rows."""


@dataclass(frozen=True, eq=False)
class Table:
    """Cells by column.

    Args:
        columns: by name, in the file's order; all of one length.
        rows: how many.
        root: the folder that relative paths in cells begin from.
        source: the file, or what else to call it.
        fingerprint: tells tables apart by what their cells hold (not by the files that they name).
        notes: what could not be read.
    """

    columns: dict[str, list[Any]]
    rows: int
    root: Path
    source: str
    fingerprint: str
    notes: tuple[str, ...] = ()

    def column(self, name: str) -> list[Any]:
        """The cells of a column.

        Raises:
            InputError: there is none of this name.
        """
        if name not in self.columns:
            raise InputError(unknown("column", name, self.columns), where=self.source, fix="Name one of these")
        return self.columns[name]

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> Table:
        """Some of the rows."""
        chosen = [int(row) for row in rows]
        columns = {name: [cells[row] for row in chosen] for name, cells in self.columns.items()}
        return replace(self, columns=columns, rows=len(chosen))


TableLike = StrPath | Table | Mapping[str, Any] | Sequence[Mapping[str, Any]]


def read_table(given: TableLike, *, root: Path | None = None) -> Table:
    """Read a table.

    Args:
        given: a file (CSV or TSV with a header, JSON Lines, JSON, Parquet), rows, or what was read before.
        root: where relative paths in cells begin; by default the file's folder, of rows the current one.

    Raises:
        InputError: there is no such file.
        DataError: it is no table, two of its columns have one name, or it holds no rows.
    """
    if isinstance(given, Table):
        return given
    if not isinstance(given, str | PathLike):
        rows = [dict(given)] if isinstance(given, Mapping) else [dict(row) for row in given]
        return _table(rows, root or Path(), "the rows", ())
    path, ledger = Path(given), Ledger()
    with read_errors(path):
        if not path.is_file():
            raise InputError("is a folder" if path.is_dir() else "no such file", where=str(path), fix="Name a table")
    if kind_of(path) == ".parquet":
        _refuse_twins(path)
    rows = [row for _, row in named_rows(path, ledger)]
    if not rows:
        why = f": {ledger.problems[0]['reason']}" if ledger.problems else ""
        raise DataError(f"holds no rows{why}", where=str(path), fix="Give a table with a header and rows")
    notes: tuple[str, ...] = ()
    if count := ledger.counts["problems"]:
        first = ledger.problems[0]
        notes = (f"{count:,} rows could not be read, the first of them {first['where']}: {first['reason']}",)
    return _table(rows, root or path.parent, str(path), notes)


def _table(rows: list[dict[str, Any]], root: Path, source: str, notes: tuple[str, ...]) -> Table:
    if not rows:
        raise DataError("there are no rows", where=source, fix="Give one or more")
    names = list(dict.fromkeys(str(name) for row in rows for name in row))
    if unnamed := [name for name in names if not name.strip()]:
        raise DataError(f"{len(unnamed)} columns have no name", where=source, fix="Name them, or remove them")
    columns = {name: [row.get(name) for row in rows] for name in names}
    return Table(columns, len(rows), root, source, text_hash(repr(columns)), notes)


def _refuse_twins(path: Path) -> None:
    """Rows as dictionaries would hide a second column of one name."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        names = pq.read_schema(path).names
    except (pa.ArrowException, OSError):  # told by whoever reads the rows
        return
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(
            f"two columns are called {twice[0]!r}", where=str(path), fix="Every column must have its own name"
        )
