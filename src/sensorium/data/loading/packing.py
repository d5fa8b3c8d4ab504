"""Best-fit packing (Ding et al. 2024, "Fewer Truncations Improve Language Modeling"): pieces of documents fill rows of
one length, and no piece is cut to make it fit.

Longest first, each piece goes to the row that it fills best, or opens one (best-fit decreasing).

Unusual: which rooms are left in some row is the bits of one number, so that the smallest that is large enough is found
by a shift and the lowest bit, where the paper has a tree; and that pieces of one size are placed together.
"""

from __future__ import annotations

from itertools import groupby

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]


def best_fit(sizes: Numbers, capacity: int) -> Numbers:
    """Which row each piece goes to.

    Args:
        sizes: of the pieces, 1 or more each. One that is larger than a row has a row of its own.
        capacity: of a row.

    Returns:
        Of each piece the number of its row, counted from 0 in the order in which rows are opened.
    """
    rows = np.empty(len(sizes), dtype=np.int64)
    order = np.argsort(-sizes, kind="stable")
    ordered = sizes[order]
    # What leaves no room for the shortest needs no search: as a rule the many pieces of long documents.
    full = int(np.searchsorted(-ordered, -(capacity - int(ordered[-1]) if len(ordered) else 0), side="left"))
    rows[order[:full]] = np.arange(full)
    rows[order[full:]] = _search(ordered[full:].tolist(), capacity, full)
    return rows


def _search(sizes: list[int], capacity: int, opened: int) -> list[int]:
    """The row of each piece; pieces come, longest first.

    Pieces of one size are placed together: a row that fits the first of them best fits the next best, too, as long as
    there is room in it.
    """
    rows = list[int]()
    shortest = sizes[-1] if sizes else 1
    with_room: list[list[int]] = [[] for _ in range(capacity + 1)]
    rooms = 0  # bit n: some row has room for exactly n more
    for size, group in groupby(sizes):
        left = len(list(group))
        while left:
            large_enough = rooms >> size
            room = size + (large_enough & -large_enough).bit_length() - 1 if large_enough else capacity
            each = room // size
            wanted = -(-left // each)
            if large_enough:
                taken = with_room[room][-wanted:]
                del with_room[room][-wanted:]
                if not with_room[room]:
                    rooms ^= 1 << room
            else:
                taken = list(range(opened, opened + wanted))
                opened += wanted
            rest = room - each * size
            if len(taken) * each > left:  # the last one is not filled
                last = left - (len(taken) - 1) * each
                rows += [taken[-1]] * last
                left -= last
                if room - last * size >= shortest:
                    with_room[room - last * size].append(taken[-1])
                    rooms |= 1 << (room - last * size)
                taken.pop()
            rows += taken if each == 1 else [row for row in taken for _ in range(each)]
            left -= len(taken) * each
            if taken and rest >= shortest:
                with_room[rest] += taken
                rooms |= 1 << rest
    return rows


def waste(sizes: Numbers, rows: Numbers, capacity: int) -> float:
    """The share of the rows' places that nothing stands in.

    Args:
        sizes: of the pieces.
        rows: of each piece its row, from 0.
        capacity: of a row.
    """
    return 1.0 - float(sizes.sum()) / (capacity * (int(rows.max()) + 1)) if len(rows) else 0.0
