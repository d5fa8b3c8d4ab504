"""The contract between an objective and the training loop, and the deterministic stream of batches.

An objective cuts a corpus into units once an epoch; the stream shuffles them and lays as many examples end to end as
a batch's token budget allows. Everything drawn at random comes from (seed, epoch, unit), so that a place in the
stream is two numbers, and a run resumes there exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from sensorium.core.model import Transformer
from sensorium.core.pack import Packed, pack
from sensorium.data.shards import TokenShards

Units = NDArray[np.int64]
Ids = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Example:
    """One sequence: its inputs, and what is to be predicted where."""

    ids: Ids
    places: Ids
    targets: Ids
    types: Ids | None = None
    pair: int | None = None
    """Class of a sentence pair: 0 follows, 1 does not (next sentence) or stands in the wrong order."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Examples laid end to end."""

    packed: Packed
    places: Int[Tensor, " n"]
    """Where in the packed row a token is predicted."""
    targets: Int[Tensor, " n"]
    types: Int[Tensor, "1 total"] | None
    pairs: Int[Tensor, " pairs"] | None
    firsts: Int[Tensor, " pairs"]
    """Where each example that is a pair begins."""

    @property
    def tokens(self) -> int:
        return int(self.packed.ids.shape[1])


@dataclass(frozen=True, eq=False)
class Loss:
    """A loss to go down, and its parts."""

    total: Float[Tensor, ""]
    parts: dict[str, Float[Tensor, ""]]


@runtime_checkable
class Objective(Protocol):
    """Makes units and examples of a corpus; turns a model and a batch into a loss."""

    name: str

    def units(self, shards: TokenShards, rng: np.random.Generator) -> Units:
        """Cut the corpus into units, one row each, in corpus order."""

    def example(self, shards: TokenShards, unit: Units, rng: np.random.Generator) -> Example:
        """The example of one unit."""

    def loss(self, model: Transformer, batch: Batch) -> Loss:
        """The loss of a batch, in training."""

    def evaluate(self, model: Transformer, batches: Iterator[Batch], n_bytes: int) -> dict[str, float]:
        """Validation metrics over batches whose text is `n_bytes` long in UTF-8."""


@dataclass
class Stream:
    """Batches without end; `epoch` and `unit` say where it stands.

    Args:
        objective: makes the examples.
        shards: the corpus.
        tokens: the most tokens a batch.
        seed: of everything drawn.
    """

    objective: Objective
    shards: TokenShards
    tokens: int
    seed: int
    epoch: int = 0
    unit: int = 0

    def __post_init__(self) -> None:
        self._order: tuple[int, Units] | None = None

    def next(self, device: torch.device | str = "cpu") -> Batch:
        """The next batch."""
        examples: list[Example] = []
        size = 0
        while True:
            units = self._units()
            if self.unit >= len(units):
                self.epoch, self.unit = self.epoch + 1, 0
                if examples:
                    break
                continue
            rng = np.random.default_rng((self.seed, self.epoch, self.unit, 1))
            example = self.objective.example(self.shards, units[self.unit], rng)
            if examples and size + len(example.ids) > self.tokens:
                break
            examples.append(example)
            size += len(example.ids)
            self.unit += 1
        return collate(examples, device)

    def _units(self) -> Units:
        if self._order is None or self._order[0] != self.epoch:
            rng = np.random.default_rng((self.seed, self.epoch))
            units = self.objective.units(self.shards, rng)
            self._order = self.epoch, rng.permutation(units)
        return self._order[1]


def one_pass(
    objective: Objective, shards: TokenShards, *, tokens: int, seed: int, device: torch.device | str = "cpu"
) -> Iterator[Batch]:
    """Every unit once, in corpus order, always drawn alike: for validation."""
    units = objective.units(shards, np.random.default_rng((seed, 0)))
    examples: list[Example] = []
    size = 0
    for number, unit in enumerate(units):
        example = objective.example(shards, unit, np.random.default_rng((seed, 0, number, 2)))
        if examples and size + len(example.ids) > tokens:
            yield collate(examples, device)
            examples, size = [], 0
        examples.append(example)
        size += len(example.ids)
    if examples:
        yield collate(examples, device)


def collate(examples: list[Example], device: torch.device | str = "cpu") -> Batch:
    """Lay examples end to end."""
    packed = pack([example.ids for example in examples], device=device)
    firsts = np.cumsum([0, *packed.lengths[:-1]])
    paired = [i for i, example in enumerate(examples) if example.pair is not None]

    def tensor(arrays: list[Ids]) -> Tensor:
        return torch.from_numpy(np.concatenate(arrays)).to(device)

    types = [example.types for example in examples if example.types is not None]
    pairs = [example.pair for example in examples if example.pair is not None]
    return Batch(
        packed=packed,
        places=tensor([example.places + first for example, first in zip(examples, firsts, strict=True)]),
        targets=tensor([example.targets for example in examples]),
        types=tensor(types)[None] if types else None,
        pairs=torch.tensor(pairs, device=device) if pairs else None,
        firsts=torch.from_numpy(firsts[paired]).to(device),
    )
