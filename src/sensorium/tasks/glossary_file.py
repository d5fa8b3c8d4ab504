"""Glossaries in files: a term and its translation a line, or a JSON object."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path

from sensorium.data.reading.tables import MAX_ROW
from sensorium.errors import DataError
from sensorium.files import read_errors


def read_glossary(path: Path) -> dict[str, str]:
    """Term → translation, of a .json object, a .csv table of two columns, or lines of `term<tab>translation`.

    Empty lines and those that begin with `#` count for nothing.

    Raises:
        InputError: there is no such file.
        DataError: it does not read so, or holds a term with two translations.
    """
    with read_errors(path):
        raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError("not valid UTF-8", where=str(path), fix="Convert it to UTF-8 first") from error
    kind = path.suffix.lower()
    if kind == ".json":
        return _object(text, path)
    if kind != ".csv":
        return _table((line.split("\t") for line in text.splitlines()), path, "tab")
    csv.field_size_limit(MAX_ROW)  # of the whole process: whoever reads first would decide otherwise
    try:
        return _table(csv.reader(io.StringIO(text, newline="")), path, "comma")
    except csv.Error as error:
        raise DataError(f"no table of columns: {error}", where=str(path), fix="Save it as CSV in UTF-8") from error


def _object(text: str, path: Path) -> dict[str, str]:
    fix = 'Write {"term": "translation", ...}'
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: bad JSON, a number of 5000 digits
        raise DataError(f"not valid JSON: {error}", where=str(path), fix=fix) from error
    if not isinstance(value, dict):
        raise DataError("not a JSON object", where=str(path), fix=fix)
    wrong = next((term for term, said in value.items() if not isinstance(said, str)), None)
    if wrong is not None:
        raise DataError(f"the translation of {wrong!r} is no text", where=str(path), fix=fix)
    return value


def _table(rows: Iterable[list[str]], path: Path, parted_by: str) -> dict[str, str]:
    found = dict[str, str]()
    for number, row in enumerate(rows, 1):
        cells, where = [cell.strip() for cell in row], f"{path}, line {number}"
        if not any(cells) or cells[0].startswith("#"):
            continue
        if len(cells) != 2:
            raise DataError(
                f"has {len(cells)} column{'s' * (len(cells) != 1)}, where a glossary has a term and its translation",
                where=where,
                fix=f"Part the two by a {parted_by}",
            )
        term, said = cells
        if not (term and said):
            problem = f"{term!r} has no translation" if term else f"the translation {said!r} has no term"
            raise DataError(problem, where=where, fix="Write both, or take the line out")
        if found.setdefault(term, said) != said:
            raise DataError(f"{term!r} has two translations", where=where, fix="Keep one of them")
    return found
