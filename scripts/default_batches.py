"""Batches for the default model: windows of documents for the decoder, packed sentence pairs for the encoder."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from sensorium.data.shards import TokenShards
from sensorium.data.tokenizer import Tokenizer

_N_SPECIAL = 7
"""Ids below this are special tokens, in a tokenizer that `prepare` trained."""


@dataclass(frozen=True)
class Pairs:
    """Sentence pairs end to end, without padding."""

    ids: Tensor
    types: Tensor
    lengths: tuple[int, ...]
    chosen: Tensor
    """Which tokens are to be predicted."""
    truth: Tensor
    labels: Tensor
    """0: the second part follows the first; 1: it is from another document."""

    @property
    def firsts(self) -> Tensor:
        """Where each pair begins."""
        return torch.tensor(np.cumsum((0, *self.lengths[:-1])))


def _place(offsets: np.ndarray, at: int) -> int:
    return int(np.searchsorted(offsets, at, side="right")) - 1


def windows(
    shards: TokenShards, tokenizer: Tokenizer, chance: np.random.Generator, *, rows: int, length: int
) -> Tensor:
    """`[rows, length + 1]` ids: stretches of documents, drawn in proportion to their length."""
    return torch.tensor([_row(shards, tokenizer, chance, length + 1) for _ in range(rows)])


def _row(shards: TokenShards, tokenizer: Tokenizer, chance: np.random.Generator, size: int) -> list[int]:
    row: list[int] = []
    while len(row) < size:
        at = int(chance.integers(0, shards.n_tokens))
        document = _place(shards.document_offsets, at)
        begin, end = (int(shards.document_offsets[i]) for i in (document, document + 1))
        start = begin if end - begin < size - 1 or chance.random() < 0.1 else at
        stop = min(end, start + size)
        row += [tokenizer.bos_id or 0] * (start == begin)
        row += shards.tokens(start, stop).tolist()
        row += [tokenizer.eos_id or 0] * (end < start + size)
    return row[:size]


def packed_pairs(
    shards: TokenShards,
    tokenizer: Tokenizer,
    chance: np.random.Generator,
    *,
    pairs: int,
    length: int,
    masked: float,
) -> Pairs:
    """Pairs as in BERT (Devlin et al. 2019): half of the second parts are random; 80/10/10 masking."""
    cls, sep = tokenizer.cls_id or 0, tokenizer.sep_id or 0
    sequences: list[list[int]] = []
    types: list[list[int]] = []
    labels: list[int] = []
    while len(sequences) < pairs:
        sentence, document, end = _sentence(shards, chance)
        first, after = _stretch(shards, sentence, end, int(chance.integers(8, length - 24)))
        label = int(after >= end or chance.random() < 0.5)
        if label:
            after, other, end = _sentence(shards, chance)
            if other == document:
                continue
        second, _ = _stretch(shards, after, end, length - 3 - len(first))
        sequences.append([cls, *first, sep, *second, sep])
        types.append([0] * (len(first) + 2) + [1] * (len(second) + 1))
        labels.append(label)
    ids = torch.tensor(list(chain.from_iterable(sequences)))[None]
    chosen = (torch.from_numpy(chance.random(ids.shape)) < masked) & (ids >= _N_SPECIAL)
    truth, fate = ids[chosen], torch.from_numpy(chance.random(ids.shape))
    hidden = ids.clone()
    hidden[chosen & (fate < 0.8)] = tokenizer.mask_id or 0
    replaced = chosen & (fate >= 0.9)
    hidden[replaced] = torch.from_numpy(chance.integers(_N_SPECIAL, tokenizer.vocab_size, int(replaced.sum())))
    lengths = tuple(map(len, sequences))
    return Pairs(
        hidden, torch.tensor(list(chain.from_iterable(types)))[None], lengths, chosen, truth, torch.tensor(labels)
    )


def _sentence(shards: TokenShards, chance: np.random.Generator) -> tuple[int, int, int]:
    """A sentence drawn in proportion to its length, its document, and the document's last sentence + 1."""
    sentence = _place(shards.sentence_offsets, int(chance.integers(0, shards.n_tokens)))
    document = _place(shards.document_sentences, sentence)
    return sentence, document, int(shards.document_sentences[document + 1])


def _stretch(shards: TokenShards, sentence: int, end: int, limit: int) -> tuple[list[int], int]:
    """Whole sentences up to `limit` tokens, one at least (cut if it must be), and the sentence after them."""
    offsets, after = shards.sentence_offsets, sentence
    while after < end and offsets[after + 1] - offsets[sentence] <= limit:
        after += 1
    after = max(after, min(sentence + 1, end))
    stop = min(int(offsets[after]), int(offsets[sentence]) + limit)
    return shards.tokens(int(offsets[sentence]), stop).tolist(), after
