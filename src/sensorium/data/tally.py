"""Counts by name that stay small however many names there are, and add up to the same in whatever order.

A corpus may come of three files or of three million. While there are few names each has its counts; where they become
too many, all are cut to the same number of parts (`crawl/2024/a.html`, `crawl/2024`, `crawl`), the largest that leaves
few enough. How far that goes depends on the names alone, so two tallies merged are the tally of both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

NAMES = 1000
"""Names that a tally keeps apart at most."""
_WHOLE = 64
"""Parts of names that are not cut."""
Counts = tuple[int, ...]


@dataclass(frozen=True)
class Tally:
    """Whole numbers by name; every name has the same number of them."""

    counts: Mapping[str, Counts] = field(default_factory=dict)
    parts: int = _WHOLE
    """How many parts of a name, between slashes, are kept apart."""

    @classmethod
    def of(cls, names: pa.Array, values: Sequence[NDArray[np.int64]]) -> Tally:
        """Add up what rows have by their names.

        Args:
            names: strings; a null counts as an empty name.
            values: for each thing that is counted, its count in each row.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        coded = pc.dictionary_encode(pc.fill_null(names.cast(pa.large_string()), ""))
        codes = coded.indices.to_numpy(zero_copy_only=False)
        size = len(coded.dictionary)
        # As floats, which are exact to 2^53 a batch.
        sums = [np.bincount(codes, weights=value, minlength=size).astype(np.int64).tolist() for value in values]
        return cls._fitted(dict(zip(coded.dictionary.to_pylist(), zip(*sums, strict=True), strict=True)), _WHOLE)

    def merge(self, other: Tally) -> Tally:
        """The tally of what both have counted."""
        parts = min(self.parts, other.parts)
        ours, theirs = (cut(one.counts, parts) if one.parts > parts else one.counts for one in (self, other))
        return self._fitted(added(ours, theirs), parts)

    @classmethod
    def _fitted(cls, counts: Mapping[str, Counts], parts: int) -> Tally:
        while len(counts) > NAMES:
            parts = min(parts, max(name.count("/") + 1 for name in counts)) - 1
            counts = cut(counts, parts)
        return cls(dict(sorted(counts.items())), parts)

    def to_dict(self, fields: Sequence[str]) -> dict[str, Any]:
        """Plain values for JSON; `fields` names what is counted."""
        counts = {name: dict(zip(fields, values, strict=True)) for name, values in self.counts.items()}
        return {"parts": self.parts, "counts": counts}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], fields: Sequence[str]) -> Tally:
        """What `to_dict` made."""
        counts = {name: tuple(int(held[one]) for one in fields) for name, held in value["counts"].items()}
        return cls(counts, int(value["parts"]))


def added(ours: Mapping[str, Counts], theirs: Mapping[str, Counts]) -> dict[str, Counts]:
    """The sums, name by name."""
    sums = dict(ours)
    for name, values in theirs.items():
        _add(sums, name, values)
    return sums


def cut(counts: Mapping[str, Counts], parts: int) -> dict[str, Counts]:
    """The sums by the first parts of the names."""
    sums: dict[str, Counts] = {}
    for name, values in counts.items():
        _add(sums, "/".join(name.split("/")[:parts]), values)
    return sums


def _add(sums: dict[str, Counts], name: str, values: Counts) -> None:
    held = sums.get(name)
    sums[name] = values if held is None else tuple(map(sum, zip(held, values, strict=True)))
