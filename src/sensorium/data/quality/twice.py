"""Which of many 64-bit keys are there more than once, without sorting them all."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt64

_SLOT_BITS, _BITS = 20, 64


class Twice(NamedTuple):
    """Keys that are there more than once."""

    later: Bool[np.ndarray, " n"]
    """All but the first of each."""
    any: Bool[np.ndarray, " n"]


def more_than_once(keys: UInt64[np.ndarray, " n"]) -> Twice:
    """Which keys are there more than once in the array.

    Each key writes its place into a slot, from the last to the first: who finds itself there was the first of its slot.
    Of the others most see their own key there; the few that see another's are sorted.
    """
    later, any_ = np.zeros((2, len(keys)), np.bool_)
    if not len(keys):
        return Twice(later, any_)
    bits = min(_SLOT_BITS, max(8, len(keys).bit_length() + 3))
    slots = (keys >> np.uint64(_BITS - bits)).astype(np.int64)
    places = np.arange(len(keys), dtype=np.int32)
    table = np.empty(1 << bits, np.int32)
    table[slots[::-1]] = places[::-1]
    first = table[slots]
    others = np.flatnonzero(first != places)
    same = keys[first[others]] == keys[others]
    later[others[same]] = True
    any_[first[others[same]]] = True
    rest = others[~same]
    rest = rest[np.argsort(keys[rest], kind="stable")]
    equal = keys[rest[1:]] == keys[rest[:-1]]
    later[rest[1:][equal]] = True
    any_[rest[:-1][equal]] = True
    return Twice(later, any_ | later)
