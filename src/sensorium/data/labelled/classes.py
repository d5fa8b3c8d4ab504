"""Tables of texts and their classes: which columns hold them, and their rows.

In this order: what the user says (`text=body,label=stars`); usual names (`sentence1` and `sentence2`, `text`, `label`);
the content: the text is the longest column, the label the one other with few values that come again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sensorium.data.rows import Row, named_rows
from sensorium.data.sample import Ledger
from sensorium.errors import DataError, InputError, unknown

ROLES = ("text", "pair", "label")
_LABELS = ("label", "labels", "class", "category", "target", "sentiment", "emotion", "intent", "topic", "y")
_TEXTS = ("text", "sentence", "content", "review", "body", "message", "comment", "utterance", "document", "tweet",
          "headline", "title", "question")  # fmt: skip
_PAIRS = (("sentence1", "sentence2"), ("premise", "hypothesis"), ("question1", "question2"), ("text1", "text2"),
          ("text_a", "text_b"), ("text", "text_pair"), ("text", "pair"), ("question", "sentence"),
          ("query", "passage"))  # fmt: skip
_LOOKED_AT = 10_000
"""Rows that tell the columns."""
_MANY = 10
"""Labels that need a second look: are they labels?"""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text, or two that belong together, and its class."""

    text: str
    pair: str | None
    label: str
    source: str
    """File and row that it came from."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of a table's columns."""

    text: str
    label: str
    pair: str | None = None


def read_labelled(path: Path, ledger: Ledger, *, columns: Mapping[str, str] | None = None) -> list[Labelled]:
    """The rows of a table that have a text and a class; the others go into the ledger.

    Args:
        path: CSV or TSV with a header, JSON Lines, JSON or Parquet.
        ledger: receives problems.
        columns: names of the columns `text`, `label` and `pair`, as far as they are known.

    Raises:
        InputError: there is no such file, or it has no such column.
        DataError: it holds no rows, or nothing tells which column is what.
    """
    rows = list(named_rows(path, ledger))
    if not rows:
        why = f": {ledger.problems[0]['reason']}" if ledger.problems else ""
        raise DataError(f"holds no rows{why}", where=str(path), fix="Give a table with a text and a label column")
    chosen = choose_columns([row for _, row in rows[:_LOOKED_AT]], columns or {}, path)
    found = []
    for where, row in rows:
        texts = [row.get(name) for name in (chosen.text, *(() if chosen.pair is None else (chosen.pair,)))]
        label = label_of(row.get(chosen.label), f"{where}, column {chosen.label!r}")
        if label is None:
            ledger.problem(where, "has no label")
        elif not all(isinstance(text, str) and text.strip() for text in texts):
            ledger.problem(where, "has no text")
        else:
            found.append(Labelled(str(texts[0]), str(texts[1]) if len(texts) == 2 else None, label, where))
    _check_labels(found, chosen, path)
    return found


def label_of(value: Any, where: str) -> str | None:
    """A label as text; None where there is none.

    Raises:
        DataError: it is no class: a number with a fraction, or several values.
    """
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and not value.is_integer():
        raise DataError(f"{value} is no class", where=where, fix="Classes are learned, not amounts: sort them first")
    if isinstance(value, int | float):
        return str(int(value))
    if not isinstance(value, str):
        raise DataError(
            f"holds {type(value).__name__}, not one class",
            where=where,
            fix="Give each row one class, as text or number",
        )
    return value.strip() or None


def choose_columns(rows: Sequence[Row], wanted: Mapping[str, str], path: Path) -> Columns:
    """Which columns hold the texts and the label.

    Raises:
        InputError: the table has no column of a name that the user says.
        DataError: nothing tells which column is what.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    for role, name in wanted.items():
        if role not in ROLES:
            raise InputError(unknown("column", role, ROLES), fix="Say for example text=body,label=stars")
        if name not in names:
            raise InputError(unknown("column", name, names), where=str(path))
    lower = {name.lower(): name for name in reversed(names) if name not in wanted.values()}
    label = wanted.get("label") or next((lower[name] for name in _LABELS if name in lower), None)
    text, pair = _texts(wanted, {key: name for key, name in lower.items() if name != label})
    if text is None:
        text = _longest(rows, [name for name in names if name not in (label, pair)], path)
    if label is None:
        label = _by_values(rows, [name for name in names if name not in (text, pair)], path)
    return Columns(text, label, pair)


def _texts(wanted: Mapping[str, str], lower: Mapping[str, str]) -> tuple[str | None, str | None]:
    """The column or the two columns of texts, as far as names tell."""
    if "text" in wanted:
        return wanted["text"], wanted.get("pair")
    if "pair" not in wanted:
        for first, second in _PAIRS:
            if first in lower and second in lower:
                return lower[first], lower[second]
    return next((lower[name] for name in _TEXTS if name in lower), None), wanted.get("pair")


def _by_values(rows: Sequence[Row], names: Sequence[str], path: Path) -> str:
    """The one column whose values come again and again."""
    fitting = []
    for name in names:
        values = [value for row in rows if (value := row.get(name)) is not None]
        if not all(isinstance(value, str | int) for value in values):
            continue
        kinds = len(set(values))
        if 2 <= kinds <= max(2, len(values) // 2):
            fitting.append((kinds, name))
    fitting.sort()
    if not fitting or (len(fitting) > 1 and fitting[1][0] <= fitting[0][0] * 4):
        which = " or ".join(repr(name) for _, name in fitting[:3]) if fitting else "none of them"
        raise DataError(
            f"which column is the label? {which} could be",
            where=str(path),
            fix=f"Say it with --columns label=NAME (present: {', '.join(names)})",
        )
    return fitting[0][1]


def _longest(rows: Sequence[Row], names: Sequence[str], path: Path) -> str:
    """The column of text with the most characters."""
    sizes = {
        name: sum(len(row[name]) for row in rows if isinstance(row.get(name), str))
        for name in names
        if all(isinstance(row.get(name), str | None) for row in rows)
    }
    best = max(sizes, key=sizes.__getitem__, default=None)
    if best is None or not sizes[best]:
        raise DataError(
            "no column holds text",
            where=str(path),
            fix=f"Say it with --columns text=NAME (present: {', '.join(names)})",
        )
    return best


def _check_labels(found: Sequence[Labelled], chosen: Columns, path: Path) -> None:
    kinds = len({row.label for row in found})
    if found and kinds > max(_MANY, len(found) // 2):
        raise DataError(
            f"column {chosen.label!r} has {kinds} labels in {len(found)} rows, which leaves nothing to learn from",
            where=str(path),
            fix="Is it the right column? Say it with --columns label=NAME",
        )
