"""Rows of several senses, decoded and tokenised, to learn from or to measure by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64
from numpy.typing import NDArray

from sensorium.data.captions import Captions, Ids
from sensorium.data.decoded import Spec
from sensorium.data.labelled.split import held_out
from sensorium.data.media import MediaColumn, load_media, problems_told
from sensorium.data.sense_table import Kind, SenseTable
from sensorium.errors import DataError


@dataclass(frozen=True, kw_only=True, eq=False)
class TextColumn:
    """A column of texts."""

    texts: Int64[np.ndarray, " rows"]
    """The number of each row's text; -1 where there is none."""
    ids: Sequence[Ids]
    """Of each text by its number; the columns of a table share them."""
    sizes: Int64[np.ndarray, " texts"]
    """UTF-8 bytes of each text."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SensePairs:
    """Some rows of a table; a `Split` for the training loop, whose token is a row.

    Args:
        kinds: what each column holds.
        columns: the decoded columns, of all rows of the table.
        rows: which rows of it these are.
        augment: whether they are to be changed a little each time they are read.
    """

    kinds: Mapping[str, Kind]
    columns: Mapping[str, TextColumn | MediaColumn]
    rows: Int64[np.ndarray, " n"]
    augment: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def n_tokens(self) -> int:
        return len(self.rows)

    @property
    def n_bytes(self) -> int:
        """UTF-8 bytes of its texts."""
        total = 0
        for column in self.columns.values():
            if isinstance(column, TextColumn):
                texts = column.texts[self.rows]
                total += int(column.sizes[texts[texts >= 0]].sum())
        return total

    def head(self, tokens: int) -> SensePairs:
        """The first rows."""
        return replace(self, rows=self.rows[: max(1, tokens)])

    def present(self, name: str) -> Bool[np.ndarray, " n"]:
        """Which rows have something in a column."""
        found: NDArray[np.bool_] = self._numbers(name)[self.rows] >= 0
        return found

    def senses(self) -> Int64[np.ndarray, " n"]:
        """How many senses each row has."""
        by_kind: dict[Kind, NDArray[np.bool_]] = {}
        for name, kind in self.kinds.items():
            by_kind[kind] = by_kind.get(kind, np.zeros(len(self.rows), dtype=bool)) | self.present(name)
        counts: NDArray[np.int64] = np.stack(list(by_kind.values())).sum(axis=0, dtype=np.int64)
        return counts

    def choices(self, row: int) -> dict[Kind, list[str]]:
        """The columns in which a row of the table has something, by their kind."""
        found: dict[Kind, list[str]] = {}
        for name, kind in self.kinds.items():
            if self._numbers(name)[row] >= 0:
                found.setdefault(kind, []).append(name)
        return found

    def identity(self, name: str, row: int) -> int:
        """A number that is equal where two rows show the same file, or say the same."""
        number = int(self._numbers(name)[row])
        if self.kinds[name] == "text":
            return number
        return number + (list(self.kinds).index(name) << 40)  # each column numbers its files anew

    def _numbers(self, name: str) -> NDArray[np.int64]:
        column = self.columns[name]
        return column.texts if isinstance(column, TextColumn) else column.files


def load_pairs(
    table: SenseTable,
    *,
    specs: Mapping[Kind, Spec],
    captions: Captions | None,
    cache: Path | None = None,
    show_progress: bool | None = None,
) -> tuple[SensePairs, tuple[str, ...]]:
    """Decode and tokenise a table; what could not be read is told beside.

    Args:
        table: what was read.
        specs: how pictures, sounds and clips are brought to one size.
        captions: how texts become tokens; None where there are none.
        cache: a folder for decoded columns that are large.
        show_progress: None shows bars if stderr is a terminal.

    Raises:
        DataError: not one file of a column can be read, or no row has two senses.
        CapabilityError: the extra `audio` or `video` is not installed.
    """
    columns, notes = dict[str, TextColumn | MediaColumn](), list[str]()
    numbers: dict[str, int] = {}
    texts = [column for column in table.columns if column.kind == "text"]
    for column in texts:
        for cell in column.cells:
            if cell is not None:
                numbers.setdefault(cell, len(numbers))
    ids = captions.ids(list(numbers)) if captions is not None else []
    sizes = np.array([len(text.encode("utf-8", "surrogatepass")) for text in numbers], dtype=np.int64)
    for column in table.columns:
        if column.kind == "text":
            places = np.array([-1 if cell is None else numbers[cell] for cell in column.cells], dtype=np.int64)
            columns[column.name] = TextColumn(texts=places, ids=ids, sizes=sizes)
            continue
        media = load_media(
            column.cells,
            column.kind,
            specs[column.kind],
            root=table.root,
            cache=cache,
            name=f"{table.path}, column {column.name}",
            show_progress=show_progress,
        )
        columns[column.name] = media
        if (told := problems_told(media, column.name)) is not None:
            notes.append(told)
    kinds = {column.name: column.kind for column in table.columns}
    return SensePairs(kinds=kinds, columns=columns, rows=np.arange(len(table))), tuple(notes)


def with_partners(pairs: SensePairs, where: str) -> SensePairs:
    """Only the rows that have two senses or more.

    Raises:
        DataError: none has.
    """
    found = replace(pairs, rows=pairs.rows[pairs.senses() >= 2])
    if not len(found):
        raise DataError("no row has two senses that can be read", where=where, fix="Check the paths and the texts")
    return found


def split_pairs(pairs: SensePairs, table: SenseTable, share: float) -> tuple[SensePairs, SensePairs]:
    """Rows to learn from and rows held out by hash; rows with the same picture, sound or clip stay together."""
    first = next((column for column in table.columns if column.kind != "text"), table.columns[0])
    keys = [first.cells[row] or f"row {row}" for row in pairs.rows.tolist()]
    held = held_out(keys, share)
    return replace(pairs, rows=pairs.rows[~held]), replace(pairs, rows=pairs.rows[held])
