"""The special tokens that a model's tokenizer puts around a text and between two, as ids.

They are read from the tokenizer once, so that texts that were tokenised without them can be cut to any length and
framed afterwards: [CLS] A [SEP], [CLS] A [SEP] B [SEP], <s> A </s></s> B </s>.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import ConfigError

Ids = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Frame:
    """Ids and segment types around the texts of a sequence.

    Args:
        special: before the first text, after it (between two), and after the last.
        types: segments of those, and of the texts between them: five runs for two texts.
    """

    special: tuple[Ids, ...]
    types: tuple[int, ...]

    @classmethod
    def single(cls, tokenizer: Tokenizer) -> Frame:
        """Around one text.

        Raises:
            ConfigError: the tokenizer does not put a token first.
        """
        return cls._of(tokenizer, pair=False)

    @classmethod
    def pair(cls, tokenizer: Tokenizer) -> Frame:
        """Around and between two texts.

        Raises:
            ConfigError: the tokenizer does not put a token first.
        """
        return cls._of(tokenizer, pair=True)

    @classmethod
    def _of(cls, tokenizer: Tokenizer, *, pair: bool) -> Frame:
        encoding = tokenizer.encoding("a", "a" if pair else None)
        ids, types = np.array(encoding.ids, dtype=np.int64), encoding.type_ids
        texts = [0, 1] if pair else [0]
        places = [[i for i, text in enumerate(encoding.sequence_ids) if text == number] for number in texts]
        if not all(places) or places[0][0] == 0:
            raise ConfigError(
                "the tokenizer puts no special token before a text, where an encoder's answer is read",
                fix="Take a model with an encoder's tokenizer ([CLS] text [SEP])",
            )
        ends = [0, *(end for found in places for end in (found[0], found[-1] + 1)), len(ids)]
        special = tuple(ids[ends[i] : ends[i + 1]] for i in range(0, len(ends) - 1, 2))
        # A run without a token, as at the end of a tokenizer that closes nothing, has no type either.
        runs = tuple(types[ends[i]] if ends[i] < ends[i + 1] else 0 for i in range(len(ends) - 1))
        return cls(special, runs)

    @property
    def size(self) -> int:
        """Tokens that are not of the texts."""
        return sum(map(len, self.special))

    @property
    def first(self) -> int:
        """Place of the first text's first token."""
        return len(self.special[0])

    def around(self, *texts: Ids) -> tuple[Ids, Ids]:
        """A sequence and its segment types."""
        runs = [self.special[0]]
        for text, special in zip(texts, self.special[1:], strict=True):
            runs += [text, special]
        lengths = [len(run) for run in runs]
        return np.concatenate(runs), np.repeat(np.array(self.types, dtype=np.int64), lengths)


def shorten(lengths: Sequence[int], room: int) -> list[int]:
    """How much to keep of a text, or of each of two, so that they fit into `room`: the longer gives first."""
    if sum(lengths) <= room:
        return list(lengths)
    if len(lengths) == 1:
        return [room]
    first, second = lengths
    half = room // 2
    if first <= half:
        return [first, room - first]
    return [room - second, second] if second <= half else [room - half, half]
