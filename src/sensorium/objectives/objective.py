"""The contract between an objective and the training loop, and the deterministic stream of batches.

An objective cuts its data into units once an epoch; the stream shuffles them and hands the objective as many examples
to batch as the token budget allows. Everything drawn at random comes from (seed, epoch, unit), so that a place in the
stream is two numbers, and a run resumes there exactly.

What the data, an example and a batch are is the objective's own business: the loop asks of them what `Split` and
`AnyBatch` say. `Example` and `Batch` are those of models of one stack.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from sensorium.core.pack import Packed, pack
from sensorium.errors import DataError

Units = NDArray[np.int64]
Ids = NDArray[np.int64]


@runtime_checkable
class Split(Protocol):
    """What the loop asks of data for training or validation."""

    def __len__(self) -> int:
        """Documents, pairs, questions ..."""

    @property
    def n_tokens(self) -> int:
        """Tokens to learn from."""

    @property
    def n_bytes(self) -> int:
        """UTF-8 bytes of the text that is predicted."""

    def head(self, tokens: int) -> Split:
        """The first of them, up to a number of tokens; at least one."""


@runtime_checkable
class AnyBatch(Protocol):
    """What the loop asks of a batch."""

    @property
    def targets(self) -> Tensor:
        """What is predicted; its length weighs the batch among those of a step."""

    @property
    def tokens(self) -> int:
        """Tokens that the model reads."""


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
    """By name; `loss` is the one that validation has too."""


DataT = TypeVar("DataT")
ExampleT = TypeVar("ExampleT")
BatchT = TypeVar("BatchT")
_DataT_contra = TypeVar("_DataT_contra", contravariant=True)


@runtime_checkable
class Objective(Protocol[_DataT_contra, ExampleT, BatchT]):
    """Makes units, examples and batches of its data; turns a model and a batch into a loss."""

    name: str

    def units(self, data: _DataT_contra, rng: np.random.Generator) -> Units:
        """Cut the data into units, one row each, in their order."""

    def example(self, data: _DataT_contra, unit: Units, rng: np.random.Generator) -> ExampleT:
        """The example of one unit."""

    def size(self, example: ExampleT) -> int:
        """Tokens of a batch's budget that an example takes."""

    def collate(self, examples: Sequence[ExampleT], device: torch.device | str = "cpu") -> BatchT:
        """Examples as a batch, an `AnyBatch`."""

    def flops(self, config: Any) -> float:
        """Floating-point operations of training, about, per token of a batch. The configuration, and the model below,
        are of the kind that the objective trains."""

    def loss(self, model: Any, batch: BatchT) -> Loss:
        """The loss of a batch, in training."""

    def evaluate(self, model: Any, batches: Iterator[BatchT], n_bytes: int) -> dict[str, float]:
        """Validation metrics, `loss` among them, over batches whose text is `n_bytes` long in UTF-8.

        An objective that may find nothing to measure in its data gives none.
        """


AnyObjective = Objective[Any, Any, Any]


@dataclass
class Stream(Generic[DataT, ExampleT, BatchT]):
    """Batches without end; `epoch` and `unit` say where it stands.

    Args:
        objective: makes the examples.
        data: what they are made of.
        tokens: the most tokens a batch.
        seed: of everything drawn.
    """

    objective: Objective[DataT, ExampleT, BatchT]
    data: DataT
    tokens: int
    seed: int
    epoch: int = 0
    unit: int = 0

    def __post_init__(self) -> None:
        self._order: tuple[int, Units] | None = None

    def next(self, device: torch.device | str = "cpu") -> BatchT:
        """The next batch.

        Raises:
            DataError: the data has no unit.
        """
        examples: list[ExampleT] = []
        size = 0
        while True:
            units = self._units()
            if self.unit >= len(units):
                self.epoch, self.unit = self.epoch + 1, 0
                if examples:
                    break
                continue
            rng = np.random.default_rng((self.seed, self.epoch, self.unit, 1))
            example = self.objective.example(self.data, units[self.unit], rng)
            needed = self.objective.size(example)
            if examples and size + needed > self.tokens:
                break
            examples.append(example)
            size += needed
            self.unit += 1
        return self.objective.collate(examples, device)

    @property
    def passed(self) -> float:
        """Epochs so far, with the part of this one that is done."""
        return self.epoch + self.unit / len(self._units())

    def _units(self) -> Units:
        if self._order is None or self._order[0] != self.epoch:
            rng = np.random.default_rng((self.seed, self.epoch))
            units = self.objective.units(self.data, rng)
            if not len(units):
                raise DataError("holds nothing that this objective learns from", fix="Give other data, or more")
            self._order = self.epoch, rng.permutation(units)
        return self._order[1]


def one_pass(
    objective: Objective[DataT, ExampleT, BatchT],
    data: DataT,
    *,
    tokens: int,
    seed: int,
    device: torch.device | str = "cpu",
) -> Iterator[BatchT]:
    """Every unit once, in the data's order, always drawn alike: for validation."""
    units = objective.units(data, np.random.default_rng((seed, 0)))
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


class OneStack:
    """The part of an objective that `Example` and `Batch` decide."""

    def size(self, example: Example) -> int:
        """Its tokens."""
        return len(example.ids)

    def collate(self, examples: Sequence[Example], device: torch.device | str = "cpu") -> Batch:
        """Examples laid end to end."""
        return collate(examples, device)


def collate(examples: Sequence[Example], device: torch.device | str = "cpu") -> Batch:
    """Lay examples end to end."""
    packed = pack([example.ids for example in examples], device=device)
    firsts = np.cumsum([0, *packed.lengths[:-1]])
    paired = [i for i, example in enumerate(examples) if example.pair is not None]

    types = [example.types for example in examples if example.types is not None]
    pairs = [example.pair for example in examples if example.pair is not None]
    return Batch(
        packed=packed,
        places=joined([example.places + first for example, first in zip(examples, firsts, strict=True)], device),
        targets=joined([example.targets for example in examples], device),
        types=joined(types, device)[None] if types else None,
        pairs=torch.tensor(pairs, device=device) if pairs else None,
        firsts=torch.from_numpy(firsts[paired]).to(device),
    )


def joined(arrays: Sequence[Ids], device: torch.device | str) -> Int[Tensor, " total"]:
    """Arrays end to end in a tensor."""
    return torch.from_numpy(np.concatenate(arrays)).to(device)
