"""Equal documents: those with the same 128-bit hash, up to case and white space. The first stays.

Below 10¹⁸ documents no two different ones are to be expected with one hash (Wenzek et al. 2020, CCNet, and Penedo et
al. 2024, FineWeb, do the same with shorter ones).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from sensorium.data.dedup.buckets import HASHED, Buckets, InOrder, repeats
from sensorium.data.dedup.keyfiles import KeyFiles, Sources, marked
from sensorium.data.dedup.minhash import unpacked
from sensorium.data.stages import SOURCE, TEXT, Judged
from sensorium.errors import DataError

MEMORY = 256 << 20
HASH = "hash"
DUPLICATE_OF = "duplicate_of"


@dataclass(frozen=True, kw_only=True)
class SameDocuments:
    """Drops each document that equals an earlier one, up to case and white space.

    Empty documents equal each other. An equal document is dropped even if the earlier one was dropped in its turn
    (by a later stage, say): what counts is that it was there.

    Args:
        against: key files of earlier corpora, whose documents count as earlier than all.
        memory: bytes that `decide` keeps to, beside a few batches of keys.
        name: of the stage, in reports.
    """

    against: tuple[Path, ...] = ()
    memory: int = field(default=MEMORY, repr=False)
    name: str = "same documents"

    _made_by = "same documents, 1"

    def keys(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """A hash and the source of each document."""
        hashes = hash_column(map(folded, texts_of(batch)))
        return marked({HASH: hashes, SOURCE: batch.column(SOURCE)}, self._made_by)

    def decide(self, keys: Sequence[Path], out: Sequence[Path], scratch: Path) -> Mapping[str, int]:
        """Of each document the first that it equals."""
        files, sources = KeyFiles(self.against, keys, self._made_by), Sources(scratch)

        def seen() -> Iterator[tuple[int, pa.RecordBatch]]:
            for row, batch in files:
                sources.append(batch)
                yield row, batch

        found = first_equals(files, seen(), scratch, self.memory)
        sources.end()
        dropped = 0

        def decided(start: int, stop: int) -> dict[str, pa.Array]:
            nonlocal dropped
            firsts = found.read(start, stop)
            dropped += int(np.count_nonzero(firsts >= 0))
            return {DUPLICATE_OF: sources.take(firsts)}

        files.write(out, pa.schema([(DUPLICATE_OF, pa.string())]), decided)
        sources.close()
        return {"duplicates": dropped}

    def apply(self, batch: pa.RecordBatch, decided: pa.RecordBatch) -> Judged:
        """Name the document that each dropped one equals."""
        check_rows(batch.num_rows, decided)
        return Judged(batch, pc.binary_join_element_wise("duplicate: of ", decided.column(DUPLICATE_OF), ""))


class ExactDedup:
    """The same for one process that sees one text after another: 16 bytes a document are remembered."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def is_new(self, text: str) -> bool:
        """True the first time that a text comes by."""
        digest = xxhash.xxh3_128_digest(folded(text).encode("utf-8", "surrogatepass"))
        if digest in self._seen:
            return False
        self._seen.add(digest)
        return True


def folded(text: str) -> str:
    """A text without case, with single spaces for white space."""
    return " ".join(text.casefold().split())


def texts_of(batch: pa.RecordBatch) -> list[str]:
    """The texts of a batch; null is empty."""
    return [text or "" for text in batch.column(TEXT).to_pylist()]


def hash_column(texts: Iterable[str]) -> pa.Array:
    """The 128-bit xxHash of each text."""
    digests = [xxhash.xxh3_128_digest(text.encode()) for text in texts]
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(digests), [None, pa.py_buffer(b"".join(digests))])


def first_equals(files: KeyFiles, batches: Iterable[tuple[int, pa.RecordBatch]], scratch: Path, memory: int) -> InOrder:
    """Of each row of the present corpus that has an earlier row's hash: the first such row.

    Args:
        files: the keys.
        batches: all of theirs, each with the number of its first row.
        scratch: folder for what does not fit in memory.
        memory: bytes to keep to.
    """
    hashed = Buckets.for_hashes(scratch / "hashes", HASHED, records=files.rows, memory=memory)
    for row, batch in batches:
        halves = unpacked(batch.column(HASH)).view("<u8")
        spread(hashed, halves[:, 0], halves[:, 1], np.arange(row, row + len(halves)))
    found = InOrder(scratch / "found", rows=files.rows, memory=memory)
    for rows, firsts in repeats(hashed):
        present = rows >= files.earlier
        found.add(rows[present], firsts[present])
    return found


def spread(buckets: Buckets, high: NDArray[np.uint64], low: NDArray[np.uint64], rows: NDArray[np.int64]) -> None:
    """Add rows with their 128-bit hashes to buckets."""
    records = np.empty(len(rows), HASHED)
    records["high"], records["low"], records["row"] = high, low, rows
    buckets.add(records, records["high"])


def check_rows(rows: int, decided: pa.RecordBatch) -> None:
    """Refuse decisions that are not of this batch.

    Raises:
        DataError: there are more of them, or fewer, than the batch has documents or parts.
    """
    if rows != decided.num_rows:
        raise DataError(
            f"{decided.num_rows} decisions for {rows} documents or parts of them",
            fix="Hand `apply` the batch that `keys` saw, with what `decide` wrote of it",
        )
