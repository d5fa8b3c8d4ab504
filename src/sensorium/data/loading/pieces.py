"""Documents cut into pieces that fit a sequence, each of which predicts its own next tokens; many read at once.

A document t1 ... tn stands between its begin and its end: [BOS] t1 ... tn predicts t1 ... tn [EOS]. A piece is so many
of these n + 1 steps. Only what is longer than a sequence is cut, and every token is predicted exactly once.

Unusual: token files are mapped as plain arrays. One is read by a single gather for a whole batch, which short documents
need; of several, pieces are slices, and a slice of an `np.memmap` would cost several times as much.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensorium.data.shards import TokenShards

Numbers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PieceTokens:
    """Pieces end to end."""

    ids: Numbers
    targets: Numbers
    """Of each token the one after it."""
    lengths: Numbers


class Pieces:
    """The pieces of one split.

    Args:
        shards: the split.
        seq_len: the most tokens of a piece.
        bos: id of the token before a document.
        eos: id of the token after it.
    """

    def __init__(self, shards: TokenShards, *, seq_len: int, bos: int, eos: int) -> None:
        self._offsets = np.asarray(shards.document_offsets)
        self.longest = seq_len
        self._bos, self._eos = bos, eos
        dtype = shards.tokens(0, 0).dtype
        paths = sorted(shards.folder.glob("tokens-*.bin"))
        self._files = [np.asarray(np.memmap(path, dtype=dtype, mode="r")) for path in paths if path.stat().st_size]
        self._files = self._files or [np.zeros(1, dtype)]  # a split of empty documents
        self._starts = np.cumsum([0, *map(len, self._files)])

    def units(self, documents: Numbers) -> Numbers:
        """Rows of (document, piece) of these documents."""
        counts = -(-self._steps(documents) // self.longest)
        firsts = np.cumsum(counts) - counts
        owners = np.repeat(documents, counts)
        return np.stack([owners, np.arange(len(owners)) - np.repeat(firsts, counts)], axis=1)

    def sizes(self, units: Numbers) -> Numbers:
        """Tokens of each piece."""
        sizes: Numbers = np.minimum(self._steps(units[:, 0]) - units[:, 1] * self.longest, self.longest)
        return sizes

    def read(self, units: Numbers) -> PieceTokens:
        """The tokens of pieces, in their order."""
        sizes = self.sizes(units)
        ends = np.cumsum(sizes)
        starts = ends - sizes
        firsts = self._offsets[units[:, 0]] + units[:, 1] * self.longest  # of the targets
        closes = self._steps(units[:, 0]) == units[:, 1] * self.longest + sizes
        inner = np.flatnonzero(units[:, 1])
        targets = self._tokens(firsts, sizes)
        targets[ends[closes] - 1] = self._eos
        ids = np.empty_like(targets)
        ids[1:] = targets[:-1]
        ids[starts] = self._bos
        ids[starts[inner]] = self._tokens(firsts[inner] - 1, np.ones_like(inner))
        return PieceTokens(ids, targets, sizes)

    def _steps(self, documents: Numbers) -> Numbers:
        """Predictions of each document: its tokens and its end."""
        steps: Numbers = self._offsets[documents + 1] - self._offsets[documents] + 1
        return steps

    def _tokens(self, firsts: Numbers, counts: Numbers) -> Numbers:
        """Runs of tokens end to end, none of which spans two files, but for its last place, that may lie behind the
        document."""
        places = np.cumsum(counts) - counts
        if len(self._files) == 1:
            numbers = np.arange(int(counts.sum())) + np.repeat(firsts - places, counts)
            taken: Numbers = np.take(self._files[0], numbers, mode="clip").astype(np.int64)
            return taken
        out = np.empty(int(counts.sum()), dtype=np.int64)
        files = np.minimum(np.searchsorted(self._starts, firsts, side="right") - 1, len(self._files) - 1)
        firsts = firsts - self._starts[files]
        rows = zip(files.tolist(), firsts.tolist(), (firsts + counts).tolist(), places.tolist(), strict=True)
        for file, first, last, place in rows:
            run = self._files[file][first:last]
            out[place : place + len(run)] = run
        return out
