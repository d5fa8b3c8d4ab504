"""Evaluation sets, as what of them is looked for in training text: their n-grams' hashes, and the row of each.

A row of fewer units than an n-gram has is looked for as a whole, if it is not too short to be told from chance; GPT-3
(Brown et al. 2020, appendix C) goes down to 8 words for the same reason. Rows that are mostly of single characters
(Chinese, Japanese, Thai) have n-grams of more units, since a character says less than a word does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sensorium.data.dedup.units import U64, Units, rolled_on, units_of
from sensorium.data.rows import KNOWN, kind_of, named_rows, opened
from sensorium.data.sample import Ledger
from sensorium.errors import DataError

_BATCH = 10_000
_SLOTS = 24
"""The finest table by which most n-grams are told at once to be in no evaluation set: 2²⁴ bytes."""


@dataclass(frozen=True, eq=False)
class Hits:
    """Where n-grams of evaluation sets stand in a batch of documents."""

    documents: NDArray[np.int64]
    units: NDArray[np.int64]
    """The first of the n-gram's units."""
    lengths: NDArray[np.int64]
    rows: NDArray[np.int64]
    """The evaluation sets' row that holds it, as `names` counts."""


@dataclass(frozen=True, eq=False)
class _Table:
    """The n-grams of one length."""

    hashes: U64
    """Sorted, distinct."""
    rows: NDArray[np.int64]
    """The first row that holds each."""
    slots: NDArray[np.bool_]
    """Whether an n-gram has these highest bits."""

    @classmethod
    def of(cls, hashes: U64, rows: NDArray[np.int64]) -> _Table:
        distinct, first = np.unique(hashes, return_index=True)
        bits = min(_SLOTS, max(10, int(len(distinct) * 16).bit_length()))
        slots = np.zeros(1 << bits, bool)
        slots[distinct >> np.uint64(64 - bits)] = True
        return cls(distinct, rows[first], slots)

    def find(self, hashes: U64) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Which of some hashes are in the table, and the row of each that is."""
        shift = np.uint64(65 - len(self.slots).bit_length())
        likely = np.flatnonzero(self.slots[hashes >> shift])
        at = np.minimum(np.searchsorted(self.hashes, hashes[likely]), len(self.hashes) - 1)
        same = self.hashes[at] == hashes[likely]
        return likely[same], self.rows[at[same]]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All n-grams of some evaluation sets."""

    names: Sequence[str]
    """The file and the row of each row."""
    tables: dict[int, _Table]
    """By the length of the n-grams."""

    def hits(self, units: Units) -> Hits:
        """Where the n-grams stand in a batch of documents, in the order of the documents and units."""
        found = [np.empty((0, 4), np.int64)]
        rolled, length = units.hashes.copy(), 1
        for n in sorted(self.tables):
            rolled_on(rolled, units.hashes, length, n)
            length = n
            places, rows = self.tables[n].find(rolled)
            documents = np.searchsorted(units.offsets, places, side="right") - 1
            inside = places + n <= units.offsets[documents + 1]
            hit = np.stack((documents, places, np.full(len(places), n), rows), axis=1)
            found.append(hit[inside])
        hits = np.concatenate(found)
        hits = hits[np.lexsort((hits[:, 2], hits[:, 1]))]
        return Hits(hits[:, 0], hits[:, 1], hits[:, 2], hits[:, 3])


@lru_cache(maxsize=4)
def read_evaluation(
    paths: tuple[Path, ...], *, ngram: int, characters: int, shortest: int, columns: tuple[str, ...] = ()
) -> Evaluation:
    """Read evaluation sets; what was read last is remembered.

    Args:
        paths: tables (CSV, TSV, JSON Lines, JSON, Parquet), or plain text with a row a line.
        ngram: words of an n-gram.
        characters: characters of one in rows that are mostly of single characters.
        shortest: words of the shortest row that is looked for; of characters, as many in proportion.
        columns: of tables; empty means all that hold strings.

    Raises:
        InputError: a file does not exist.
        DataError: it cannot be read, it has no such column, or no row of all files is long enough.
    """
    names: list[str] = []
    gathered: dict[int, list[tuple[U64, NDArray[np.int64]]]] = {}
    for path in paths:
        batch: list[str] = []
        for number, text in enumerate(_texts(path, columns), 1):
            names.append(f"{path.name}#{number}")
            batch.append(text)
            if len(batch) == _BATCH:
                _gather(gathered, batch, len(names) - len(batch), ngram, characters, shortest)
                batch.clear()
        _gather(gathered, batch, len(names) - len(batch), ngram, characters, shortest)
    if not gathered:
        raise DataError(
            f"no row of {shortest} words or more in {', '.join(map(str, paths)) or 'no files'}",
            fix="Name evaluation sets, or lower `shortest`",
        )
    tables = {
        n: _Table.of(np.concatenate([h for h, _ in parts]), np.concatenate([r for _, r in parts]))
        for n, parts in gathered.items()
    }
    return Evaluation(names, tables)


def _gather(
    gathered: dict[int, list[tuple[U64, NDArray[np.int64]]]],
    texts: list[str],
    first: int,
    ngram: int,
    characters: int,
    shortest: int,
) -> None:
    """Add the n-grams of some rows to those gathered."""
    units = units_of(pa.array(texts, pa.large_string()))
    sizes = np.diff(units.offsets)
    singles = np.diff(np.concatenate(([0], np.cumsum(units.single)))[units.offsets])
    full = np.where(singles * 2 > sizes, characters, ngram)
    least = np.where(singles * 2 > sizes, -(-shortest * characters // ngram), shortest)
    wanted = np.where(sizes >= least, np.minimum(full, sizes), 0)
    rolled, length = units.hashes.copy(), 1
    for n in np.unique(wanted[wanted > 0]).tolist():
        rolled_on(rolled, units.hashes, length, n)
        length = n
        rows = np.flatnonzero(wanted == n)
        counts = sizes[rows] - n + 1
        row = np.repeat(rows, counts)
        place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        gathered.setdefault(n, []).append((rolled[units.offsets[row] + place], first + row))


def _texts(path: Path, columns: tuple[str, ...]) -> Iterator[str]:
    """The text of each row of a file."""
    ledger = Ledger(strict=True)
    if kind_of(path) not in KNOWN:
        with opened(path, ledger) as lines:
            yield from (line for line in lines if line.strip())
        return
    for where, row in named_rows(path, ledger):
        if missing := [column for column in columns if column not in row]:
            raise DataError(f"no column {missing[0]!r}", where=where, fix=f"Present: {', '.join(row)}")
        yield "\n".join(_strings([row[column] for column in columns or row]))


def _strings(value: Any) -> Iterator[str]:
    """All strings in a value of JSON."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _strings(list(value.values()))
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)
