"""What a task asks of whatever runs the model: token ids in, logits out.

`native` is our core, `transformers` any other Hugging Face model. A task speaks to this protocol alone, so each
task is written once. Text, batching by length, sampling and stopping are the callers' business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from sensorium.data.tokenizer import Tokenizer

Capability = Literal["fill_mask", "generate", "score"]
Ids = Sequence[int]
Logits = Float[Tensor, "rows vocab"]


@runtime_checkable
class State(Protocol):
    """Sequences in the middle of being decoded: their cached keys and values."""

    def step(self, tokens: Ids) -> Logits:
        """Append one token to every row; logits of the next."""
        ...

    def keep(self, rows: Ids) -> None:
        """Go on with these rows only, in this order."""
        ...


@runtime_checkable
class Engine(Protocol):
    """A model that runs."""

    name: str
    """`native` or `transformers`."""
    source: str
    """Where the model came from, for messages."""
    tokenizer: Tokenizer
    capabilities: frozenset[Capability]
    causal: bool
    """Whether it reads from left to right."""
    context: int | None
    """The longest sequence it takes, where there is a limit."""
    eos_ids: frozenset[int]
    """Tokens that end a generation."""

    def masked_logits(self, sequences: Sequence[Ids], positions: Sequence[Ids]) -> Float[Tensor, "masks vocab"]:
        """Logits at the named positions of every sequence, one row a position, sequence after sequence."""
        ...

    def logprobs(self, sequences: Sequence[Ids]) -> list[Float[Tensor, " scored"]]:
        """Log-probability of every token but the first given those before it."""
        ...

    def prefill(self, sequences: Sequence[Ids], capacity: int) -> tuple[State, Logits]:
        """Read the prompts; logits of each one's next token.

        Args:
            sequences: prompts, none of them empty.
            capacity: tokens that a row may reach, prompt and continuation together, counted from the left end of
                the longest prompt.
        """
        ...


def by_length(lengths: Sequence[int], *, budget: int) -> Iterator[list[int]]:
    """Indices in batches of similar length: each holds at most `budget` tokens, or a single longer sequence."""
    batch: list[int] = []
    tokens = 0
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and tokens + lengths[index] > budget:
            yield batch
            batch, tokens = [], 0
        batch.append(index)
        tokens += lengths[index]
    if batch:
        yield batch


def left_padded(sequences: Sequence[Ids], fill: int) -> tuple[Tensor, Tensor | None]:
    """Ids of `[rows, longest]` with the short rows padded on the left, and which of them are valid (None: all)."""
    longest = max(len(sequence) for sequence in sequences)
    ids = torch.full((len(sequences), longest), fill)
    valid = torch.zeros(len(sequences), longest, dtype=torch.bool)
    for row, sequence in enumerate(sequences):
        ids[row, longest - len(sequence) :] = torch.tensor(list(sequence))
        valid[row, longest - len(sequence) :] = True
    return ids, None if bool(valid.all()) else valid
