"""Which pairs are held out for validation, so that no string of theirs is learned from.

Whole groups (documents, packages) are held out where pairs have them; a pair without one goes by a hash of its source
text. A single group beside pairs without one is learned from: that is how pairs stand that a machine wrote. A held-out
pair of which either text also stands in training, on either side, is dropped: it would measure memory.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence

import numpy as np
import xxhash
from numpy.typing import NDArray

from sensorium.data.parallel.pairs import folded
from sensorium.errors import InputError

TRAIN, HELD_OUT, LEAKED = 0, 1, 2


class HoldOut:
    """Decides over pairs that were added in order.

    Args:
        share: of pairs, to hold out.
        seed: chooses another share.
        groups: the groups to hold out, whatever their size; empty lets the hash choose them.
    """

    def __init__(self, share: float, seed: int, groups: Sequence[str] = ()) -> None:
        self._share, self._seed, self._asked = share, seed, tuple(groups)
        self._sources, self._targets = array("Q"), array("Q")
        self._group_of = array("q")
        self._names: dict[str, int] = {}

    def add(self, source: str, target: str, group: str | None) -> None:
        """Append a pair that is kept."""
        self._sources.append(self._hash(folded(source)))
        self._targets.append(self._hash(folded(target)))
        self._group_of.append(self._names.setdefault(group, len(self._names)) if group else -1)

    def __len__(self) -> int:
        return len(self._sources)

    def decide(self) -> tuple[NDArray[np.int8], list[str]]:
        """`TRAIN`, `HELD_OUT` or `LEAKED` for every pair, and the names of the groups held out.

        Raises:
            InputError: a group that was asked for is not there.
        """
        chosen, groups = self._chosen_groups(), np.asarray(self._group_of)
        held = np.isin(groups, chosen)
        if not self._asked:
            alone = groups < 0
            # A group that every pair belongs to is no group.
            held |= self._by_source(alone if alone.any() or len(self._names) > 1 else ~alone)
        names = [name for name, number in self._names.items() if number in chosen]
        fates = np.where(held, HELD_OUT, TRAIN).astype(np.int8)
        sources, targets = np.asarray(self._sources), np.asarray(self._targets)
        learned = np.concatenate([sources[~held], targets[~held]])
        fates[held & (np.isin(sources, learned) | np.isin(targets, learned))] = LEAKED
        return fates, names

    def _chosen_groups(self) -> list[int]:
        """The groups to hold out; none if there are too few to choose from."""
        for name in self._asked:
            if name not in self._names:
                known = ", ".join(sorted(self._names)[:20]) or "none"
                raise InputError(f"no pair belongs to the group {name!r}", fix=f"The groups are: {known}")
        if self._asked:
            return [self._names[name] for name in self._asked]
        if len(self._names) < 2 or not self._share:
            return []
        sizes = Counter(self._group_of)
        room = self._share * len(self)
        order = sorted(self._names.items(), key=lambda item: self._hash(item[0]))
        chosen, taken = list[int](), 0
        for _, number in order:
            if taken + sizes[number] <= room:
                chosen.append(number)
                taken += sizes[number]
        return chosen or [min((number for _, number in order), key=lambda number: sizes[number])]

    def _by_source(self, among: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Those of some pairs whose source text hashes below the share; one at least, and not all, if there are two
        texts."""
        hashes = np.asarray(self._sources)
        texts = np.unique(hashes[among])
        if not self._share or len(texts) < 2:
            return np.zeros(len(hashes), dtype=np.bool_)
        held: NDArray[np.bool_] = hashes < np.uint64(int(self._share * 2**64))
        if not held[among].any():
            held = hashes == texts[0]
        elif held[among].all():
            held = hashes != texts[-1]
        return held & among

    def _hash(self, text: str) -> int:
        return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"), seed=self._seed)
