"""Tables with named columns, row by row: CSV and TSV with a header, JSON Lines, JSON, Parquet, Arrow, Feather.

Rows that do not fit their header and lines that hold no object go into the ledger.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sensorium.data.reading.columnar import columnar_rows
from sensorium.data.reading.formats import COLUMNAR, JSON_LINES, PACKED, SEPARATED, suffix_of
from sensorium.data.reading.noted import note_file, text_encoding
from sensorium.data.reading.packed import open_packed
from sensorium.data.reading.tables import MAX_ROW, json_rows
from sensorium.data.sample import Ledger
from sensorium.errors import DataError, InputError
from sensorium.files import read_errors

Row = dict[str, Any]
KNOWN = (*SEPARATED, *sorted(JSON_LINES), ".json", *sorted(COLUMNAR))
"""Kinds of tables, by suffix; all but columnar files also compressed, as `reading.formats.PACKED` says."""


def kind_of(path: Path) -> str:
    """The suffix that tells a file's format, without that of the compression."""
    return suffix_of(path)


def named_rows(path: Path, ledger: Ledger) -> Iterator[tuple[str, Row]]:
    """Every row of a table, with its place.

    Args:
        path: the file.
        ledger: receives the file's hash, and the rows that cannot be used.

    Raises:
        InputError: there is no such file, or it may not be read.
        DataError: it is of another kind, or cannot be read as what its name says.
    """
    kind = kind_of(path)
    if kind not in KNOWN:
        raise DataError(
            f"files of the kind {path.suffix!r} are no tables", where=str(path), fix=f"Readable: {', '.join(KNOWN)}"
        )
    if kind in COLUMNAR:
        if path.suffix.lower() in PACKED:
            raise DataError("is compressed twice", where=str(path), fix="Unpack it: such files are compressed within")
        if noted(path, ledger):
            yield from columnar_rows(path, kind, ledger)
        return
    with opened(path, ledger) as text:
        if kind in JSON_LINES:
            yield from json_rows(text, path, ledger)
        elif kind == ".json":
            yield from _json(text, path, ledger)
        else:
            yield from _separated(text, path, ledger, SEPARATED[kind])


def opened(path: Path, ledger: Ledger) -> io.TextIOBase:
    """A text file, unpacked and decoded; one that is no text is empty, and a problem.

    Raises:
        InputError: there is no such file, or it may not be read.
    """
    encoding = text_encoding(path, ledger) if noted(path, ledger) else None
    if encoding is None:
        return io.StringIO()
    with open_packed(path) as raw:
        # These tables are held in memory as a whole, so that the file may be closed at once.
        return io.StringIO(raw.read().decode(encoding), newline="")


def noted(path: Path, ledger: Ledger) -> bool:
    """Put a file into the ledger; False if it is empty.

    Raises:
        InputError: there is no such file, or it may not be read.
    """
    with read_errors(path):
        if not path.is_file():
            raise InputError("is a folder" if path.is_dir() else "no such file", where=str(path), fix="Name a file")
        return note_file(path, ledger)


def _json(text: io.TextIOBase, path: Path, ledger: Ledger) -> Iterator[tuple[str, Row]]:
    content = text.read()
    if not content.strip():
        return
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"not valid JSON: {error}", where=str(path), fix="Mend the file, or name it .jsonl") from error
    rows = value.get("data") if isinstance(value, dict) else value
    if not isinstance(rows, list):
        raise DataError('holds neither a list of objects nor {"data": [...]}', where=str(path), fix="Give a table")
    for number, row in enumerate(rows, 1):
        where = f"{path}, object {number}"
        if isinstance(row, dict):
            yield where, row
        else:
            ledger.problem(where, f"holds {type(row).__name__}, not an object")


def _separated(text: io.TextIOBase, path: Path, ledger: Ledger, separator: str) -> Iterator[tuple[str, Row]]:
    csv.field_size_limit(MAX_ROW)
    rows = csv.reader(text, delimiter=separator)
    header: list[str] | None = None
    try:
        for cells in rows:
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = [cell.strip() for cell in cells]
                _check_header(header, path)
                continue
            where = f"{path}:{rows.line_num}"
            if len(cells) != len(header):
                ledger.problem(where, f"has {len(cells)} cells, the header has {len(header)}")
                continue
            yield where, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise DataError(f"cannot be read: {error}", where=f"{path}:{rows.line_num}", fix="Mend the file") from error


def _check_header(header: list[str], path: Path) -> None:
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise DataError(
            f"two columns are called {twice[0]!r}", where=f"{path}:1", fix="The first line must name each column once"
        )
