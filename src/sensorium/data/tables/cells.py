"""What a cell is: missing, a number, a text, a list.

Unusual: tables of text know no types, so that a number may stand there as `"3.5"`, and one that is missing as `NA`.
"""

from __future__ import annotations

import math
import re
from typing import Any

MISSING_WORDS = frozenset({"na", "n/a", "nan", "null", "#n/a", "<na>"})
"""They stand for a number that is missing; of a text or a class they may be meant."""


def is_missing(cell: Any) -> bool:
    """Nothing, NaN, or a text without a letter."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return True
    return isinstance(cell, str) and not cell.strip()


def is_missing_number(cell: Any) -> bool:
    """`is_missing`, or a word for it."""
    return is_missing(cell) or (isinstance(cell, str) and cell.strip().lower() in MISSING_WORDS)


def number_of(cell: Any) -> float | None:
    """The finite number that a cell holds, None if it holds none. True and false are 1 and 0."""
    if is_missing_number(cell) or not isinstance(cell, bool | int | float | str):
        return None
    try:
        found = float(cell)
    except (ValueError, OverflowError):
        return None
    # Python reads "1_000" and "infinity"; neither is a number that a table means.
    return found if math.isfinite(found) and not (isinstance(cell, str) and "_" in cell) else None


_HALVES = re.compile("[\ud800-\udfff]")


def words_of(cell: Any) -> str | None:
    """`text_of`, with U+FFFD for each half of a character, as JSON may hold: what tokenizers and UTF-8 can hold."""
    text = text_of(cell)
    return None if text is None else _HALVES.sub("\ufffd", text)


def text_of(cell: Any) -> str | None:
    """A cell as text, None if it is missing. Whole numbers are told without `.0`."""
    if is_missing(cell):
        return None
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell).strip()
