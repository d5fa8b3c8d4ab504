"""One corpus in the order in which it is learned from, and where a run stands in it.

An epoch is cut a block of documents at a time (`data.loading.blocks`) where the objective can do so. Where it knows the
sizes of its units (`AtOnce`), those of a block are packed into rows by best fit, and rows are shuffled.

Everything drawn at random comes from (seed, epoch, unit), so that a place is these two numbers.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, NamedTuple

import numpy as np

from sensorium.data.loading.blocks import Blocks
from sensorium.data.loading.packing import best_fit
from sensorium.data.loading.permutation import shuffle
from sensorium.errors import DataError
from sensorium.objectives.objective import AtOnce, ByDocument, Ids, Reader, Units

_BLOCK = 1 << 40
"""The units of a block are counted from its number times this."""


class Place(NamedTuple):
    """Where the stream stands in one corpus."""

    epoch: int = 0
    unit: int = 0
    """In the epoch. The units of each block of documents but the first are counted from another multiple of 2^40."""
    drawn: int = 0
    """Tokens handed out so far."""


class Row(NamedTuple):
    """What enters a batch together."""

    units: Units
    size: int
    examples: list[Any]
    """Made of the units, where they had to be to know their size."""


class Singles:
    """One corpus, a unit after the other.

    Args:
        objective: cuts units and makes examples.
        data: what they are made of.
        tokens: of a batch.
        seed: of everything drawn.
        place: where to begin.
    """

    def __init__(self, objective: Any, data: Any, tokens: int, seed: int, place: Place) -> None:
        self._objective, self._data, self._tokens, self._seed = objective, data, tokens, seed
        self.epoch, self.unit, self.drawn = place
        self._blocks: Blocks | None = None
        """None where units are cut for all data at once."""
        if isinstance(objective, AtOnce | ByDocument):
            self._blocks = Blocks(documents=len(data), tokens=data.n_tokens, seed=seed)
        self._held: tuple[int, int] | None = None
        self._units: Units = np.empty((0, 1), dtype=np.int64)
        """Of the block that is held (epoch, number), in the order in which they come."""
        self._next: Row | None = None

    @property
    def place(self) -> Place:
        return Place(self.epoch, self.unit, self.drawn)

    @property
    def passed(self) -> float:
        """Epochs so far, with the part of this one that is done."""
        block, unit = divmod(self.unit, _BLOCK)
        if unit:
            self._open(block)
        return self.epoch + (block + (unit / len(self._units) if unit else 0.0)) / self._count

    @property
    def _count(self) -> int:
        """Blocks of an epoch."""
        return 1 if self._blocks is None else self._blocks.count

    def peek(self, room: int = 0) -> Row:
        """What comes next: one row, or as many as there is room for.

        Raises:
            DataError: the data has no unit.
        """
        if self._next is None:
            begun = self.epoch
            while True:
                block, unit = divmod(self.unit, _BLOCK)
                self._open(block)
                if unit < len(self._units):
                    break
                self._next_block(block)
                if self.epoch > begun + 1:
                    raise DataError("holds nothing that this objective learns from", fix="Give other data, or more")
            self._next = self._row(unit, room)
        return self._next

    def take(self) -> None:
        """Go past what `peek` showed."""
        row = self.peek()
        self._next = None
        self.drawn += row.size
        self.unit += len(row.units)
        block, unit = divmod(self.unit, _BLOCK)
        if unit >= len(self._units):
            self._next_block(block)

    def _next_block(self, block: int) -> None:
        if block + 1 < self._count:
            self.unit = (block + 1) * _BLOCK
        else:
            self.epoch, self.unit = self.epoch + 1, 0

    def _open(self, block: int) -> None:
        """Hold a block's units."""
        if self._held == (self.epoch, block):
            return
        self._units = self._units[:0]  # two blocks are never held at once
        members = None if self._blocks is None else self._blocks.members(self.epoch, block)
        self._units = self._ordered(block, members)
        self._held = self.epoch, block

    def _ordered(self, block: int, documents: Ids | None) -> Units:
        """The units of a block in the order in which they come."""
        rng = np.random.default_rng((self._seed, self.epoch, block))
        if documents is None:
            units = self._objective.units(self._data, rng)
        else:
            units = self._objective.units_of(self._data, documents)
        shuffled: Units = rng.permutation(units)
        return shuffled

    def _row(self, unit: int, room: int) -> Row:
        """What begins at this unit of the block that is held."""
        rng = np.random.default_rng((self._seed, self.epoch, self.unit, 1))
        example = self._objective.example(self._data, self._units[unit], rng)
        return Row(self._units[unit : unit + 1], self._objective.size(example), [example])


class Rows(Singles):
    """One corpus, a packed row after the other."""

    def __init__(self, objective: AtOnce, data: Any, tokens: int, seed: int, place: Place) -> None:
        super().__init__(objective, data, tokens, seed, place)
        self.reader: Reader = objective.reader(data)
        self._capacity = tokens // max(1, tokens // self.reader.longest)
        self._ends, self._totals = list[int](), [0]
        """Where rows end, and the tokens up to there; the second with a 0 before."""

    def _ordered(self, block: int, documents: Ids | None) -> Units:
        """Units by rows, rows in random order."""
        assert documents is not None
        units = self.reader.units(documents)
        units = units[shuffle(len(units), (self._seed, self.epoch, block, 1))]
        sizes = self.reader.sizes(units)
        rows = best_fit(sizes, self._capacity)
        count = int(rows.max()) + 1 if len(rows) else 0
        rows = shuffle(count, (self._seed, self.epoch, block, 2))[rows]
        self._ends = np.cumsum(np.bincount(rows, minlength=count)).tolist()
        filled = np.bincount(rows, weights=sizes, minlength=count).astype(np.int64)
        self._totals = [0, *np.cumsum(filled).tolist()]
        return units[np.argsort(rows, kind="stable")]

    def _row(self, unit: int, room: int) -> Row:
        row = bisect_right(self._ends, unit)
        end = max(row + 1, bisect_right(self._totals, self._totals[row] + room) - 1)
        return Row(self._units[unit : self._ends[end - 1]], self._totals[end] - self._totals[row], [])
