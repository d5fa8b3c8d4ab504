"""Near-duplicates by MinHash and locality-sensitive hashing, out of core.

Each document's signature (`minhash`) is cut into bands of a few numbers. Documents with one equal band are compared
by their whole signatures, and those that are alike in at least `threshold` of it hang together (Broder 1997; Leskovec,
Rajaraman & Ullman, Mining of Massive Datasets, chapter 3). Of what hangs together one document stays.

Of two documents of Jaccard similarity s, a pair is compared with the probability 1 - (1 - s^rows)^bands: by default
0.98 at s = 0.8, 0.75 at 0.7, 0.36 at 0.6. FineWeb (Penedo et al. 2024) and datatrove take 14 bands of 8, which is
0.92 at 0.8, and compare no signatures.

Memory: 13 bytes a document, or 25 with `keep="longest"`; beside it, what `memory` says. On disk `decide` needs twice
the size of the keys.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sensorium.data.dedup.buckets import HASHED, Buckets, repeats
from sensorium.data.dedup.clusters import Forest, join_alike
from sensorium.data.dedup.exact import DUPLICATE_OF, MEMORY, check_rows, spread
from sensorium.data.dedup.keyfiles import KeyFiles, Sources, Stored, marked
from sensorium.data.dedup.minhash import U32, agreement, band_hashes, packed, signatures, unpacked, whole_hashes
from sensorium.data.dedup.units import grams, units_of
from sensorium.data.stages import SOURCE, TEXT, Judged
from sensorium.errors import ConfigError

Ints = NDArray[np.int64]
SIGNATURE, UNITS, SIMILARITY = "signature", "units", "similarity"
_BANDED = np.dtype([("hash", "<u8"), ("row", "<i8")])
_DECIDED = pa.schema([(DUPLICATE_OF, pa.string()), (SIMILARITY, pa.float32())])


@dataclass(frozen=True, kw_only=True)
class NearDuplicates:
    """Drops all but one of each cluster of near-duplicates.

    A document of fewer than `ngram` units is alike only to one of the same units; one without any (empty, or nothing
    but punctuation) is left alone. The similarity that a reason tells is that of the signatures of the dropped document
    and of the one that stays: where others stand between the two, it may be below the threshold.

    Args:
        ngram: units (words, or Chinese, Japanese, Thai characters) of what documents are sets of.
        bands: into how many parts signatures are cut.
        rows: how many numbers a band has.
        threshold: share of two signatures that must agree. It estimates the Jaccard similarity s with a standard
            deviation of √(s(1-s)/(bands·rows)): 0.038 at 0.8, of which the default leaves room for two.
        keep: which document of a cluster stays: the first, or the longest in units (the first of those).
        seed: of the permutations.
        against: key files of earlier corpora, made with the same settings. Their documents stay; what hangs together
            with one of them is dropped.
        memory: bytes that `decide` keeps to, beside those above.
        name: of the stage, in reports.

    Raises:
        ConfigError: a number is out of range.
    """

    ngram: int = 5
    bands: int = 16
    rows: int = 7
    threshold: float = 0.72
    keep: Literal["first", "longest"] = "first"
    seed: int = 1
    against: tuple[Path, ...] = ()
    memory: int = field(default=MEMORY, repr=False)
    name: str = "near-duplicates"

    def __post_init__(self) -> None:
        if min(self.ngram, self.bands, self.rows) < 1 or not 0 < self.threshold <= 1:
            raise ConfigError(
                f"ngram is {self.ngram}, bands {self.bands}, rows {self.rows}, threshold {self.threshold}",
                where=self.name,
                fix="The first three must be at least 1, the threshold above 0 and at most 1",
            )
        if self.keep not in ("first", "longest"):
            raise ConfigError(f"keep is {self.keep!r}", where=self.name, fix='Say "first" or "longest"')

    @property
    def width(self) -> int:
        """Numbers of a signature."""
        return self.bands * self.rows

    @property
    def _made_by(self) -> str:
        return f"near-duplicates, 1, ngram={self.ngram}, permutations={self.width}, seed={self.seed}"

    def keys(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The signature, the number of units and the source of each document."""
        units = units_of(batch.column(TEXT))
        signed = signatures(grams(units, self.ngram), self.width, self.seed)
        lengths = pa.array(np.diff(units.offsets).astype(np.uint32))
        return marked({SIGNATURE: packed(signed), UNITS: lengths, SOURCE: batch.column(SOURCE)}, self._made_by)

    def decide(self, keys: Sequence[Path], out: Sequence[Path], scratch: Path) -> Mapping[str, int]:
        """Of each document that another stands for: which one does, and how similar it is."""
        files, sources = KeyFiles(self.against, keys, self._made_by), Sources(scratch)
        signed = Stored(scratch / "signatures", np.uint32, self.width)
        forest, counts = Forest(files.rows), Counter[str]()
        bands = self._read(files, sources, signed, forest, scratch)
        # Documents of equal signatures hang together already; the first of them stands for all.
        stands = forest.parents == np.arange(files.rows)
        needed = int(np.ceil(self.threshold * self.width - 1e-9))

        def alike(first: U32, second: U32) -> NDArray[np.bool_]:
            return agreement(first, second) >= needed

        for number in range(bands.count):
            records = [chunk[stands[chunk["row"]]] for chunk in bands.chunks(number, 1 << 18)]
            if records:
                bucket = np.concatenate(records)
                counts.update(join_alike(forest, bucket["hash"].copy(), bucket["row"].copy(), signed.take, alike))
            bands.drop(number)
        forest.flatten()
        keepers = self._keepers(files, forest)
        sizes = np.zeros(files.rows, np.int32)

        def decided(start: int, stop: int) -> dict[str, pa.Array]:
            rows, roots = np.arange(start, stop), forest.parents[start:stop]
            chosen = keepers[roots] if keepers is not None else roots
            np.add.at(sizes, roots, 1)
            gone = chosen != rows
            similar = np.zeros(len(rows), np.float32)
            similar[gone] = agreement(signed.take(rows[gone]), signed.take(chosen[gone])) / self.width
            named = sources.take(np.where(gone, chosen, -1))
            counts["near-duplicates"] += int(np.count_nonzero(gone))
            return {DUPLICATE_OF: named, SIMILARITY: pa.array(similar, mask=~gone)}

        files.write(out, _DECIDED, decided)
        sources.close()
        signed.close()
        counts["clusters"] = int(
            np.count_nonzero(sizes[files.earlier :] > 1) + np.count_nonzero(sizes[: files.earlier])
        )
        counts["documents of the largest cluster"] = int(sizes.max(initial=0))
        return {what: count for what, count in counts.items() if count or what != "groups cut short"}

    def _read(self, files: KeyFiles, sources: Sources, signed: Stored, forest: Forest, scratch: Path) -> Buckets:
        """Lay out sources and signatures on disk, join documents of equal signatures, and spread the bands."""
        whole = Buckets.for_hashes(scratch / "whole", HASHED, records=files.rows, memory=self.memory // 2)
        records = files.rows * self.bands
        bands = Buckets.for_hashes(scratch / "bands", _BANDED, records=records, memory=self.memory)
        for start, batch in files:
            sources.append(batch)
            values = unpacked(batch.column(SIGNATURE)).view("<u4")
            signed.append(values)
            some = np.flatnonzero(batch.column(UNITS).to_numpy())
            rows, hashes = start + some, band_hashes(values[some], self.bands)
            spread(whole, *whole_hashes(hashes), rows)
            banded = np.empty(hashes.size, _BANDED)
            banded["hash"], banded["row"] = hashes.reshape(-1), np.repeat(rows, self.bands)
            bands.add(banded, banded["hash"])
        sources.end()
        signed.end()
        for equal, first in repeats(whole):
            forest.parents[equal] = first
        return bands

    def _keepers(self, files: KeyFiles, forest: Forest) -> Ints | None:
        """The document that stays of each cluster, by the cluster's root; None where it is the root itself."""
        if self.keep == "first":
            return None
        longest = np.zeros(files.rows, np.uint32)
        for start, batch in files.present():
            roots = forest.parents[start : start + batch.num_rows]
            np.maximum.at(longest, roots, batch.column(UNITS).to_numpy())
        keepers = np.full(files.rows, files.rows, np.int64)
        keepers[: files.earlier] = np.arange(files.earlier)
        for start, batch in files.present():
            roots = forest.parents[start : start + batch.num_rows]
            best = batch.column(UNITS).to_numpy() == longest[roots]
            np.minimum.at(keepers, roots[best], start + np.flatnonzero(best))
        return keepers

    def apply(self, batch: pa.RecordBatch, decided: pa.RecordBatch) -> Judged:
        """Name the document that stands for each dropped one, and how similar the two are."""
        check_rows(batch.num_rows, decided)
        similar = pc.round(decided.column(SIMILARITY), 2).to_pylist()
        named = decided.column(DUPLICATE_OF).to_pylist()
        reasons = [
            None if name is None else f"near-duplicate: of {name}, similarity {share:.2f}"
            for name, share in zip(named, similar, strict=True)
        ]
        return Judged(batch, pa.array(reasons, pa.string()))
