"""The contract between an objective and the training loop.

An objective cuts its data into units; the stream (`objectives.stream`) puts them in a random order and hands the
objective as many examples to batch as the token budget allows. `ByDocument` and `AtOnce` are for objectives whose data
is large or whose batches must be made fast.

What the data, an example and a batch are is the objective's own business: the loop asks of them what `Split` and
`AnyBatch` say. `Example` and `Batch` are those of models of one stack.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from sensorium.core.pack import Packed, pack

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


@runtime_checkable
class ByDocument(Protocol):
    """An objective that can cut some documents of a corpus into units, so that an epoch is cut a block at a time."""

    def units_of(self, data: Any, documents: Ids) -> Units:
        """The units of these documents, in their order."""


@runtime_checkable
class Reader(Protocol):
    """Units of one split, with sizes that are known before they are read."""

    longest: int
    """The most tokens of a unit."""

    def units(self, documents: Ids) -> Units:
        """The units of these documents, in their order."""

    def sizes(self, units: Units) -> Ids:
        """Tokens that each takes of a batch's budget, 1 or more."""

    def read(self, units: Units) -> Any:
        """What a batch needs of them."""


@runtime_checkable
class AtOnce(Protocol):
    """An objective that makes a batch of many units at once, with nothing drawn at random in it."""

    def reader(self, data: Any) -> Reader:
        """Reads a split."""

    def batch(self, read: Sequence[Any], device: torch.device | str = "cpu") -> Any:
        """What readers read, as a batch."""


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
