"""Random orders that any place can be asked of, alone, and that are the same on every machine.

`Permutation` is a Feistel network (Luby & Rackoff 1988) over the smallest even number of bits that holds the size;
what falls outside is sent through again until it falls inside (cycle walking, Black & Rogaway 2002). It needs no
memory, whatever the size. `shuffle` sorts by a hash, and is for what is held in memory anyway.

Unusual: nothing here is drawn from NumPy's generators, of which another version may draw otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
_Words = NDArray[np.uint64]
_ROUNDS = 6
_WORD = (1 << 64) - 1
_STEP, _FIRST, _SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
"""SplitMix64's (Steele, Lea & Flood 2014)."""


class Permutation:
    """A random order of the numbers below a size.

    Args:
        size: how many numbers, below 2^62.
        key: names the order; equal keys give equal orders.
    """

    def __init__(self, size: int, key: Sequence[int]) -> None:
        self._size = size
        self._half = max(1, (max(size - 1, 1).bit_length() + 1) // 2)
        self._keys = [np.uint64(word) for word in _words(key, _ROUNDS)]

    def __call__(self, places: Numbers) -> Numbers:
        """Which number stands at each of the places.

        Args:
            places: below the size.
        """
        found = self._through(places.astype(np.uint64))
        outside = np.flatnonzero(found >= self._size)
        while len(outside):
            found[outside] = self._through(found[outside])
            outside = outside[found[outside] >= self._size]
        return found.astype(np.int64)

    def _through(self, values: _Words) -> _Words:
        half, mask = np.uint64(self._half), np.uint64((1 << self._half) - 1)
        left, right = values >> half, values & mask
        for key in self._keys:
            left, right = right, left ^ (_mixed(right ^ key) & mask)
        return (left << half) | right


def shuffle(size: int, key: Sequence[int]) -> Numbers:
    """The numbers below a size in the random order that a key names."""
    (seed,) = _words(key, 1)
    return np.argsort(_mixed(np.arange(size, dtype=np.uint64) + np.uint64(seed)), kind="stable")


def _words(key: Sequence[int], count: int) -> list[int]:
    """Words that all of a key decides."""
    state = len(key)
    for number in key:
        state = _mixed_word(state ^ _mixed_word(number & _WORD)) ^ (number >> 64)
    return [_mixed_word(state + _STEP * i) for i in range(1, count + 1)]


def _mixed_word(word: int) -> int:
    """`_mixed` of one word."""
    word = (word + _STEP) & _WORD
    word = ((word ^ (word >> 30)) * _FIRST) & _WORD
    word = ((word ^ (word >> 27)) * _SECOND) & _WORD
    return word ^ (word >> 31)


def _mixed(words: _Words) -> _Words:
    """SplitMix64: a one-to-one scrambling of 64 bits. Products of arrays wrap, as is meant."""
    words = words + np.uint64(_STEP)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(_FIRST)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(_SECOND)
    return words ^ (words >> np.uint64(31))
