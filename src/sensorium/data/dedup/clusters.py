"""Clusters of alike documents: which pairs share a band, which of those are alike, and what hangs together.

`Forest` is union-find over an array of 8 bytes a document: the root of a cluster is its first document. `join_alike`
takes the documents of one bucket of bands. Of each group that shares a band, all are compared with the first; groups
in which that leaves somebody alone are searched breadth-first, so that the clusters are exactly the connected
components over the pairs that share a band and are alike, whatever the order and the number of buckets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Fetch = Callable[[Ints], NDArray[Any]]
"""What some documents are compared by, one a row."""
Alike = Callable[[NDArray[Any], NDArray[Any]], NDArray[np.bool_]]
"""Whether each row of what was fetched and that of another array, or of its only row, are alike."""
_CHUNK = 1 << 14
_HELD = 1 << 17
"""Documents of the largest group that is searched at all; what is beyond is only compared with the first."""
SEARCHED = 2000
"""Documents of a group from which it is searched. Where more than that share a band and yet are not alike (pages made
of one form), what is left of the group is not compared: the time stays linear."""


class Forest:
    """Which documents hang together.

    Args:
        rows: how many documents there are.
    """

    def __init__(self, rows: int) -> None:
        self.parents: Ints = np.arange(rows, dtype=np.int64)

    def roots(self, rows: Ints) -> Ints:
        """The first document, as far as is known, of the cluster of each row."""
        found = self.parents[rows]
        while True:
            higher = self.parents[found]
            if np.array_equal(higher, found):
                self.parents[rows] = found
                return found
            found = higher

    def join(self, first: Ints, second: Ints) -> None:
        """Make one cluster of the clusters of each pair."""
        while len(first):
            first, second = self.roots(first), self.roots(second)
            apart = first != second
            low, high = np.minimum(first, second)[apart], np.maximum(first, second)[apart]
            # A root that is to hang from several takes the lowest; the rest of its pairs is joined next time round.
            np.minimum.at(self.parents, high, low)
            first, second = low, high

    def flatten(self) -> None:
        """Make each document's parent its root. A parent comes before its child, so that one pass is enough."""
        for start in range(0, len(self.parents), _CHUNK):
            rows = np.arange(start, min(start + _CHUNK, len(self.parents)))
            self.roots(rows)


def join_alike(forest: Forest, hashes: NDArray[np.uint64], rows: Ints, fetch: Fetch, alike: Alike) -> dict[str, int]:
    """Join the documents that share a band and are alike.

    Args:
        forest: receives the clusters.
        hashes: of bands.
        rows: the document of each.
        fetch: gives what documents are compared by.
        alike: tells which pairs are.

    Returns:
        How many pairs were compared, and how many groups were too large to be searched to the end.
    """
    order = np.argsort(hashes)
    hashes = hashes[order]
    same = hashes[1:] == hashes[:-1]
    shared = np.append(same, False) | np.append(False, same)  # most bands are of one document alone
    hashes, rows = hashes[shared[: len(hashes)]], rows[order[shared[: len(hashes)]]]
    starts = np.flatnonzero(np.append(True, hashes[1:] != hashes[:-1]))[: len(hashes)]
    sizes = np.diff(np.append(starts, len(hashes)))
    firsts = np.minimum.reduceat(rows, starts) if len(rows) else rows
    others = rows != np.repeat(firsts, sizes)
    group, second = np.repeat(np.arange(len(starts)), sizes)[others], rows[others]
    apart = forest.roots(firsts[group]) != forest.roots(second)
    group, second = group[apart], second[apart]
    counts = {"pairs compared": len(second), "groups cut short": 0}
    passed = np.empty(len(second), bool)
    for start in range(0, len(second), _CHUNK):
        part = slice(start, start + _CHUNK)
        passed[part] = alike(fetch(firsts[group[part]]), fetch(second[part]))
        forest.join(firsts[group[part]][passed[part]], second[part][passed[part]])
    for number in np.unique(group[~passed & (sizes[group] > 2)]).tolist():
        members = np.sort(rows[starts[number] : starts[number] + sizes[number]])
        compared, cut = _search(forest, members[:_HELD], fetch, alike)
        counts["pairs compared"] += compared
        counts["groups cut short"] += cut or len(members) > _HELD
    return counts


def _search(forest: Forest, members: Ints, fetch: Fetch, alike: Alike) -> tuple[int, bool]:
    """Join the alike ones of a group; how many pairs were compared, and whether some were left over."""
    compared, searched, values = 0, 0, fetch(members)
    while len(members) > 1:
        waiting = [(members[:1], values[:1])]
        members, values = members[1:], values[1:]
        while waiting and len(members):
            if searched == SEARCHED:
                return compared, True
            one, value = waiting.pop()
            searched, compared = searched + 1, compared + len(members)
            near = np.concatenate(
                [alike(value, values[start : start + _CHUNK]) for start in range(0, len(members), _CHUNK)]
            )
            if near.any():
                found = members[near]
                forest.join(np.repeat(one, len(found)), found)
                waiting += zip(found[:, None], values[near][:, None], strict=True)
                members, values = members[~near], values[~near]
    return compared, False
