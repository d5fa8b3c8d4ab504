"""Prompts with pictures, for the decoding loop and for beam search.

Unusual: neither knows of pictures. `Looking` is an engine whose prompts have pictures at their placeholders;
`Continuing` makes of a causal engine one that "reads" a prompt and "writes" what follows, which is what beam search
asks of an encoder-decoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import CapabilityError, InputError
from sensorium.inference.engine import Capability, Engine, Ids, Logits, State
from sensorium.inference.seq2seq_facts import Seq2SeqFacts
from sensorium.inference.unable import Unable
from sensorium.modalities.pixels import ImageSpec, Picture

Seen = Float[Tensor, "pictures features dim"]


@runtime_checkable
class SeeingEngine(Protocol):
    """A model that writes about pictures."""

    name: str
    source: str
    tokenizer: Tokenizer
    capabilities: frozenset[Capability]
    causal: bool
    context: int | None
    eos_ids: frozenset[int]
    pictures: ImageSpec
    """How pictures become what it sees."""
    image_id: int
    """The placeholder."""
    features: int
    """Placeholders that one picture takes."""
    prompt: str | None
    """What it was trained to write a caption after; None where it does not say."""

    def see(self, pictures: Sequence[Picture]) -> Seen:
        """Look at pictures: the vectors that stand for each in a text."""
        ...

    def look(self, sequences: Sequence[Ids], seen: Seen, capacity: int) -> tuple[State, Logits]:
        """Read prompts with pictures; see `Engine.prefill`.

        Args:
            sequences: prompts, with placeholders.
            seen: of their pictures, in the order of the placeholders, prompt by prompt.
            capacity: tokens that a row may reach.
        """
        ...


class Looking(Unable):
    """An engine for one batch of prompts with pictures.

    Args:
        engine: sees and writes.
        seen: what stands for the pictures of each prompt, in the prompts' order.
    """

    def __init__(self, engine: SeeingEngine, seen: Sequence[Seen]) -> None:
        self.name, self.source, self.tokenizer = engine.name, engine.source, engine.tokenizer
        self.capabilities, self.causal = engine.capabilities, engine.causal
        self.context, self.eos_ids = engine.context, engine.eos_ids
        self._engine, self._seen = engine, list(seen)

    def prefill(self, sequences: Sequence[Ids], capacity: int) -> tuple[State, Logits]:
        """See `Engine`.

        Raises:
            InputError: there are more or fewer placeholders than vectors.
        """
        return self._engine.look(sequences, torch.cat(self._seen), capacity)


class Continuing:
    """A causal engine as beam search sees it: it reads prompts and writes what follows.

    Args:
        engine: continues prompts.
        longest: tokens of the longest prompt.
    """

    def __init__(self, engine: Engine, longest: int) -> None:
        self.name, self.source, self.tokenizer = engine.name, engine.source, engine.tokenizer
        self.capabilities, self.eos_ids, self.context = engine.capabilities, engine.eos_ids, engine.context
        self.target_context = engine.context
        # The first token of what is written follows on the prompt, not on a token of its own.
        self.facts = Seq2SeqFacts(start=-1, eos_ids=engine.eos_ids)
        self._engine, self._longest = engine, longest

    def read(self, sources: Sequence[Ids], capacity: int, beams: int = 1) -> tuple[State, Logits]:
        """See `Seq2SeqEngine`."""
        state, logits = self._engine.prefill(sources, self._longest + capacity)
        if beams > 1:
            logits = logits.clone()
            state.keep([row for row in range(len(sources)) for _ in range(beams)])
        return state, logits

    def cross_attention(self, source: Ids, target: Ids) -> Float[Tensor, "layers targets sources"]:
        """See `Seq2SeqEngine`.

        Raises:
            CapabilityError: always.
        """
        raise CapabilityError("a model of one stack has no cross-attention", where=self.source)


def picture_prompt(tokenizer: Tokenizer, *, image_id: int, features: int, prompt: str = "") -> list[int]:
    """Token ids of a picture and what is said after it, with the tokenizer's own special tokens.

    Args:
        tokenizer: knows the placeholder as one token.
        image_id: the placeholder.
        features: placeholders that the picture takes.
        prompt: what follows.

    Raises:
        InputError: the prompt holds the placeholder.
    """
    refuse_placeholder(tokenizer, image_id, prompt)
    return tokenizer.encode(tokenizer.token(image_id) * features + prompt)


def refuse_placeholder(tokenizer: Tokenizer, image_id: int, text: str, where: str | None = None) -> None:
    """Refuse a text that would be read as a picture.

    Raises:
        InputError: it holds the placeholder.
    """
    token = tokenizer.token(image_id)
    if token in text:
        raise InputError(
            f"the text holds {token}, which stands for a picture", where=where, fix="Leave it out: pictures have theirs"
        )
