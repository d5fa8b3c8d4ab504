"""Tables of text: JSON Lines, CSV and TSV. A row is a document; one that cannot be used is listed, and passed over."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sensorium.data.reading.documents import row_documents, short_document, speakable
from sensorium.data.reading.places import UnreadableError
from sensorium.data.sample import Ledger, Sample
from sensorium.errors import DataError

MAX_ROW = 1 << 25
"""Characters of the longest row of a table. Beyond it a file is damaged: a quote that never closes, a lost line end.
A row takes up to 20 times its characters in memory while it is read."""
_BLOCK = 1 << 20
META = frozenset({"url", "title", "language", "licence", "license"})
"""Columns that go with a document, where a table has them; `license` as `licence`."""


def json_documents(
    text: io.TextIOBase, source: str | Path, ledger: Ledger, column: str, *, first: int = 1
) -> Iterator[Sample]:
    """The texts of JSON Lines.

    Args:
        text: the file.
        source: what it is called.
        ledger: receives the rows that cannot be used.
        column: the key that holds the text.
        first: the number of the first line.

    Raises:
        DataError: the first row has no such key.
    """
    for rows, (where, row) in enumerate(json_rows(text, source, ledger, first=first)):
        if column in row:
            meta = meta_of(row, column) if len(row) > 1 else {}
            if (sample := short_document(row[column], where, meta)) is not None:
                yield sample
            else:
                yield from row_documents(row[column], where, ledger, meta)
        elif not rows and first == 1:
            raise no_column(where, column, row)
        else:
            ledger.problem(where, f"no key {column!r}")


def json_rows(
    text: io.TextIOBase, source: str | Path, ledger: Ledger, *, first: int = 1
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The object of every line of JSON Lines, with its place; lines that hold none go into the ledger."""
    decode = json.JSONDecoder().raw_decode  # `json.loads` takes half as long again
    for number, line in enumerate(bounded_lines(text), first):
        if line is None:
            ledger.problem(f"{source}:{number}", f"a line of more than {MAX_ROW} characters")
            continue
        try:
            row, end = decode(line) if line[0] == "{" else (json.loads(line), len(line))
            if line[end:].strip():
                raise ValueError(f"Extra data: column {end + 1}")
        except (ValueError, RecursionError) as error:
            if line.strip():
                ledger.problem(f"{source}:{number}", f"not valid JSON: {error}")
            continue
        if "\\ud" in line or "\\uD" in line:
            # Only where a surrogate is escaped may there be half of a pair.
            row = _mended(row, ledger)
        if isinstance(row, dict):
            yield f"{source}:{number}", row
        else:
            ledger.problem(f"{source}:{number}", "not a JSON object")


def _mended(value: Any, ledger: Ledger) -> Any:
    """A value of JSON without halves of surrogate pairs. JSON that Python could read is not nested too deeply."""
    if isinstance(value, str):
        return speakable(value, ledger)
    if isinstance(value, list):
        return [_mended(item, ledger) for item in value]
    if isinstance(value, dict):
        return {_mended(key, ledger): _mended(item, ledger) for key, item in value.items()}
    return value


def bounded_lines(text: io.TextIOBase) -> Iterator[str | None]:
    """Every line; None for one that is too long."""
    while line := text.readline(MAX_ROW):
        if len(line) < MAX_ROW or line.endswith("\n"):
            yield line
            continue
        while (rest := text.readline(_BLOCK)) and not rest.endswith("\n"):
            pass
        yield None


def separated_documents(
    text: io.TextIOBase, source: str | Path, ledger: Ledger, column: str, separator: str
) -> Iterator[Sample]:
    """The texts of CSV or TSV, quoted, with a header.

    Raises:
        DataError: the header has no such column.
        UnreadableError: a quote does not end.
    """
    csv.field_size_limit(MAX_ROW)
    rows = csv.reader(text, delimiter=separator)
    try:
        header = next(rows, [])
        if column not in header:
            raise no_column(f"{source}:1", column, header)
        place = header.index(column)
        others = [(index, name) for index, name in enumerate(header) if name in META and name != column]
        for cells in rows:
            if not cells:
                continue
            where = f"{source}:{rows.line_num}"
            if place >= len(cells):
                ledger.problem(where, f"has {len(cells)} cells, the text is in cell {place + 1}")
                continue
            known = {name: cells[index] for index, name in others if index < len(cells)}
            meta = meta_of(known, column) if known else {}
            if (sample := short_document(cells[place], where, meta)) is not None:
                yield sample
            else:
                yield from row_documents(cells[place], where, ledger, meta)
    except csv.Error as error:
        raise UnreadableError(f"cannot be read: line {rows.line_num}: {error}", where=str(source)) from error


def meta_of(row: Mapping[str, Any], column: str) -> dict[str, str]:
    """What a row says of its document besides the text."""
    names = row.keys() & META
    return {
        "licence" if name == "license" else name: row[name]
        for name in sorted(names)
        if name != column and isinstance(row[name], str) and row[name]
    }


def no_column(where: str, column: str, present: Iterable[str]) -> DataError:
    """The error of a table without the column that is asked for."""
    names = ", ".join(map(str, present)) or "none"
    return DataError(f"no column {column!r}", where=where, fix=f"Choose one with --column (present: {names})")
