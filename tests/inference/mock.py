"""A byte tokenizer and an engine without weights, so that decoding is tested without a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers
from torch import Tensor

from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.inference.seq2seq_facts import Seq2SeqFacts
from sensorium.inference.unable import Unable

SPECIAL = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]", "bos": "[BOS]", "eos": "[EOS]"}  # fmt: skip  # noqa: E501


def byte_tokenizer(merges: Sequence[tuple[str, str]] = ()) -> Tokenizer:
    """One token a byte: any text, of any language, in characters that span up to four tokens."""
    vocabulary = {token: i for i, token in enumerate(SPECIAL.values())}
    for letter in sorted(pre_tokenizers.ByteLevel.alphabet()):
        vocabulary[letter] = len(vocabulary)
    for a, b in merges:
        vocabulary[a + b] = len(vocabulary)
    backend = Backend(models.BPE(vocab=vocabulary, merges=list(merges)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(list(SPECIAL.values()))
    return Tokenizer(backend, dict(SPECIAL))


class MockState:
    """Rows of token ids."""

    def __init__(self, engine: MockEngine, rows: list[list[int]]) -> None:
        self.engine, self.rows = engine, rows

    def logits(self) -> Tensor:
        self.engine.batches.append(len(self.rows))
        return torch.stack([self.engine.rule(row) for row in self.rows])

    def step(self, tokens: Sequence[int]) -> Tensor:
        for row, token in zip(self.rows, tokens, strict=True):
            row.append(token)
        return self.logits()

    def keep(self, rows: Sequence[int]) -> None:
        self.rows = [self.rows[i] for i in rows]


class MockEngine:
    """Logits by a rule from the whole sequence of a row."""

    name = "mock"
    source = "mock"
    causal = True
    context: int | None = None
    capabilities = frozenset({"generate"})

    def __init__(self, tokenizer: Tokenizer, rule: Callable[[list[int]], Tensor]) -> None:
        self.tokenizer, self.rule = tokenizer, rule
        self.eos_ids = frozenset({tokenizer.id("[EOS]")})
        self.batches: list[int] = []

    def masked_logits(self, sequences: Sequence[Sequence[int]], positions: Sequence[Sequence[int]]) -> Tensor:
        raise AssertionError("not a masked model")

    def logprobs(self, sequences: Sequence[Sequence[int]]) -> list[Tensor]:
        return [
            torch.stack([self.rule(list(s[:i])).log_softmax(-1)[s[i]] for i in range(1, len(s))]) for s in sequences
        ]

    def prefill(self, sequences: Sequence[Sequence[int]], capacity: int) -> tuple[MockState, Tensor]:
        assert capacity >= max(map(len, sequences))
        state = MockState(self, [list(sequence) for sequence in sequences])
        return state, state.logits()


def reciting(tokenizer: Tokenizer, text: str) -> Callable[[list[int]], Tensor]:
    """Always continues as `text` goes on, and ends it; the prompt is its beginning."""
    ids = [*tokenizer.encode(text), tokenizer.id("[EOS]")]

    def rule(row: list[int]) -> Tensor:
        logits = torch.zeros(tokenizer.vocab_size)
        logits[ids[min(len(row), len(ids) - 1)]] = 5.0
        return logits

    return rule


def babbling(tokenizer: Tokenizer) -> Callable[[list[int]], Tensor]:
    """Random logits that depend on the row's tokens alone."""

    def rule(row: list[int]) -> Tensor:
        generator = torch.Generator().manual_seed(hash(tuple(row)) % (1 << 31))
        return 3 * torch.randn(tokenizer.vocab_size, generator=generator)

    return rule


class MockSeq2SeqState:
    """Rows of what is written, and of which source."""

    def __init__(self, engine: MockSeq2SeqEngine, sources: list[list[int]], beams: int) -> None:
        self.engine, self.beams = engine, beams
        self.rows: list[tuple[list[int], list[int]]] = [(source, []) for source in sources]

    def logits(self) -> Tensor:
        return torch.stack([self.engine.rule(source, written) for source, written in self.rows])

    def step(self, tokens: Sequence[int] | Tensor) -> Tensor:
        self.rows = [(s, [*w, int(token)]) for (s, w), token in zip(self.rows, tokens, strict=True)]
        return self.logits()

    def keep(self, rows: Sequence[int] | Tensor) -> None:
        self.rows = [self.rows[int(row) // self.beams] for row in rows]
        self.beams = 1


class MockSeq2SeqEngine(Unable):
    """Logits by a rule from the source and what is written."""

    name = "mock"
    source = "mock"
    causal = False
    context: int | None = 64
    target_context: int | None = None
    capabilities = frozenset({"translate"})

    def __init__(self, tokenizer: Tokenizer, rule: Callable[[list[int], list[int]], Tensor], **facts: Any) -> None:
        self.tokenizer, self.rule = tokenizer, rule
        self.facts = Seq2SeqFacts(start=0, eos_ids=frozenset({tokenizer.eos_id}), **facts)
        self.eos_ids = self.facts.eos_ids

    def read(self, sources: Sequence[Sequence[int]], capacity: int, beams: int = 1) -> tuple[MockSeq2SeqState, Tensor]:
        state = MockSeq2SeqState(self, [list(source) for source in sources], beams)
        return state, state.logits()

    def cross_attention(self, source: Sequence[int], target: Sequence[int]) -> Tensor:
        """Every token looks at the source's token in its own place."""
        places = torch.arange(len(target)).clamp(max=len(source) - 1)
        return torch.nn.functional.one_hot(places, len(source)).float().expand(3, -1, -1)


def copying(tokenizer: Tokenizer, **changed: str) -> Callable[[list[int], list[int]], Tensor]:
    """Writes the source again, each letter of `changed` as another one, and is sure of itself."""
    swaps = {tokenizer.id(old): tokenizer.id(new) for old, new in changed.items()}

    def rule(source: list[int], written: list[int]) -> Tensor:
        generator = torch.Generator().manual_seed(hash((tuple(source), tuple(written))) % (1 << 31))
        logits = torch.randn(tokenizer.vocab_size, generator=generator)
        place = len(written)
        wanted = source[place] if place < len(source) else tokenizer.eos_id
        logits[swaps.get(wanted, wanted)] += 9
        return logits

    return rule
