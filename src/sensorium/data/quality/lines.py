"""The lines and paragraphs of many documents at once, as arrays over their words.

A line ends at a line feed. Blank lines are no lines; white space at the ends of a line is no part of it. Two lines are
the same if they have the same words and marks, however they are spaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64, UInt8, UInt64

from sensorium.data.quality import letters
from sensorium.data.quality.twice import more_than_once
from sensorium.data.quality.words import Words, sums

_LINE_FEED = 10
_POWER = 0xD1342543DE82EF95
_INVERSE = pow(_POWER, -1, 1 << 64)


@dataclass(frozen=True, eq=False)
class Lines:
    """Lines that have a word or a mark, in order; or paragraphs of them."""

    words: Words
    bounds: Int64[np.ndarray, " lines_and_end"]
    """The first word of each line."""
    starts: Int64[np.ndarray, " lines"]
    ends: Int64[np.ndarray, " lines"]
    """Bytes in `words.data`."""
    characters: Int64[np.ndarray, " lines"]
    offsets: Int64[np.ndarray, " documents_and_end"]
    """The first line of each document."""

    @property
    def counts(self) -> Int64[np.ndarray, " documents"]:
        """Lines of each document."""
        return np.diff(self.offsets)

    def share(self, chosen: Bool[np.ndarray, " lines"]) -> Any:
        """Of each document, the share of its lines that are chosen; none of no lines."""
        return sums(self.offsets, chosen) / np.maximum(self.counts, 1)

    def sums(self, values: Any) -> Any:
        """The sum of one value a word over the words of each line."""
        return sums(self.bounds, values)

    def first_codes(self) -> UInt8[np.ndarray, " lines"]:
        """What each line begins with."""
        codes: UInt8[np.ndarray, " lines"] = self.words.codes[self.bounds[:-1]]
        return codes

    def ends_in_ellipsis(self, *, chinese: bool = True) -> Bool[np.ndarray, " lines"]:
        """Ends in `...` or `…`.

        Args:
            chinese: also in `……`, which ends a sentence in Chinese.
        """
        last = self.bounds[1:] - 1
        codes = self.words.codes[last]
        dots = (codes == letters.ascii_code(".")) & (self.words.ends[last] - self.words.starts[last] >= 3)
        points = codes == letters.ELLIPSIS
        if not chinese and points.any():
            before = np.maximum(last - 1, self.bounds[:-1])
            points &= (before == last) | (self.words.codes[before] != letters.ELLIPSIS)
        found: Bool[np.ndarray, " lines"] = dots | points
        return found

    def ends_in_stop(self) -> Bool[np.ndarray, " lines"]:
        """Ends as a sentence does: in a stop of any script, or in one that quotes or brackets close. `…` is one."""
        codes = self.words.codes
        last = self.bounds[1:] - 1
        for _ in range(3):
            closed = is_closer(codes[last]) & (last > self.bounds[:-1])
            if not closed.any():
                break
            last = last - closed
        found: Bool[np.ndarray, " lines"] = self.words.stopped(last) | (codes[last] == letters.ELLIPSIS)
        return found

    def hashes(self) -> UInt64[np.ndarray, " lines"]:
        """64 bits of each line's words: a polynomial of theirs, brought to begin with the line."""
        words = self.words.hashes
        powers = _powers(_POWER, len(words))
        running = np.zeros(len(words) + 1, np.uint64)
        np.cumsum(words * powers, out=running[1:])
        whole: UInt64[np.ndarray, " lines"] = running[self.bounds[1:]] - running[self.bounds[:-1]]
        whole *= _powers(_INVERSE, len(words))[self.bounds[:-1]]
        return whole

    @cached_property
    def repeated(self) -> tuple[Int64[np.ndarray, " documents"], Int64[np.ndarray, " documents"]]:
        """Of each document, how many lines are there again, and how many characters they have: all but the first of
        each."""
        document = np.repeat(np.arange(len(self.counts)), self.counts)
        keys = self.hashes() ^ (document.astype(np.uint64) * np.uint64(_POWER))
        again = more_than_once(keys).later
        return sums(self.offsets, again), sums(self.offsets, again * self.characters)


def is_quote(codes: UInt8[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Closes what was said; `"` and `'` do, as far as one can tell."""
    found: Bool[np.ndarray, " n"] = (codes == letters.QUOTE) | (codes == letters.APOSTROPHE)
    for mark in "\"'":
        found |= codes == letters.ascii_code(mark)
    return found


def is_closer(codes: UInt8[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """May follow the end of a sentence: a quote or a bracket."""
    found: Bool[np.ndarray, " n"] = is_quote(codes) | (codes == letters.CLOSER)
    for mark in letters.BRACKETS:
        found |= codes == letters.ascii_code(mark)
    return found


@lru_cache(maxsize=1)
def lines_of(words: Words) -> Lines:
    """The lines of some documents; kept until those of others are asked for, because several rules ask."""
    feeds = np.flatnonzero(words.data[: words.begins[-1]] == _LINE_FEED)
    return _between(words, feeds)


def paragraphs_of(words: Words) -> Lines:
    """The paragraphs of some documents: what blank lines part."""
    size = int(words.begins[-1])
    feeds = np.flatnonzero(words.data[:size] == _LINE_FEED)
    blank = feeds[:-1][np.diff(feeds) == 1]
    return _between(words, np.unique(np.concatenate((blank, words.begins - 1))))


def _between(words: Words, cuts: Int64[np.ndarray, " cuts"]) -> Lines:
    """What lies between places, as far as a word does."""
    bounds = np.searchsorted(words.starts, cuts)
    bounds = bounds[np.concatenate(([True], bounds[1:] != bounds[:-1]))]
    starts, ends = words.starts[bounds[:-1]], words.ends[bounds[1:] - 1]
    return Lines(
        words=words,
        bounds=bounds,
        starts=starts,
        ends=ends,
        characters=words.characters_between(starts, ends),
        offsets=np.searchsorted(bounds[:-1], words.offsets),
    )


def _powers(base: int, count: int) -> UInt64[np.ndarray, " count"]:
    """base⁰, base¹ … modulo 2⁶⁴."""
    powers = np.full(max(count, 1), base, np.uint64)
    powers[0] = 1
    return np.multiply.accumulate(powers)[:count]
