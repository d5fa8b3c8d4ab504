"""Columns typed by their content: pictures, sounds, clips, numbers, classes, texts; and those that tell nothing.

Unusual: a column of paths is what its files are by their first bytes; a name's ending is believed only where no file
stands. A column whose kinds are mixed is refused rather than guessed at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any, cast

from sensorium.data.tables.cells import is_missing, is_missing_number, number_of, text_of
from sensorium.data.tables.schema import KINDS, Column, ColumnKind, TableSchema
from sensorium.data.tables.table import Table
from sensorium.errors import DataError, InputError, SensoriumError, unknown
from sensorium.modalities.kinds import modality_of

IGNORE = "ignore"
_SAMPLE = 64
"""Files of a column that are looked into."""
_MOST = 0.8
"""The share of a column's cells that must be files for it to be a column of files."""
_NUMBERS = 0.95
"""The share of a column's cells that must be numbers for the rest to be taken as missing."""
_CLASSES, _WORDS = 100, 4
"""A category has so many values at most, of so many words on average, and a fifth of the rows' number."""
_ID_ROWS = 10
"""The fewest rows from which on a column is taken for an identifier."""
_OWN = "every row has its own value, as identifiers have"
_ENDINGS: dict[str, ColumnKind] = {
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".avif"), "image"),
    **dict.fromkeys((".wav", ".flac", ".mp3", ".ogg", ".opus", ".oga", ".m4a", ".aac", ".aiff", ".aif"), "audio"),
    **dict.fromkeys((".mp4", ".mkv", ".webm", ".avi", ".mov", ".mpg", ".mpeg", ".m4v", ".ogv", ".flv"), "video"),
}


def type_columns(
    table: Table,
    *,
    label: str,
    overrides: Mapping[str, str] | None = None,
    apart: Sequence[str] = (),
    sound_tracks: bool = False,
) -> TableSchema:
    """What every column of a table is.

    Args:
        table: the rows.
        label: the column to predict.
        overrides: kinds by column that the user says: one of KINDS, or `ignore`.
        apart: columns that nothing is predicted from: those by which rows are split.
        sound_tracks: hear the sound of columns of clips, too.

    Raises:
        InputError: a column or a kind that is named does not exist, or the label is among `overrides`.
        DataError: a column is of mixed types or wholly missing though it was named, or no column is left.
    """
    overrides = dict(overrides or {})
    for name in (label, *apart, *overrides):
        table.column(name)
    for name, said in overrides.items():
        if said not in (*KINDS, IGNORE):
            raise InputError(
                unknown("kind of column", said, (*KINDS, IGNORE)), fix="Write for example --columns a=text"
            )
        if name == label:
            raise InputError(f"column {name!r} is the label; it has no other kind", fix="Leave it out of --columns")
    columns, left_out = list[Column](), dict[str, str]()
    for name, cells in table.columns.items():
        if name == label:
            continue
        if name in apart:
            left_out[name] = "rows are split by it"
        elif overrides.get(name) == IGNORE:
            left_out[name] = "left out as asked"
        elif name in overrides:
            if all(map(is_missing, cells)):
                raise DataError("every cell is missing", where=f"{table.source}, column {name!r}", fix="Leave it out")
            columns.append(Column(name, cast(ColumnKind, overrides[name])))
        else:
            kind, why = kind_of_cells(name, cells, table.root, where=f"{table.source}, column {name!r}")
            if kind is None:
                left_out[name] = why
            else:
                columns.append(Column(name, kind))
    if not columns:
        told = "; ".join(f"{name}: {why}" for name, why in left_out.items()) or "the label is the only one"
        raise DataError(
            f"no column is left to predict from ({told})", where=table.source, fix="Name kinds by --columns name=kind"
        )
    tracks = tuple(column.name for column in columns if column.kind == "video") if sound_tracks else ()
    return TableSchema(label, tuple(columns), left_out, tracks)


def kind_of_cells(name: str, cells: Sequence[Any], root: Path, *, where: str) -> tuple[ColumnKind | None, str]:
    """What one column holds; None, and why, if it tells nothing.

    Raises:
        DataError: it is of mixed types.
    """
    held = [cell for cell in cells if not is_missing(cell)]
    if not held:
        return None, "every cell is missing"
    if any(isinstance(cell, bytes | date) for cell in held):
        return None, "its cells hold bytes or dates, which are not read"
    nested = sum(isinstance(cell, list | dict | tuple) for cell in held)
    if nested == len(held):
        return None, "its cells hold lists or objects"
    if nested:
        raise _mixed(where, f"{nested:,} of {len(held):,} cells are lists or objects, the others are not")
    texts = [text for cell in held if (text := text_of(cell)) is not None]
    distinct = dict.fromkeys(texts)
    media = _media(list(distinct), root, where)
    if media is not None:
        return media, ""
    if len(distinct) == 1 and len(held) == len(cells):
        return None, f"every cell is {texts[0][:40]!r}"
    numbers = [value for cell in held if (value := number_of(cell)) is not None]
    meant = sum(not is_missing_number(cell) for cell in held)
    if not meant:
        return None, "every cell is missing"
    if len(numbers) >= _NUMBERS * meant:
        return (None, _OWN) if _are_ids(name, numbers) else ("numeric", "")
    if len(distinct) == len(texts) and _are_codes(name, texts):
        return None, _OWN
    words = sum(len(text.split()) for text in texts) / len(texts)
    if len(distinct) <= min(_CLASSES, max(2, len(texts) // 5)) and words <= _WORDS:
        return "category", ""
    if len(numbers) > (1 - _NUMBERS) * meant and len(numbers) > 1:
        raise _mixed(where, f"{len(numbers):,} of {meant:,} cells are numbers, the others are not")
    return "text", ""


def _media(texts: Sequence[str], root: Path, where: str) -> ColumnKind | None:
    """What files a column names, if it names files."""
    sample = [texts[i * len(texts) // min(_SAMPLE, len(texts))] for i in range(min(_SAMPLE, len(texts)))]
    found = Counter(kind for text in sample if (kind := _file_kind(text, root)) is not None)
    if sum(found.values()) < _MOST * len(sample):
        return None
    (kind, count), *others = found.most_common()
    if count < _MOST * sum(found.values()):
        told = " and ".join(f"{number} {kind}" for kind, number in ((kind, count), *others))
        raise _mixed(where, f"of {len(sample)} files that were looked into, there are {told}")
    return kind


def _file_kind(text: str, root: Path) -> ColumnKind | None:
    ending = _ENDINGS.get(PurePosixPath(text).suffix.lower())
    if "\0" in text or "\n" in text or len(text) > 1000:
        return None
    try:
        path = root / text
        if path.is_file():
            kind = modality_of(path)
            # An empty or damaged file is still what its name says it was to be.
            return ending if kind in (None, "text") else cast(ColumnKind, kind)
    except (OSError, ValueError, SensoriumError):
        return ending
    return ending


def _are_ids(name: str, numbers: Sequence[float]) -> bool:
    """Whole numbers that never come again, and run on or are called identifiers."""
    whole = all(value.is_integer() for value in numbers)
    if not whole or len(numbers) < _ID_ROWS or len(set(numbers)) < len(numbers):
        return False
    return max(numbers) - min(numbers) == len(numbers) - 1 or name.lower().endswith(("id", "index", "key"))


def _are_codes(name: str, texts: Sequence[str]) -> bool:
    """Single words that never come again, with digits in them or called identifiers."""
    if len(texts) < _ID_ROWS or any(" " in text for text in texts):
        return False
    coded = sum(any(letter.isdigit() for letter in text) for text in texts)
    return coded >= _NUMBERS * len(texts) or name.lower().endswith(("id", "uuid", "key"))


def _mixed(where: str, told: str) -> DataError:
    return DataError(
        f"mixed types: {told}", where=where, fix="Mend the column, or say what it is by --columns name=kind"
    )
