"""Translation: write the target of a pair, given its source (Sutskever et al. 2014; Vaswani et al. 2017).

Where a corpus has several directions, or its model several languages, sources begin with the token of the language to
write (Johnson et al. 2017), so that one model learns them all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sensorium.data.corpus import ParallelShards
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import ConfigError
from sensorium.objectives.objective import Units
from sensorium.objectives.pairs import Ends, PairExample, TwoStacks


class Seq2SeqObjective(TwoStacks):
    """Pairs of texts.

    Args:
        tokenizer: must have [EOS]; its `target` is that of the targets.
        seq_len: the most tokens a side, special tokens included. Longer pairs are left out: a part of a text is not
            the translation of a part of another.
        start: the decoder's first token.
        smoothing: label smoothing.
        lengths: tokens of a source and of a target on average.

    Raises:
        ConfigError: `seq_len` leaves no room, or the tokenizer has no [EOS].
        CapabilityError: the tokenizer marks each text with its language, as mBART's does.
    """

    name = "seq2seq"

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        seq_len: int,
        start: int,
        smoothing: float = 0.0,
        lengths: tuple[float, float] | None = None,
    ) -> None:
        super().__init__(lengths=lengths or (float(seq_len), float(seq_len)), smoothing=smoothing)
        self._ends = Ends(tokenizer, start=start)
        self._room = seq_len - self._ends.size
        if self._room < 1:
            raise ConfigError(f"batch.seq_len={seq_len} leaves no room for text", fix="Raise batch.seq_len")

    def units(self, data: ParallelShards, rng: np.random.Generator) -> Units:
        """Rows of the number of a pair; none of pairs that are too long."""
        return np.flatnonzero(self._fits(data))[:, None]

    def too_long(self, data: ParallelShards) -> int:
        """How many pairs are left out."""
        return len(data) - int(self._fits(data).sum())

    def _fits(self, data: ParallelShards) -> NDArray[np.bool_]:
        sources, targets = data.lengths
        fits: NDArray[np.bool_] = np.maximum(sources, targets) <= self._room
        return fits

    def example(self, data: ParallelShards, unit: Units, rng: np.random.Generator) -> PairExample:
        """One pair."""
        number = int(unit[0])
        source, target = (tokens.astype(np.int64) for tokens in data.pair(number))
        return self._ends.example(source, target, n_bytes=int(data.target.document_bytes[number]))
