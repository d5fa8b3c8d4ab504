"""Which columns of a table hold which language, and which one names the group that a row belongs to.

In this order: what the user says (`en=english_text,zh=3`); a header that names languages (`en`, `zh_CN`, `English`);
a header of `source` and `target`; no header, and two columns, or three of which the first is the group.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sensorium.data.codes import find_code, matching
from sensorium.errors import DataError, InputError

GROUPS = ("group", "document", "doc", "package", "domain", "source", "file")
"""Names of columns that are taken for the group where none is said."""
_SOURCES, _TARGETS = ("source", "src"), ("target", "tgt", "trg")
_NO_LANGUAGE = frozenset(["id", "no", "is", "as", "or"])
"""Words that are column names far more often than Indonesian, Norwegian, Icelandic, Assamese, Odia."""
_CODE = r"[a-z]{2,3}(?:[_-](?:[A-Z]{2}|[A-Z][a-z]{3}))?"
_PAIR_IN_NAME = re.compile(rf"(?:^|[._-])({_CODE})[-_]({_CODE})$")
_CODE_IN_NAME = re.compile(rf"(?:^|[._-])({_CODE})$")


@dataclass(frozen=True)
class Wanted:
    """What the user says of the languages."""

    source: str | None = None
    targets: tuple[str, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    """Language → name or number of its column."""
    group: str | None = None
    """Name or number of the column that names a row's document or package."""

    @property
    def all(self) -> tuple[str, ...]:
        return (*((self.source,) if self.source else ()), *self.targets)

    @property
    def pair(self) -> tuple[str, str] | None:
        """The two languages, where the user names just two."""
        return (self.source, self.targets[0]) if self.source and len(self.targets) == 1 else None

    def covered(self, codes: Sequence[str]) -> bool:
        """Whether the codes are two or more, and hold every language that is wanted."""
        return len(set(codes)) > 1 and all(matching(code, codes) for code in self.all)


@dataclass(frozen=True)
class Layout:
    """Where a table holds what: positions of columns."""

    languages: dict[str, int]
    group: int | None
    header: bool
    """Whether the first row names the columns."""


def languages_in_name(path: Path) -> tuple[str, str] | None:
    """The two languages that a table's name ends in: `corpus.en-zh.tsv`."""
    found = _PAIR_IN_NAME.search(_stem(path))
    codes = [find_code(word) for word in found.groups()] if found else []
    return (codes[0], codes[1]) if len(codes) == 2 and codes[0] and codes[1] else None


def language_in_name(path: Path) -> str | None:
    """The language that a file's name ends in: `train.zh`, `train.zh.txt`, `zh_CN.po`, `english.txt`."""
    for name in (path.name.removesuffix(".gz").removesuffix(".zst"), _stem(path)):
        if code := find_code(name) if "." not in name else None:
            return code
        found = _CODE_IN_NAME.search(name)
        if found and (code := find_code(found.group(1))):
            return code
    return None


def _stem(path: Path) -> str:
    """The name without the suffixes of compression and format."""
    name = path.name.removesuffix(".gz").removesuffix(".zst")
    return name.rpartition(".")[0] or name


def layout(first: Sequence[str], wanted: Wanted, path: Path) -> Layout:
    """How a table is laid out.

    Args:
        first: its first row, which may be a header.
        wanted: what the user says.
        path: its name may tell the languages.

    Raises:
        InputError: a column that the user names is not there.
        DataError: nothing tells which columns hold the pair, or in which languages.
    """
    named = languages_in_name(path)
    pair = named if named and wanted.covered(named) else wanted.pair
    if wanted.columns:
        return _said(first, wanted, path)
    if by_header := _by_header(first, wanted, pair, path):
        return Layout(by_header, _group(first, wanted, path, by_header.values()), header=True)
    if pair is None:
        raise DataError(
            f"its first line is no header that names {' and '.join(wanted.all) or 'two languages'}",
            where=f"{path}:1",
            fix="Add --from and --to, or name the columns with --columns en=1,zh=2",
        )
    if len(first) not in (2, 3):
        raise DataError(
            f"no header names the languages of its {len(first)} column(s)",
            where=f"{path}:1",
            fix=f"Say which they are, for example with --columns {pair[0]}=1,{pair[1]}=2",
        )
    if wanted.group is not None:
        return Layout({pair[0]: len(first) - 2, pair[1]: len(first) - 1}, _position(wanted.group, first, path), False)
    start = len(first) - 2
    return Layout({pair[0]: start, pair[1]: start + 1}, 0 if start else None, header=False)


def _by_header(first: Sequence[str], wanted: Wanted, pair: tuple[str, str] | None, path: Path) -> dict[str, int] | None:
    """The columns that a header gives to languages; None if it is no such header.

    Raises:
        DataError: it names languages, and not those that are wanted.
    """
    found: dict[str, int] = {}
    for place, cell in enumerate(first):
        word = cell.strip()
        code = find_code(word) if len(word) < 32 else None
        if code and (word.lower() not in _NO_LANGUAGE or code in wanted.all):
            found.setdefault(code, place)
    source = matching(wanted.source, found) if wanted.source else None
    targets = [code for target in wanted.targets if (code := matching(target, found))]
    if source and targets:
        return {code: found[code] for code in (source, *targets)}
    if not (wanted.source and wanted.targets) and wanted.covered(list(found)):
        return found
    if len(found) > 1:
        missing = [code for code in wanted.all if not matching(code, found)] or ["a second language"]
        raise DataError(
            f"its header names {' and '.join(found)}, and no {' or '.join(missing)}",
            where=f"{path}:1",
            fix="Check --from and --to, or name the columns with --columns",
        )
    names = [cell.strip().lower() for cell in first]
    places = [next((names.index(word) for word in words if word in names), None) for words in (_SOURCES, _TARGETS)]
    if pair and places[0] is not None and places[1] is not None:
        return {pair[0]: places[0], pair[1]: places[1]}
    return None


def _said(first: Sequence[str], wanted: Wanted, path: Path) -> Layout:
    numbers = all(column.isdigit() and column not in first for column in wanted.columns.values())
    languages = {code: _position(column, first, path) for code, column in wanted.columns.items()}
    return Layout(languages, _group(first, wanted, path, languages.values()), header=not numbers)


def _group(first: Sequence[str], wanted: Wanted, path: Path, taken: Collection[int]) -> int | None:
    if wanted.group is not None:
        return _position(wanted.group, first, path)
    names = [cell.strip().lower() for cell in first]
    return next((names.index(word) for word in GROUPS if word in names and names.index(word) not in taken), None)


def _position(column: str, first: Sequence[str], path: Path) -> int:
    """The place of a column, given by its name, or by its number from 1."""
    names = [cell.strip() for cell in first]
    if column in names:
        return names.index(column)
    if column.isdigit() and 0 < int(column) <= len(first):
        return int(column) - 1
    shown = ", ".join(name[:30] for name in names[:12])
    raise InputError(f"no column {column!r}", where=f"{path}:1", fix=f"Its columns are: {shown}")
