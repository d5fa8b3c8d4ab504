"""What documents are compared in: words, or single characters where a script writes no spaces between words.

A unit is a run of letters, marks and digits in lower case, or one character of Chinese, Japanese, Thai, Lao, Khmer or
Burmese. White space, punctuation and symbols only separate. n-grams are made of units, so that five words or five
Chinese characters are one 5-gram.

Unusual: there is no loop over characters or words. The UTF-8 bytes of a whole batch are classified by table; each
distinct word of the batch is hashed once (64-bit xxHash), so that the hashes of n-grams are the same in every batch.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
_SEPARATOR, _WORD, _SINGLE, _REST = 0, 1, 2, 3
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x3005, 0x3007),  # 々〆〇
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),  # Han
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),  # half-width Katakana
    (0x20000, 0x3FFFF),
)
_TABLE = 0x40000
_PRIME = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
_33 = np.uint64(33)


@dataclass(frozen=True, eq=False)
class Units:
    """The units of a batch of documents, end to end."""

    hashes: U64
    offsets: NDArray[np.int64]
    """Where each document begins, and the end of the last."""
    starts: NDArray[np.int64]
    """The byte of `folded` at which each unit begins."""
    ends: NDArray[np.int64]
    """The byte after its last."""
    single: NDArray[np.bool_]
    """Whether it is a character of a script without spaces, rather than a word."""
    folded: NDArray[np.uint8]
    """The documents in lower case, end to end."""


@dataclass(frozen=True, eq=False)
class Grams:
    """The n-grams of a batch of documents, end to end."""

    hashes: U64
    offsets: NDArray[np.int64]


def units_of(texts: pa.Array) -> Units:
    """Split documents into units.

    Args:
        texts: strings; null is a text without units.
    """
    folded = pc.utf8_lower(pc.fill_null(texts.cast(pa.large_string()), ""))
    _, ends, content = folded.buffers()
    offsets = (
        np.frombuffer(ends, np.int64)[folded.offset : folded.offset + len(folded) + 1] if ends else np.zeros(1, int)
    )
    data = np.frombuffer(content, np.uint8)[offsets[0] : offsets[-1]] if content else np.empty(0, np.uint8)
    offsets = offsets - offsets[0]
    kinds = _kinds(data)
    before = np.empty_like(kinds)
    before[:1] = _SEPARATOR
    before[1:] = kinds[:-1]
    before[offsets[:-1][offsets[:-1] < len(data)]] = _SEPARATOR
    starts = (kinds == _SINGLE) | ((kinds == _WORD) & (before != _WORD))
    kept = kinds != _SEPARATOR
    stops = kept.copy()
    stops[:-1] &= ~kept[1:] | starts[1:]
    first, end = np.flatnonzero(starts), np.flatnonzero(stops) + 1
    ends_at = np.concatenate(([0], np.cumsum(end - first))).astype(np.int64)
    words = pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(first), [None, pa.py_buffer(ends_at), pa.py_buffer(data[kept])]
    ).dictionary_encode()
    distinct = np.fromiter(map(xxhash.xxh3_64_intdigest, words.dictionary.to_pylist()), np.uint64)
    hashes = distinct[words.indices.to_numpy()] if len(first) else np.empty(0, np.uint64)
    return Units(hashes, np.searchsorted(first, offsets).astype(np.int64), first, end, kinds[first] == _SINGLE, data)


def grams(units: Units, n: int) -> Grams:
    """All runs of `n` units of each document. One of fewer is one run of all of them; one without units has none."""
    lengths = np.diff(units.offsets)
    starts = units.offsets[:-1]
    rolled = rolling(units.hashes, n)
    valid = np.ones(len(rolled), bool)
    for back in range(1, n):
        last = units.offsets[1:] - back
        valid[last[last >= 0]] = False
    for length in range(1, n):
        short = starts[lengths == length]
        value = np.zeros(len(short), np.uint64)
        for place in range(length):
            value = value * _PRIME + units.hashes[short + place]
        rolled[short], valid[short] = value, True
    counts = np.where(lengths >= n, lengths - n + 1, lengths > 0)
    return Grams(mixed(rolled[valid]), np.concatenate(([0], np.cumsum(counts))).astype(np.int64))


def rolling(hashes: U64, n: int) -> U64:
    """A hash of the `n` units from each place on, regardless of documents; the last `n - 1` are of no use."""
    rolled = hashes.copy()
    rolled_on(rolled, hashes, 1, n)
    return rolled


def rolled_on(rolled: U64, hashes: U64, length: int, n: int) -> None:
    """Make the hashes of runs of `length` units those of runs of `n`, in place."""
    for place in range(length, n):
        rolled *= _PRIME
        rolled[: max(len(hashes) - place, 0)] += hashes[place:]


def mixed(values: U64) -> U64:
    """MurmurHash3's finaliser (Appleby 2011): every bit of the result depends on every bit of the value."""
    values = values ^ (values >> _33)
    for factor in _MIX:
        values *= factor
        values ^= values >> _33
    return values


@lru_cache(maxsize=1)
def _classes() -> NDArray[np.uint8]:
    """What each character is: part of a word, a unit of its own, or a separator."""
    wordly = [unicodedata.category(chr(code))[0] in "LMN" for code in range(_TABLE)]
    classes = np.array(wordly, np.uint8)
    for first, last in _UNSPACED:
        classes[first : last + 1] *= _SINGLE
    return classes


def _kinds(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What each byte of UTF-8 text belongs to; of a unit of one character, the first byte alone says so."""
    ascii_classes = np.zeros(256, np.uint8)
    ascii_classes[:128] = _classes()[:128]
    kinds = ascii_classes[data]
    leads = np.flatnonzero(data >= 0xC0)
    if not len(leads):
        return kinds
    first = data[leads].astype(np.int64)
    lengths = 2 + (first >= 0xE0) + (first >= 0xF0)
    codes = first & (0xFF >> (lengths + 1))
    for place in range(1, 4):
        longer = lengths > place
        at = leads[longer] + place
        codes[longer] = (codes[longer] << 6) | (data[at] & 0x3F)
    classes = np.where(codes < _TABLE, _classes()[np.minimum(codes, _TABLE - 1)], _SEPARATOR).astype(np.uint8)
    kinds[leads] = classes
    rest = np.where(classes == _SINGLE, _REST, classes).astype(np.uint8)
    for place in range(1, 4):
        longer = lengths > place
        kinds[leads[longer] + place] = rest[longer]
    return kinds
