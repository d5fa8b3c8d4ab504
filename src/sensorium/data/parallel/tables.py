"""Tables of translations: TSV, CSV, JSON Lines, Parquet. `columns` says which column holds which language.

TSV is read as it stands: a quotation mark is a character, as in the corpora that others publish. CSV is quoted. A key
`translation` that holds an object of languages, as the Hugging Face hub has it, is understood too.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sensorium.data.codes import find_code
from sensorium.data.parallel.columns import Layout, Wanted, layout
from sensorium.data.reading.columnar import parquet_rows
from sensorium.data.reading.tables import MAX_ROW, bounded_lines, json_rows
from sensorium.data.sample import Ledger, Translations
from sensorium.errors import DataError

_NESTED = "translation"


def table_rows(
    text: io.TextIOBase, path: Path, wanted: Wanted, ledger: Ledger, *, quoted: bool
) -> Iterator[Translations]:
    """The rows of TSV, or of CSV.

    Raises:
        DataError, InputError: nothing tells where the languages are.
    """
    laid: Layout | None = None
    for number, cells in _quoted(text) if quoted else _raw(text, path, ledger):
        if laid is None:
            laid = layout(cells, wanted, path)
            if laid.header:
                continue
        if not any(cell.strip() for cell in cells):
            continue
        places = [*laid.languages.values(), *(() if laid.group is None else (laid.group,))]
        if max(places) >= len(cells):
            ledger.problem(f"{path}:{number}", f"has {len(cells)} columns, not {max(places) + 1}")
            continue
        texts = {code: cells[place] for code, place in laid.languages.items()}
        yield Translations(texts, f"{path}:{number}", None if laid.group is None else cells[laid.group].strip())


def json_translations(text: io.TextIOBase, path: Path, wanted: Wanted, ledger: Ledger) -> Iterator[Translations]:
    """The rows of JSON Lines.

    Raises:
        DataError, InputError: nothing tells where the languages are.
    """
    yield from _objects(json_rows(text, path, ledger), path, wanted, ledger)


def parquet_translations(path: Path, wanted: Wanted, ledger: Ledger) -> Iterator[Translations]:
    """The rows of a Parquet file.

    Raises:
        DataError, InputError: nothing tells where the languages are.
    """
    yield from _objects(parquet_rows(path, ledger), path, wanted, ledger)


def _raw(text: io.TextIOBase, path: Path, ledger: Ledger) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(bounded_lines(text), 1):
        if line is None:
            ledger.problem(f"{path}:{number}", f"a line of more than {MAX_ROW} characters")
        else:
            yield number, line.rstrip("\r\n").split("\t")


def _quoted(text: io.TextIOBase) -> Iterator[tuple[int, list[str]]]:
    csv.field_size_limit(MAX_ROW)
    rows = csv.reader(text)
    for row in rows:
        yield rows.line_num, row


def _objects(
    rows: Iterator[tuple[str, dict[str, Any]]], path: Path, wanted: Wanted, ledger: Ledger
) -> Iterator[Translations]:
    columns: dict[str, str] | None = None
    group: str | None = None
    for where, row in rows:
        flat = _flat(row)
        if columns is None:
            names = list(flat)
            laid = layout(names, wanted, path)
            if not laid.header:
                raise DataError(
                    "no key names a language",
                    where=where,
                    fix=f"Name them with --columns en=KEY,zh=KEY (present: {', '.join(names[:12])})",
                )
            columns = {code: names[place] for code, place in laid.languages.items()}
            group = None if laid.group is None else names[laid.group]
        texts = {code: flat.get(name) for code, name in columns.items()}
        wrong = [name for code, name in columns.items() if not isinstance(texts[code], str | None)]
        if wrong:
            ledger.problem(where, f"{wrong[0]!r} holds {type(flat[wrong[0]]).__name__}, not text")
            continue
        held = {code: text for code, text in texts.items() if isinstance(text, str)}
        said = flat.get(group) if group else None
        yield Translations(held, where, None if said is None else str(said))


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with the object of languages, if it has one, spread out."""
    inner = row.get(_NESTED)
    if not isinstance(inner, dict) or not any(find_code(str(key)) for key in inner):
        return dict(row)
    return {**{key: value for key, value in row.items() if key != _NESTED}, **inner}
