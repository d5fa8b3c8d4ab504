"""Glossaries in files: a term and its translation a line, or a JSON object."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from sensorium.errors import DataError
from sensorium.files import read_errors, read_json


def read_glossary(path: Path) -> dict[str, str]:
    """Term → translation, of a .json object, a .csv table of two columns, or lines of `term<tab>translation`.

    Empty lines and those that begin with `#` count for nothing.

    Raises:
        InputError: there is no such file.
        DataError: it does not read so, or holds a term with two translations.
    """
    with read_errors(path):
        if path.suffix == ".json":
            return dict(read_json(path))
        raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError("not valid UTF-8", where=str(path), fix="Convert it to UTF-8 first") from error
    found = dict[str, str]()
    comma = path.suffix == ".csv"
    rows = csv.reader(io.StringIO(text)) if comma else (line.split("\t") for line in text.splitlines())
    for number, row in enumerate(rows, 1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or cells[0].startswith("#"):
            continue
        if len(cells) != 2 or not all(cells):
            raise DataError(
                f"has {len(cells)} columns, where a glossary has a term and its translation",
                where=f"{path}, line {number}",
                fix=f"Part the two by a {'comma' if comma else 'tab'}",
            )
        term, said = cells
        if found.setdefault(term, said) != said:
            raise DataError(f"{term!r} has two translations", where=f"{path}, line {number}", fix="Keep one of them")
    return found
