"""Which tokens are hidden, and what stands in their place (Devlin et al. 2019).

Of the chosen tokens 80 % become the mask, 10 % a random token, 10 % stay. They are chosen singly, by whole words, or
by spans of words whose lengths are geometric (SpanBERT, Joshi et al. 2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import ConfigError

Unit = Literal["token", "word", "span"]
Ids = NDArray[np.int64]
_SPAN_P, _SPAN_MOST = 0.2, 10


@dataclass(frozen=True, eq=False)
class Masking:
    """Draws masks for one vocabulary.

    Args:
        rate: share of the tokens that is predicted.
        unit: what is hidden at a time.
        mask_id: the mask.
        random_ids: what a random token is drawn from.
        word_starts: for every id, whether it begins a word.
    """

    rate: float
    unit: Unit
    mask_id: int
    random_ids: Ids
    word_starts: NDArray[np.bool_]

    @classmethod
    def of(cls, tokenizer: Tokenizer, *, rate: float, unit: Unit) -> Masking:
        """The masking of a tokenizer.

        Raises:
            ConfigError: the tokenizer has no mask.
        """
        if tokenizer.mask_id is None:
            raise ConfigError("masked training needs a tokenizer with a mask token", fix="Prepare with another one")
        ordinary = np.setdiff1d(np.arange(tokenizer.vocab_size), np.array(sorted(tokenizer.special_ids), dtype=int))
        return cls(rate, unit, tokenizer.mask_id, ordinary, tokenizer.word_starts)

    def __call__(self, ids: Ids, maskable: NDArray[np.bool_], rng: np.random.Generator) -> tuple[Ids, Ids]:
        """Hide tokens.

        Args:
            ids: a sequence; it is not changed.
            maskable: False where a token must stay (special tokens).
            rng: draws.

        Returns:
            The sequence with its masks, and the places that are predicted, in order; at least one if any may be.
        """
        candidates = np.flatnonzero(maskable)
        if not len(candidates):
            return ids, candidates
        quota = max(1, round(self.rate * len(candidates)))
        places = self._choose(ids, candidates, quota, rng)
        masked = ids.copy()
        draw = rng.random(len(places))
        masked[places[draw < 0.8]] = self.mask_id
        swapped = places[(draw >= 0.8) & (draw < 0.9)]
        masked[swapped] = rng.choice(self.random_ids, len(swapped))
        return masked, places

    def _choose(self, ids: Ids, candidates: Ids, quota: int, rng: np.random.Generator) -> Ids:
        if self.unit == "token":
            return np.sort(rng.choice(candidates, quota, replace=False))
        starts = self.word_starts[ids[candidates]]
        starts |= np.diff(candidates, prepend=-2) > 1  # what follows a special token begins a word
        words = np.split(candidates, np.flatnonzero(starts)[1:])
        return self._whole_words(words, quota, rng) if self.unit == "word" else self._spans(words, quota, rng)

    @staticmethod
    def _whole_words(words: list[Ids], quota: int, rng: np.random.Generator) -> Ids:
        chosen: list[Ids] = []
        size = 0
        for index in rng.permutation(len(words)):
            if size and size + len(words[index]) > quota:
                continue
            chosen.append(words[index])
            size += len(words[index])
            if size >= quota:
                break
        return np.sort(np.concatenate(chosen))

    @staticmethod
    def _spans(words: list[Ids], quota: int, rng: np.random.Generator) -> Ids:
        hidden = np.zeros(len(words), dtype=bool)
        sizes = np.array([len(word) for word in words])
        while not hidden.all() and sizes[hidden].sum() < quota:
            length = min(int(rng.geometric(_SPAN_P)), _SPAN_MOST)
            start = int(rng.integers(len(words)))
            for index in range(start, min(start + length, len(words))):
                hidden[index] = True
                if sizes[hidden].sum() >= quota:
                    break
        return np.concatenate([word for word, take in zip(words, hidden, strict=True) if take])
