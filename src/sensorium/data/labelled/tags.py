"""Sentences whose words have tags: files in columns as those of CoNLL, or tables with a list of words and one of tags.

In a file of columns a word stands on a line with its tag, and an empty line ends a sentence. The word is the first
column and the tag the last, in CoNLL-U the second and the fourth, unless the user says otherwise by numbers.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sensorium.data.labelled.classes import label_of
from sensorium.data.rows import KNOWN, Row, kind_of, named_rows, opened
from sensorium.data.sample import Ledger
from sensorium.errors import DataError, InputError, unknown

ROLES = ("words", "tags")
_WORDS = ("tokens", "words", "text", "sentence")
_TAGS = ("ner_tags", "tags", "labels", "pos_tags", "ner", "pos", "tag", "label")
_COLUMNS = {".conllu": ("2", "4")}
_DOCUMENT = "-DOCSTART-"
_RANGE = re.compile(r"\d+[-.]\d+")
"""Number of a line that stands for several words, or for none, in CoNLL-U."""


@dataclass(frozen=True, slots=True)
class Tagged:
    """A sentence."""

    words: tuple[str, ...]
    tags: tuple[str, ...]
    source: str
    """File and row that it came from."""


def read_tagged(path: Path, ledger: Ledger, *, columns: Mapping[str, str] | None = None) -> list[Tagged]:
    """The sentences of a file; those that cannot be used go into the ledger.

    Args:
        path: JSON Lines, JSON or Parquet; any other file is read as columns.
        ledger: receives problems.
        columns: names of the keys `words` and `tags`, or numbers of the columns.

    Raises:
        InputError: there is no such file, or it has no such column.
        DataError: it holds no sentences.
    """
    wanted = dict(columns or {})
    for role in wanted:
        if role not in ROLES:
            raise InputError(unknown("column", role, ROLES), fix="Say for example words=tokens,tags=ner")
    kind = kind_of(path)
    if kind in KNOWN and kind not in (".csv", ".tsv"):
        found = list(_of_rows(named_rows(path, ledger), wanted, path, ledger))
    else:
        with opened(path, ledger) as text:
            found = list(_of_lines(text, wanted, path, ledger))
    if not found:
        why = f": {ledger.problems[0]['reason']}" if ledger.problems else ""
        raise DataError(
            f"holds no tagged sentence{why}",
            where=str(path),
            fix="Give lines of a word and its tag, with an empty line after each sentence, or a table of lists",
        )
    return found


def _of_rows(
    rows: Iterator[tuple[str, Row]], wanted: Mapping[str, str], path: Path, ledger: Ledger
) -> Iterator[Tagged]:
    names: tuple[str, str] | None = None
    for where, row in rows:
        if names is None:
            names = _key("words", _WORDS, row, wanted, path), _key("tags", _TAGS, row, wanted, path)
        words, tags = (_listed(row.get(name)) for name in names)
        if words is None or tags is None or not all(isinstance(word, str) for word in words):
            ledger.problem(where, f"{names[0]!r} and {names[1]!r} are not lists of words and of their tags")
        elif len(words) != len(tags):
            ledger.problem(where, f"{len(words)} words have {len(tags)} tags")
        elif words:
            named = [label_of(tag, f"{where}, key {names[1]!r}") for tag in tags]
            if None in named:
                ledger.problem(where, f"word {named.index(None) + 1} has no tag")
            else:
                yield Tagged(tuple(words), tuple(str(tag) for tag in named), where)


def _listed(value: Any) -> list[Any] | None:
    """A list, also one that is written as words with spaces between them."""
    if isinstance(value, str):
        return value.split()
    return value if isinstance(value, list) else None


def _key(role: str, usual: tuple[str, ...], row: Row, wanted: Mapping[str, str], path: Path) -> str:
    if role in wanted:
        if wanted[role] not in row:
            raise InputError(unknown("column", wanted[role], row), where=str(path))
        return wanted[role]
    taken = wanted.values()
    found = next((name for name in usual if name in row and name not in taken), None)
    if found is None:
        raise DataError(
            f"no column is called by a usual name for {role} ({', '.join(usual)})",
            where=str(path),
            fix=f"Say it with --columns {role}=NAME (present: {', '.join(map(str, row))})",
        )
    return found


def _of_lines(text: io.TextIOBase, wanted: Mapping[str, str], path: Path, ledger: Ledger) -> Iterator[Tagged]:
    first, last = _COLUMNS.get(kind_of(path), ("1", ""))
    places = _number(wanted.get("words", first), path), _number(wanted.get("tags", last), path)
    words, tags, begin = list[str](), list[str](), 0
    wrong: str | None = None
    rows = [(line, line.rstrip("\r\n").split("\t") if "\t" in line else line.split()) for line in [*text, ""]]
    width = next((len(cells) for line, cells in rows if line.strip() and line[0] != "#" and cells[0] != _DOCUMENT), 0)
    for number, (line, cells) in enumerate(rows, 1):
        if not line.strip() or cells[0] == _DOCUMENT:
            if wrong:
                ledger.problem(f"{path}:{begin}", wrong)
            elif words:
                yield Tagged(tuple(words), tuple(tags), f"{path}:{begin}")
            words, tags, wrong = [], [], None
            continue
        if line.startswith("#") and len(cells) != width and not words:
            continue
        begin = begin if words or wrong else number
        if kind_of(path) == ".conllu" and _RANGE.fullmatch(cells[0]):
            continue
        if len(cells) < max(2, *places) or not (cells[places[0] - 1].strip() and cells[places[1] - 1].strip()):
            wrong = wrong or f"line {number} has no word and tag"
            continue
        words.append(cells[places[0] - 1].strip())
        tags.append(cells[places[1] - 1].strip())


def _number(column: str, path: Path) -> int:
    """A column's number from 1; 0 is the last."""
    if column and not (column.isdigit() and int(column)):
        raise InputError(
            f"the columns of such a file go by numbers, not {column!r}",
            where=str(path),
            fix="Say for example --columns words=1,tags=4",
        )
    return int(column or 0)
