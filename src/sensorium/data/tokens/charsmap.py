"""The compiled rules by which a SentencePiece model rewrites characters, checked before a library runs on them.

They are a double-array trie (Yata et al. 2007, as `darts-clone` lays it out) from the bytes of a rule's left side to
the place of its right side in a text. The library that reads them trusts every index, and ends the process's thread on
a wrong one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BYTES = np.arange(1, 256)


def check_charsmap(charsmap: bytes) -> None:
    """Raise unless every lookup stays within the data.

    Raises:
        ValueError: it does not.
    """
    size = int.from_bytes(charsmap[:4], "little")
    if len(charsmap) < 4 or size % 4 or size < 4 or size > len(charsmap) - 4:
        raise ValueError("the rules for characters are cut off")
    units = np.frombuffer(charsmap, dtype="<u4", count=size // 4, offset=4).astype(np.int64)
    right = charsmap[4 + size :]
    right.decode("utf-8")
    starts = _leaves(units)
    inside = np.frombuffer(right, dtype=np.uint8)
    if starts.size and (starts.max() >= len(inside) or ((inside[starts] & 0xC0) == 0x80).any()):
        raise ValueError("a rule for characters leads out of them")


def _leaves(units: NDArray[np.int64]) -> NDArray[np.int64]:
    """The values of all keys; the trie is walked a level at a time.

    Raises:
        ValueError: a step leads out of the array.
    """
    bases = np.array([_offset(units[:1])[0]])
    seen = np.zeros(len(units) + 256, dtype=np.bool_)
    found = list[NDArray[np.int64]]()
    while bases.size:
        # Whatever byte comes next is looked up before it is compared.
        if (bases | 0xFF).max() >= len(units):
            raise ValueError("the rules for characters lead out of their array")
        seen[bases] = True
        places = bases[:, None] ^ _BYTES
        there = (units[places] & 0x800000FF) == _BYTES
        places = places[there]
        nodes = units[places]
        nexts = places ^ _offset(nodes)
        if nexts.size and nexts.max() >= len(units):
            raise ValueError("the rules for characters lead out of their array")
        leaves = nexts[(nodes >> 8 & 1).astype(np.bool_)]
        found.append(units[leaves] & 0x7FFFFFFF)
        bases = np.unique(nexts)
        bases = bases[~seen[bases]]
    return np.concatenate(found)


def _offset(nodes: NDArray[np.int64]) -> NDArray[np.int64]:
    return (nodes >> 10) << ((nodes & 0x200) >> 6)
