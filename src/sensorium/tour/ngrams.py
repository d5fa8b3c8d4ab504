"""Unigram and bigram models by counting: what a trained model must beat to be worth its training.

The bigram smooths its counts with the unigram (a Dirichlet prior, MacKay & Peto 1995). It can look at both
neighbours of a gap: a candidate x is then scored by P(x | left) · P(right | x).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sensorium.data.shards import TokenShards

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
PRIOR = 20.0
"""How many observations the unigram counts for in the bigram."""


class Neighbours:
    """How often each token of the vocabulary stands on one side of each other one."""

    def __init__(self, of: Ids, beside: Ids, vocab_size: int) -> None:
        self._keys, self._counts = np.unique(of * vocab_size + beside, return_counts=True)
        self._vocab_size = vocab_size

    def row(self, token: int) -> Floats:
        """The counts of all that stands beside `token`."""
        start, stop = np.searchsorted(self._keys, (token * self._vocab_size, (token + 1) * self._vocab_size))
        dense = np.zeros(self._vocab_size)
        dense[self._keys[start:stop] % self._vocab_size] = self._counts[start:stop]
        return dense

    def pairs(self, of: Ids, beside: Ids) -> Floats:
        """The counts of single pairs."""
        if not len(self._keys):
            return np.zeros(len(of))
        keys = of * self._vocab_size + beside
        places = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        return np.where(self._keys[places] == keys, self._counts[places], 0).astype(np.float64)


class NGrams:
    """Counts of a text's tokens and of its neighbouring pairs; a pair never spans two documents.

    Args:
        text: what is counted.
        vocab_size: tokens that there are; each counts as seen once more than it was.
    """

    def __init__(self, text: TokenShards, vocab_size: int) -> None:
        ids = text.tokens(0, text.n_tokens).astype(np.int64)
        counts = np.bincount(ids, minlength=vocab_size) + 1.0
        self.unigram: Floats = counts / counts.sum()
        document = np.repeat(np.arange(len(text)), np.diff(text.document_offsets))
        inside = document[:-1] == document[1:]
        left, right = ids[:-1][inside], ids[1:][inside]
        self._after, self._before = Neighbours(left, right, vocab_size), Neighbours(right, left, vocab_size)
        self._as_left = np.bincount(left, minlength=vocab_size).astype(np.float64)

    def after(self, left: int) -> Floats:
        """P(x | left) for every x."""
        found: Floats = (self._after.row(left) + PRIOR * self.unigram) / (self._as_left[left] + PRIOR)
        return found

    def before(self, right: int) -> Floats:
        """P(right | x) for every x."""
        found: Floats = (self._before.row(right) + PRIOR * self.unigram[right]) / (self._as_left + PRIOR)
        return found

    def fill(self, left: int | None, right: int | None) -> int:
        """The likeliest token between two neighbours; None for one that is not there or is hidden too."""
        scores = self.unigram if left is None else self.after(left)
        return int((scores if right is None else scores * self.before(right)).argmax())

    def unigram_logprobs(self, ids: Ids) -> Floats:
        """log P of each token by itself."""
        return np.log(self.unigram[ids])

    def bigram_logprobs(self, ids: Ids) -> Floats:
        """log P of each token after the one before it; of the first by itself."""
        left, right = ids[:-1], ids[1:]
        counts = self._after.pairs(left, right) + PRIOR * self.unigram[right]
        return np.concatenate((self.unigram_logprobs(ids[:1]), np.log(counts / (self._as_left[left] + PRIOR))))
