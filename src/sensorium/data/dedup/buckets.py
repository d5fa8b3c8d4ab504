"""Records spread over buckets by hash, and brought back in order: in memory while they fit, else on disk.

What must be compared has equal hashes, hence lies in one bucket, and a bucket fits in memory: that is how all pairs of
equals are found among more records than memory holds, at two sequential passes over the disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorium.files import disk_errors

Ints = NDArray[np.int64]
HASHED = np.dtype([("high", "<u8"), ("low", "<u8"), ("row", "<i8")])
"""A 128-bit hash, and the number of what it is of."""
FOUND = np.dtype([("row", "<i8"), ("first", "<i8")])
"""The number of a record, and that of the first equal to it."""
_LEAST = 256
"""Bytes of memory. Tests go down to it; nobody else should."""
_MOST = 4096
"""Buckets. Beyond that many, the buckets grow instead."""


class Buckets:
    """Records of one type, added in the order of their numbers.

    Args:
        folder: for the files; they are made when they are needed.
        kind: of the records.
        count: how many buckets.
        memory: bytes of records that are held before they go to disk.
    """

    def __init__(self, folder: Path, kind: np.dtype[Any], *, count: int, memory: int) -> None:
        self.folder, self.kind, self.count, self.memory = folder, kind, count, memory
        self._held: list[list[bytes]] = [[] for _ in range(count)]
        self._bytes = 0

    @classmethod
    def for_hashes(cls, folder: Path, kind: np.dtype[Any], *, records: int, memory: int) -> Buckets:
        """As many buckets as make one of them fit, with what it takes to sort it, in half of the memory."""
        memory = max(memory, _LEAST)
        needed = max(1, -(-records * kind.itemsize * 16 // memory))
        return cls(folder, kind, count=min(_MOST, 1 << (needed - 1).bit_length()), memory=memory // 4)

    def add(self, records: NDArray[Any], hashes: NDArray[np.uint64]) -> None:
        """Put each record into the bucket that the highest bits of its hash say."""
        if self.count == 1:
            self._put(records, np.zeros(len(records), np.uint16))
        else:
            shift = np.uint64(65 - self.count.bit_length())
            self._put(records, (hashes >> shift).astype(np.uint16))

    def add_to(self, records: NDArray[Any], numbers: Ints) -> None:
        """Put each record into the bucket of a number."""
        self._put(records, numbers.astype(np.uint16))

    def _put(self, records: NDArray[Any], numbers: NDArray[np.uint16]) -> None:
        order = np.argsort(numbers, kind="stable")
        edges = np.searchsorted(numbers[order], np.arange(self.count + 1))
        content, width = records[order].tobytes(), self.kind.itemsize
        for number in np.flatnonzero(np.diff(edges)).tolist():
            self._held[number].append(content[edges[number] * width : edges[number + 1] * width])
        self._bytes += len(content)
        if self._bytes > self.memory:
            self._flush()

    def _flush(self) -> None:
        with disk_errors(self.folder):
            self.folder.mkdir(exist_ok=True)
            for number, held in enumerate(self._held):
                if held:
                    with self._path(number).open("ab") as file:
                        file.writelines(held)
                    held.clear()
        self._bytes = 0

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:05}"

    def chunks(self, number: int, size: int) -> Iterator[NDArray[Any]]:
        """The records of a bucket, in the order that they were added, so many at a time."""
        width = self.kind.itemsize
        if self._path(number).exists():
            with self._path(number).open("rb") as file:
                while block := file.read(size * width):
                    yield np.frombuffer(block, self.kind)
        held = np.frombuffer(b"".join(self._held[number]), self.kind)
        for start in range(0, len(held), size):
            yield held[start : start + size]

    def drop(self, number: int) -> None:
        """Forget the records of a bucket that has been read."""
        self._held[number].clear()
        self._path(number).unlink(missing_ok=True)


def repeats(buckets: Buckets) -> Iterator[tuple[Ints, Ints]]:
    """Of the `HASHED` records: the rows whose hash an earlier row has, with the first such row. Empties the buckets.

    Memory is bounded by the distinct hashes of a bucket, however often one of them occurs.
    """
    size = max(1024, buckets.memory // (2 * HASHED.itemsize))
    for number in range(buckets.count):
        known = np.empty(0, HASHED)
        for chunk in buckets.chunks(number, size):
            # What is known comes first, and sorting is stable: the first row of equals is the first in each group.
            records = np.concatenate((known, chunk))
            records = records[np.argsort(records["high"], kind="stable")]
            new = np.append(True, records["high"][1:] != records["high"][:-1])
            other = np.append(False, records["low"][1:] != records["low"][:-1])
            if (other & ~new).any():
                records = records[np.lexsort((records["low"], records["high"]))]
                new[1:] = (records["high"][1:] != records["high"][:-1]) | (records["low"][1:] != records["low"][:-1])
            group = np.cumsum(new) - 1
            known = records[new]
            yield records["row"][~new], known["row"][group[~new]]
        buckets.drop(number)


class InOrder:
    """What was found of some rows, in any order, to be read in the order of the rows.

    Args:
        folder: for the files.
        rows: how many there are.
        memory: bytes to keep to.
    """

    def __init__(self, folder: Path, *, rows: int, memory: int) -> None:
        self._span = max(4096, memory // 64, -(-rows // _MOST))
        self._found = Buckets(folder, FOUND, count=rows // self._span + 1, memory=memory // 4)
        self._window: Ints = np.empty(0, np.int64)
        self._number = -1

    def add(self, rows: Ints, firsts: Ints) -> None:
        """Note the first equal of some rows."""
        records = np.empty(len(rows), FOUND)
        records["row"], records["first"] = rows, firsts
        self._found.add_to(records, rows // self._span)

    def read(self, start: int, stop: int) -> Ints:
        """The first equals of the rows from `start` to before `stop`, -1 where there is none. Calls go forwards."""
        parts = [np.empty(0, np.int64)]
        while start < stop:
            number, begin = start // self._span, start // self._span * self._span
            if number != self._number:
                self._load(number, begin)
            end = min(stop, begin + self._span)
            parts.append(self._window[start - begin : end - begin])
            start = end
        return np.concatenate(parts)

    def _load(self, number: int, begin: int) -> None:
        self._window = np.full(self._span, -1, np.int64)
        for records in self._found.chunks(number, self._span):
            self._window[records["row"] - begin] = records["first"]
        self._found.drop(number)
        self._number = number
