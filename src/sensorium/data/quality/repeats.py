"""Runs of words that a document repeats: the rules of Gopher's Table A1 about n-grams, for many documents at once.

To count all n-grams of all orders would take most of the time that all rules take, and few documents come near a
threshold. So bounds are taken of all documents first, and only what they do not clear is counted:

* The commonest n-gram is no commoner than the commonest of the shortest order. So many times the longest n-gram is too
  few characters in most documents.
* What is repeated in runs of six words or more is repeated in runs of five. The characters of words in any repeated run
  of five are too few in nearly all documents.
* A run of six words that is there twice begins where one of five does that is: each order looks only at the places that
  the order before it left.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64, UInt64

from sensorium.data.quality.twice import more_than_once
from sensorium.data.quality.words import Words

Orders = Sequence[tuple[int, float]]
"""Lengths of runs, in words and rising, and the share of the characters above which a document is dropped."""
Found = list[tuple[int, float] | None]
_STEP, _DOCUMENT, _MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93), np.uint64(0xBF58476D1CE4E5B9)
_BITS, _WHOLE = 64, 10
"""Of a key; and what a character is counted as."""


def commonest(words: Words, orders: Orders, among: Bool[np.ndarray, " documents"]) -> Found:
    """Of each document, the first order whose commonest n-gram takes up too large a share of its characters, and that
    share. Spaces between words count, as in `" ".join` (the characters of a Chinese word share one); of n-grams equally
    common the first in the text does.

    Args:
        words: of some documents.
        orders: n, and the largest share.
        among: documents to look at.
    """
    found: Found = [None] * len(words)
    if not orders or not among.any():
        return found
    keys = _runs(words, orders[0][0])
    twice = more_than_once(keys)
    often = _most(words, keys, twice.later)
    near = np.zeros(len(words), np.bool_)
    for order, share in orders:
        near |= _longest(words, order) * often > share * _WHOLE * words.characters
    near &= among
    places = np.flatnonzero(twice.any & near[words.document])
    running = np.concatenate(([0], np.cumsum(_reach(words))))
    for order, share in orders:
        first, count = words.offsets[:-1].copy(), np.ones(len(words), np.int64)
        places, grams = _grams(words, places, order)
        if len(places):
            begins, counts, sorted_ = _counted(grams)
            at = places[sorted_[begins]]
            document = words.document[at]
            best = np.lexsort((at, -counts, document))
            best = best[np.concatenate(([True], np.diff(document[best]) > 0))[: len(best)]]
            first[document[best]], count[document[best]] = at[best], counts[best]
            places = places[np.sort(_members(begins, counts, sorted_))]
        last = np.minimum(first + order, len(running) - 1)
        taken = (running[last] - running[first] - _WHOLE) * count / _WHOLE / np.maximum(words.characters, 1)
        for document in np.flatnonzero(near & (np.diff(words.offsets) >= order) & (taken > share)):
            found[document] = order, float(taken[document])
            near[document] = False
    return found


def repeated(words: Words, orders: Orders, among: Bool[np.ndarray, " documents"]) -> Found:
    """Of each document, the first order whose repeated n-grams take up too large a share of its characters, and that
    share. Read from the left; an n-gram that was there before is counted and stepped over.

    Args:
        words: of some documents.
        orders: n, and the largest share.
        among: documents to look at.
    """
    found: Found = [None] * len(words)
    if not orders or not among.any():
        return found
    shortest = orders[0][0]
    twice = more_than_once(_runs(words, shortest))
    covered = twice.later.copy()
    for step in range(1, shortest):
        covered[step:] |= twice.later[:-step]
    within = words.totals(covered * words.lengths)
    near = among & (within > min(share for _, share in orders) * words.characters)
    places = np.flatnonzero(twice.any & near[words.document])
    running = np.concatenate(([0], np.cumsum(words.lengths)))
    for order, share in orders:
        places, grams = _grams(words, places, order)
        if not len(places):
            break
        kept = np.sort(_members(*_counted(grams)))
        places, grams = places[kept], grams[kept]
        characters = _stepped(words, places, grams, order, running) / np.maximum(words.characters, 1)
        for document in np.flatnonzero(near & (characters > share)):
            found[document] = order, float(characters[document])
            near[document] = False
        places = places[near[words.document[places]]]
    return found


def _runs(words: Words, order: int) -> UInt64[np.ndarray, " words"]:
    """The hash of the n-gram that begins at each word, and of its document. One that would leave the document is unlike
    all others."""
    hashes = words.hashes
    keys = hashes.copy()
    for step in range(1, order):
        keys *= _STEP
        keys[:-step] += hashes[step:]
    keys += words.document.astype(np.uint64) * _DOCUMENT
    ends = words.offsets[1:]
    for step in range(1, order):
        short = ends[words.offsets[:-1] <= ends - step] - step
        keys[short] = short.astype(np.uint64)
    keys ^= keys >> np.uint64(31)
    keys *= _MIX
    return keys


def _grams(
    words: Words, places: Int64[np.ndarray, " n"], order: int
) -> tuple[Int64[np.ndarray, " m"], UInt64[np.ndarray, " m"]]:
    """The n-grams that begin at some places and end in the same document."""
    document = words.document[places]
    inside = places + order <= words.offsets[1:][document]
    places, document = places[inside], document[inside]
    grams = words.hashes[places]
    for step in range(1, order):
        grams = grams * _STEP + words.hashes[places + step]
    return places, grams + document.astype(np.uint64) * _DOCUMENT


def _counted(
    grams: UInt64[np.ndarray, " n"],
) -> tuple[Int64[np.ndarray, " groups"], Int64[np.ndarray, " groups"], Int64[np.ndarray, " n"]]:
    """What is there more than once: where its places begin among the sorted ones, how many they are; and the order."""
    sorted_ = np.argsort(grams, kind="stable")
    in_order = grams[sorted_]
    begins = np.flatnonzero(np.concatenate(([True], in_order[1:] != in_order[:-1]))[: len(grams)])
    counts = np.diff(np.append(begins, len(grams)))
    return begins[counts > 1], counts[counts > 1], sorted_


def _members(
    begins: Int64[np.ndarray, " groups"], counts: Int64[np.ndarray, " groups"], sorted_: Int64[np.ndarray, " n"]
) -> Int64[np.ndarray, " m"]:
    """All that is in a group."""
    edges = np.zeros(len(sorted_) + 1, np.int64)
    edges[begins] += 1
    edges[begins + counts] -= 1
    return sorted_[np.cumsum(edges[:-1]) > 0]


def _stepped(
    words: Words,
    places: Int64[np.ndarray, " n"],
    grams: UInt64[np.ndarray, " n"],
    order: int,
    running: Int64[np.ndarray, " words_and_end"],
) -> Int64[np.ndarray, " documents"]:
    """Characters of the n-grams that were met before. One that is there once is neither: only the others are given."""
    met, free = set[int](), 0
    counted = list[int]()
    for place, gram in zip(places.tolist(), grams.tolist(), strict=True):
        if place < free:
            continue
        if gram in met:
            counted.append(place)
            free = place + order
        else:
            met.add(gram)
    at = np.array(counted, np.int64)
    characters = np.zeros(len(words), np.int64)
    np.add.at(characters, words.document[at], running[at + order] - running[at])
    return characters


def _most(
    words: Words, keys: UInt64[np.ndarray, " words"], later: Bool[np.ndarray, " words"]
) -> Int64[np.ndarray, " documents"]:
    """How often the commonest n-gram of each document is there."""
    most = np.ones(len(words), np.int64)
    again = np.flatnonzero(later)
    if not len(again):
        return most
    # the keys of a document stand together when its number is put above what is left of the hash
    shift = np.uint64(_BITS - max(1, (len(words) - 1).bit_length()))
    marked = np.sort((words.document[again].astype(np.uint64) << shift) | (keys[again] >> (np.uint64(_BITS) - shift)))
    begins = np.flatnonzero(np.concatenate(([True], marked[1:] != marked[:-1])))
    counts = np.diff(np.append(begins, len(marked))) + 1
    document = (marked[begins] >> shift).astype(np.int64)
    firsts = np.flatnonzero(np.concatenate(([True], document[1:] != document[:-1])))
    most[document[firsts]] = np.maximum.reduceat(counts, firsts)
    return most


def _reach(words: Words) -> Int64[np.ndarray, " words"]:
    """Of each word, its characters and the space after it, in whole numbers: sums of others would depend on where in a
    batch a document stands."""
    reach: Int64[np.ndarray, " words"] = words.lengths * _WHOLE + np.rint(words.weights * _WHOLE).astype(np.int64)
    return reach


def _longest(words: Words, order: int) -> Int64[np.ndarray, " documents"]:
    """What the longest n-gram of each document reaches over, or more: the next document may end it."""
    running = np.zeros(len(words.starts) + order, np.int64)
    np.cumsum(_reach(words), out=running[1 : len(words.starts) + 1])
    running[len(words.starts) + 1 :] = running[len(words.starts)]
    grams = running[order:] - running[:-order]
    longest = np.zeros(len(words), np.int64)
    filled = np.flatnonzero(np.diff(words.offsets))
    if len(filled):
        longest[filled] = np.maximum.reduceat(grams, words.offsets[filled])
    return longest
