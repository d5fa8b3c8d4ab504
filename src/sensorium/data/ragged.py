"""Sequences of numbers of unequal length, end to end in one array."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Ragged:
    """Many sequences; `values` may have a second dimension."""

    values: NDArray[np.int32]
    offsets: NDArray[np.int64]
    """Where each one begins, and the end of the last."""

    @classmethod
    def of(cls, sequences: Iterable[Sequence[Any] | NDArray[Any]], *, width: int | None = None) -> Ragged:
        """Lay sequences end to end.

        Args:
            sequences: of numbers, or of rows of numbers.
            width: of a row; None for plain numbers.
        """
        parts = [np.asarray(sequence, dtype=np.int32) for sequence in sequences]
        shape = (-1,) if width is None else (-1, width)
        values = np.concatenate([part.reshape(shape) for part in parts] or [np.empty(0, np.int32).reshape(shape)])
        return cls(values, np.cumsum([0, *map(len, parts)], dtype=np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> NDArray[np.int64]:
        return self.values[self.offsets[index] : self.offsets[index + 1]].astype(np.int64)

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.diff(self.offsets)

    def first(self, count: int) -> Ragged:
        """The first sequences, so many of them."""
        return Ragged(self.values, self.offsets[: count + 1])


def fingerprint(arrays: Iterable[Ragged | NDArray[Any] | str]) -> str:
    """Tells arrays and texts apart from others, by a hash of all that they hold."""
    digest = xxhash.xxh3_128()
    for array in arrays:
        if isinstance(array, str):
            digest.update(array.encode("utf-8", "surrogatepass") + b"\0")
            continue
        for part in (array.values, array.offsets) if isinstance(array, Ragged) else (array,):
            digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()
