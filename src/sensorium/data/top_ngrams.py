"""The commonest words, pairs and triples of words of a corpus of any size, in bounded memory.

They are counted exactly in a sample of the text: pieces of `PIECE` words, of which a hash of where they stand makes one
in 2, 4, 8, ... count (adaptive sampling: Wegman's, analysed by Flajolet 1990). The share is the largest whose distinct
n-grams stay within `capacity`; it depends on the documents alone, so samples merged in any order are the sample of all.
Misra and Gries's (1982) counters need no sample, but what they keep depends on the order in which they are merged.

An estimate is the count in the sample times the words of the text over those of the sample. The standard error beside
it takes occurrences for independent of each other: of names, which crowd in few places, it is larger. N-grams that span
two pieces are not seen: fewer than one in a hundred.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from sensorium.data.characters import UNSPACED, Characters

if TYPE_CHECKING:
    import pyarrow as pa

PIECE = 256
"""Words of a piece of a document."""
CAPACITY = 1 << 18
"""Distinct n-grams of all orders that are held: some 30 MB."""
ORDERS = (1, 2, 3)
_HELD = 64
"""Pieces that are counted between two looks at how much is held."""
Counters = tuple[Counter[str], Counter[str], Counter[str]]


@dataclass(frozen=True)
class Ngram:
    """Words that stand together."""

    text: str
    count: int
    """How often, in all of the text: an estimate."""
    error: int
    """Its standard error; 0 where all of the text was counted."""


@dataclass(frozen=True)
class NgramSample:
    """N-grams of the sampled pieces, by the level of the pieces: half of all are of level 0, a quarter of 1, ..."""

    level: int = 0
    """Pieces of lower levels do not count: one piece in 2^level does."""
    capacity: int = CAPACITY
    words: int = 0
    """Of all of the text."""
    counts: Mapping[int, Counters] = field(default_factory=dict)
    """By level, of each order: how often each occurs."""

    @classmethod
    def of(cls, characters: Characters, sources: pa.Array, *, level: int = 0, capacity: int = CAPACITY) -> NgramSample:
        """Count the n-grams of a batch.

        Args:
            characters: of its texts.
            sources: strings: where each text came from.
            level: to start from, where the corpus is known to need it.
            capacity: distinct n-grams to hold.
        """
        first, last, levels = _pieces(characters, sources)
        chosen = np.flatnonzero(levels >= level)
        order = chosen[np.argsort(-levels[chosen], kind="stable")]
        counts: dict[int, Counters] = {}
        # From the highest level down: what is counted in vain is never much more than what is held.
        for at, group in groupby(order.tolist(), key=lambda piece: int(levels[piece])):
            held = sum(map(_size, counts.values()))
            counted = _counted(characters, ((first[piece], last[piece]) for piece in group), capacity - held)
            if counted is None:
                return cls(at + 1, capacity, len(characters.starts), counts)
            counts[at] = counted
        return cls(level, capacity, len(characters.starts), counts)

    def merge(self, other: NgramSample) -> NgramSample:
        """The sample of both texts."""
        level, capacity = max(self.level, other.level), min(self.capacity, other.capacity)
        counts: dict[int, Counters] = {}
        for at in sorted({*self.counts, *other.counts}, reverse=True):
            if at >= level:
                counts[at] = _sum(self.counts.get(at), other.counts.get(at))
        while counts and sum(map(_size, counts.values())) > capacity:
            level = min(counts) + 1
            del counts[min(counts)]
        return NgramSample(level, capacity, self.words + other.words, counts)

    @property
    def share(self) -> float:
        """How much of the text was counted: 1 where all of it was."""
        return sum(words.total() for words, _, _ in self.counts.values()) / self.words if self.words else 1.0

    def top(self, order: int, count: int) -> list[Ngram]:
        """The commonest n-grams, the most frequent first; those found once in a sample are left out.

        Args:
            order: 1 for words, 2 for pairs, 3 for triples.
            count: how many.
        """
        total: Counter[str] = Counter()
        for counters in self.counts.values():
            total.update(counters[order - 1])
        once = 1 if self.level else 0
        best = sorted((item for item in total.items() if item[1] > once), key=lambda item: (-item[1], item[0]))[:count]
        share = self.share
        errors = [(found * (1 - share)) ** 0.5 / share for _, found in best]
        return [
            Ngram(_spelled(text), round(found / share), round(error))
            for (text, found), error in zip(best, errors, strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, whole. Each order is one text of lines and their numbers, which is smaller and sooner
        read than an object."""
        counts = {str(at): [_lines(one) for one in counters] for at, counters in sorted(self.counts.items())}
        return {"level": self.level, "capacity": self.capacity, "words": self.words, "counts": counts}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> NgramSample:
        """What `to_dict` made."""
        counts = {
            int(at): _three(*(_of_lines(*lines) for lines in counters)) for at, counters in value["counts"].items()
        }
        return cls(int(value["level"]), int(value["capacity"]), int(value["words"]), counts)


def _pieces(
    characters: Characters, sources: pa.Array
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Of each piece: its first word, the one behind its last, and its level."""
    offsets = characters.word_offsets
    per_document = -(-np.diff(offsets) // PIECE)
    document = np.repeat(np.arange(len(per_document)), per_document)
    within = np.arange(len(document)) - np.repeat(np.cumsum(per_document) - per_document, per_document)
    first = offsets[document] + within * PIECE
    last = np.minimum(first + PIECE, offsets[document + 1])
    names = (xxhash.xxh3_64_intdigest((name or "").encode()) for name in sources.to_pylist())
    named = np.fromiter(names, np.uint64, len(per_document))
    # The length, so that documents of one name are told apart.
    mixed = _mixed(named + np.diff(characters.documents).astype(np.uint64))
    mixed = _mixed(mixed[document] + within.astype(np.uint64))
    return first, last, _trailing_zeros(mixed)


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Numbers of which every bit depends on every bit of what was given (SplitMix64, Steele et al. 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _trailing_zeros(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    lowest = np.maximum(values & (~values + np.uint64(1)), np.uint64(1))
    return np.log2(lowest.astype(np.float64)).astype(np.int64)


def _counted(characters: Characters, pieces: Iterator[tuple[int, int]], room: int) -> Counters | None:
    """The n-grams of some pieces, or None where there are more than there is room for."""
    counters = _three(Counter(), Counter(), Counter())
    text, starts, ends = characters.text, characters.starts, characters.ends
    for number, (first, last) in enumerate(pieces, start=1):
        places = zip(starts[first:last].tolist(), ends[first:last].tolist(), strict=True)
        words = [text[start:end].lower() for start, end in places]
        counters[0].update(words)
        counters[1].update(map(" ".join, pairwise(words)))
        counters[2].update(map(" ".join, zip(words, words[1:], words[2:], strict=False)))
        if number % _HELD == 0 and _size(counters) > room:
            return None
    return counters if _size(counters) <= room else None


def _three(words: Counter[str], pairs: Counter[str], triples: Counter[str]) -> Counters:
    return words, pairs, triples


def _lines(counter: Counter[str]) -> tuple[str, list[int]]:
    texts = sorted(counter)
    return "\n".join(texts), [counter[text] for text in texts]


def _of_lines(lines: str, numbers: Sequence[int]) -> Counter[str]:
    return Counter(dict(zip(lines.split("\n"), numbers, strict=False)))  # no line is one that is empty


def _size(counters: Counters) -> int:
    return sum(map(len, counters))


def _sum(ours: Counters | None, theirs: Counters | None) -> Counters:
    """The sums of both, in counters of their own."""
    if ours is None or theirs is None:
        return ours or theirs or _three(Counter(), Counter(), Counter())
    return _three(*(_added(one, other) for one, other in zip(ours, theirs, strict=True)))


def _added(one: Counter[str], other: Counter[str]) -> Counter[str]:
    small, large = sorted((one, other), key=len)
    added = large.copy()
    added.update(small)
    return added


def _spelled(text: str) -> str:
    """An n-gram as it is written: no space between characters of scripts that have none."""
    spelled: str = _inner_space().sub("", text)
    return spelled


@cache
def _inner_space() -> Any:
    import regex

    letters = "".join(rf"\p{{{script}}}" for script in UNSPACED)
    return regex.compile(rf"(?<=[{letters}]) (?=[{letters}])")
