"""The deterministic stream of batches: an objective's units, shuffled, packed, mixed and shared out.

A batch is as many packed rows as its budget holds, or units one by one until the next would exceed it, in the order of
`objectives.order`. A place in the stream is two numbers for each corpus, beside how much of it was handed out, and a
run resumes there exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch.utils.data import IterableDataset

from sensorium.data.loading.mixing import Mixture, most_owed
from sensorium.data.loading.share import Share
from sensorium.objectives.objective import AtOnce, BatchT, ExampleT, Ids, Objective
from sensorium.objectives.order import Place, Row, Rows, Singles

DataT = TypeVar("DataT")


class Stream(Generic[DataT, ExampleT, BatchT]):
    """Batches without end.

    Args:
        objective: makes the examples.
        data: what they are made of; a `Mixture` gives each of its parts its share.
        tokens: the most tokens a batch.
        seed: of everything drawn.
        epoch: where to begin.
        unit: likewise.
        places: where to begin in each of several corpora.
        share: which of the batches are for this process. Every call goes past those of the others, too.
    """

    def __init__(
        self,
        objective: Objective[DataT, ExampleT, BatchT],
        data: DataT,
        tokens: int,
        seed: int,
        epoch: int = 0,
        unit: int = 0,
        *,
        places: Sequence[Place] = (),
        share: Share | None = None,
    ) -> None:
        parts: tuple[Any, ...] = (data,)
        self._weights: tuple[float, ...] = (1.0,)
        self._names: tuple[str, ...] = ("",)
        if isinstance(data, Mixture):
            parts, self._weights, self._names = data.parts, data.weights, data.names
        self._objective, self._tokens = objective, tokens
        self._share = Share() if share is None else share
        self._at_once = objective if isinstance(objective, AtOnce) else None
        kind: Any = Singles if self._at_once is None else Rows
        begin = places or [Place(epoch, unit) for _ in parts]
        self._corpora: list[Singles] = [
            kind(objective, part, tokens, seed, place) for part, place in zip(parts, begin, strict=True)
        ]

    @property
    def places(self) -> list[Place]:
        """Where it stands in each corpus."""
        return [corpus.place for corpus in self._corpora]

    @property
    def epoch(self) -> int:
        """Of the first corpus."""
        return self._corpora[0].epoch

    @property
    def unit(self) -> int:
        """Of the first corpus."""
        return self._corpora[0].unit

    @property
    def where(self) -> str:
        """Where it stands, in words."""
        return "; ".join(
            f"{name}{': ' if name else ''}epoch {place.epoch}, unit {place.unit}"
            for name, place in zip(self._names, self.places, strict=True)
        )

    @property
    def passed(self) -> list[float]:
        """Epochs of each corpus so far, with the part of this one that is done."""
        return [corpus.passed for corpus in self._corpora]

    def skip(self, batches: int) -> None:
        """Go past so many batches, whosever they are, without making them."""
        for _ in range(batches):
            self._draw()

    def next(self, device: torch.device | str = "cpu") -> BatchT:
        """The next batch.

        Raises:
            DataError: the data has no unit.
        """
        self.skip(self._share.index)
        rows = self._draw()
        self.skip(self._share.count - self._share.index - 1)
        return self._collate(rows, device)

    def _draw(self) -> list[list[Row]]:
        """A batch's rows, by corpus."""
        rows: list[list[Row]] = [[] for _ in self._corpora]
        size, alone = 0, len(self._corpora) == 1
        while True:
            chosen = 0 if alone else most_owed(self._weights, [corpus.drawn for corpus in self._corpora])
            corpus = self._corpora[chosen]
            row = corpus.peek(self._tokens - size if alone else 0)
            # An epoch of a corpus that is alone ends with a batch.
            if any(rows) and (size + row.size > self._tokens or (alone and not corpus.unit)):
                return rows
            corpus.take()
            rows[chosen].append(row)
            size += row.size

    def _collate(self, rows: list[list[Row]], device: torch.device | str) -> BatchT:
        if self._at_once is not None:
            made: BatchT = self._at_once.batch(
                [
                    corpus.reader.read(np.concatenate([row.units for row in drawn]))
                    for corpus, drawn in zip(self._corpora, rows, strict=True)
                    if drawn and isinstance(corpus, Rows)
                ],
                device,
            )
            return made
        return self._objective.collate([example for drawn in rows for row in drawn for example in row.examples], device)


class Batches(IterableDataset[BatchT], Generic[BatchT]):
    """A stream for PyTorch's `DataLoader` (with `batch_size=None`), in as many workers as there are.

    The batches of a process are the same, and in the same order, whatever the number of its workers.

    Args:
        objective: as for `Stream`, and so are the rest.
        data: what is learned from.
        tokens: the most tokens a batch.
        seed: of everything drawn.
        skip: batches that were taken before, by all processes together.
    """

    def __init__(
        self, objective: Objective[Any, Any, BatchT], data: Any, *, tokens: int, seed: int, skip: int = 0
    ) -> None:
        self._objective, self._data, self._tokens, self._seed = objective, data, tokens, seed
        self._skip = skip

    def __iter__(self) -> Iterator[BatchT]:
        """Batches without end."""
        stream: Stream[Any, Any, BatchT] = Stream(
            self._objective, self._data, self._tokens, self._seed, share=Share.here()
        )
        stream.skip(self._skip)
        while True:
            yield stream.next()


def one_pass(
    objective: Objective[DataT, ExampleT, BatchT],
    data: DataT,
    *,
    tokens: int,
    seed: int,
    device: torch.device | str = "cpu",
) -> Iterator[BatchT]:
    """Every unit once, in the data's order, always drawn alike: for validation."""
    if isinstance(data, Mixture):
        parts: tuple[Any, ...] = data.parts
        for part in parts:
            yield from one_pass(objective, part, tokens=tokens, seed=seed, device=device)
        return
    units = objective.units(data, np.random.default_rng((seed, 0)))
    if isinstance(objective, AtOnce):
        reader = objective.reader(data)
        for some in _runs(reader.sizes(units), tokens):
            yield objective.batch([reader.read(units[some])], device)
        return
    examples: list[ExampleT] = []
    size = 0
    for number, unit in enumerate(units):
        example = objective.example(data, unit, np.random.default_rng((seed, 0, number, 2)))
        needed = objective.size(example)
        if examples and size + needed > tokens:
            yield objective.collate(examples, device)
            examples, size = [], 0
        examples.append(example)
        size += needed
    if examples:
        yield objective.collate(examples, device)


def _runs(sizes: Ids, most: int) -> Iterator[slice]:
    """Runs whose sizes come to at most so much, each as long as may be; none of them is empty."""
    ends, first = np.cumsum(sizes), 0
    while first < len(sizes):
        before = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + most, side="right")))
        yield slice(first, last)
        first = last
