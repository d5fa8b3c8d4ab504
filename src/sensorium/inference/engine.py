"""What a task asks of whatever runs the model: token ids in, logits out.

`native` is our core, `transformers` any other Hugging Face model. A task speaks to this protocol alone, so each
task is written once. Text, batching by length, sampling and stopping are the callers' business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.inference.seq2seq_facts import Seq2SeqFacts

Capability = Literal[
    "fill_mask", "generate", "score", "translate", "answer", "classify", "tag", "transcribe", "caption"
]
Ids = Sequence[int]
Rows = Sequence[int] | Int[Tensor, " rows"]
Logits = Float[Tensor, "rows vocab"]


@runtime_checkable
class State(Protocol):
    """Sequences in the middle of being decoded: their cached keys and values."""

    def step(self, tokens: Rows) -> Logits:
        """Append one token to every row; logits of the next. They may be overwritten by the next step."""
        ...

    def keep(self, rows: Rows) -> None:
        """Go on with these rows only, in this order; a row may be kept several times."""
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


@runtime_checkable
class Seq2SeqEngine(Protocol):
    """A model that reads one sequence and writes another."""

    name: str
    source: str
    tokenizer: Tokenizer
    capabilities: frozenset[Capability]
    facts: Seq2SeqFacts
    eos_ids: frozenset[int]
    context: int | None
    """The longest sequence that it reads, where there is a limit."""
    target_context: int | None
    """The longest sequence that it writes, with the decoder's first token."""

    def read(self, sources: Sequence[Ids], capacity: int, beams: int = 1) -> tuple[State, Logits]:
        """Read the sources and begin to write; logits of the first token of each.

        The state has `beams` rows a source, those of a source adjacent. They begin alike, so the logits given here
        are one row a source.

        Args:
            sources: none of them empty.
            capacity: tokens that will be written after the decoder's first, at most.
            beams: rows a source.
        """
        ...

    def cross_attention(self, source: Ids, target: Ids) -> Float[Tensor, "layers targets sources"]:
        """How much every token of `target`, while it is predicted, looks at every one of `source`: the mean of the
        heads of each layer of the decoder."""
        ...


@runtime_checkable
class HeadEngine(Protocol):
    """A model with heads over an encoder: answer spans, sequence classes, token tags. Lists have one tensor a
    sequence; `types` are the segments of its tokens, all 0 if absent."""

    labels: tuple[str, ...]
    """Of the classes or tags."""
    problem: str | None
    """What classes are; see `ClassHeadConfig`."""

    def span_logits(
        self, sequences: Sequence[Ids], types: Sequence[Ids] | None = None
    ) -> list[Float[Tensor, "tokens 2"]]:
        """How likely each token begins and ends the answer."""
        ...

    def class_logits(
        self, sequences: Sequence[Ids], types: Sequence[Ids] | None = None
    ) -> Float[Tensor, "sequences classes"]:
        """Of each sequence."""
        ...

    def tag_logits(
        self, sequences: Sequence[Ids], types: Sequence[Ids] | None = None
    ) -> list[Float[Tensor, "tokens tags"]]:
        """Of each token."""
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


def right_padded(sequences: Sequence[Ids], fill: int) -> tuple[Tensor, Tensor]:
    """Ids of `[rows, longest]` with the short rows padded on the right, and which of them are valid."""
    rows = [torch.tensor(list(sequence)) for sequence in sequences]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=fill)
    lengths = torch.tensor([len(row) for row in rows])
    return ids, torch.arange(ids.shape[1])[None] < lengths[:, None]


def left_padded(sequences: Sequence[Ids], fill: int) -> tuple[Tensor, Tensor | None]:
    """Ids of `[rows, longest]` with the short rows padded on the left, and which of them are valid (None: all)."""
    longest = max(len(sequence) for sequence in sequences)
    ids = torch.full((len(sequences), longest), fill)
    valid = torch.zeros(len(sequences), longest, dtype=torch.bool)
    for row, sequence in enumerate(sequences):
        ids[row, longest - len(sequence) :] = torch.tensor(list(sequence))
        valid[row, longest - len(sequence) :] = True
    return ids, None if bool(valid.all()) else valid
