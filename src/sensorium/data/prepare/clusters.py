"""The largest clusters of near-duplicates, for the report: how many documents each has, which stays, some that go.

Read from what a comparer decided, not from the documents: each dropped one names the one that stays, so that counting
those names gives the sizes. Unusual: the names are counted by lossy counting (Manku & Motwani 2002), which holds a
bounded number of them; where there are more clusters, one whose documents lie far apart may be missed, but the sizes
told are exact.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sensorium.data.dedup.exact import DUPLICATE_OF
from sensorium.data.dedup.near import SIMILARITY
from sensorium.data.prepare.arrow import read_arrow
from sensorium.data.stages import SOURCE

if TYPE_CHECKING:
    import pyarrow as pa

LISTED = 20
"""Clusters that are told."""
EXAMPLES = 3
"""Dropped documents that are named of each."""
HELD = 1 << 18
"""Clusters that are counted at a time."""


def largest(keys: Sequence[Path], decided: Sequence[Path], count: int = LISTED) -> list[dict[str, Any]]:
    """The clusters with the most documents.

    Args:
        keys: what documents were compared by, with their sources.
        decided: what was decided of them, file for file, batch for batch.
        count: clusters to tell.

    Returns:
        Of each its `size` with the document that stays, the source of that one (`kept`), and the sources of some of the
        others (`examples`), largest first. None where the decisions are not those of a search for near-duplicates.
    """
    names = list(_ranked(_sizes(decided), count))
    examples: dict[str, list[str]] = {name: [] for name in names}
    sizes = Counter[str]()
    for of_keys, path in zip(keys, decided, strict=True):
        for number, (gone, kept) in enumerate(_among(path, names)):
            sizes.update(kept)
            wanted = [(row, name) for row, name in zip(gone, kept, strict=True) if len(examples[name]) < EXAMPLES]
            if wanted:
                sources = _batch(of_keys, number).column(SOURCE)
                for row, name in wanted:
                    if len(examples[name]) < EXAMPLES:
                        examples[name].append(sources[row].as_py())
    return [
        {"size": size + 1, "kept": name, "examples": examples[name]} for name, size in _ranked(sizes, count).items()
    ]


def _sizes(decided: Sequence[Path]) -> Counter[str]:
    """How many documents are dropped for each that stays."""
    import pyarrow.compute as pc

    sizes = Counter[str]()
    for path in decided:
        for batch in read_arrow(path):
            if not {DUPLICATE_OF, SIMILARITY} <= set(batch.schema.names):
                return Counter()
            counted = pc.value_counts(batch.column(DUPLICATE_OF).drop_null())
            sizes.update(dict(zip(*(counted.field(place).to_pylist() for place in (0, 1)), strict=True)))
            if len(sizes) > HELD:
                sizes = Counter(_ranked(sizes, HELD // 2))
    return sizes


def _among(path: Path, names: Sequence[str]) -> Iterator[tuple[list[int], list[str]]]:
    """Of each batch the rows that are dropped for one of some documents, and for which."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not names:
        return
    for batch in read_arrow(path):
        kept = batch.column(DUPLICATE_OF)
        rows = pc.indices_nonzero(pc.is_in(kept, value_set=pa.array(names, kept.type)))
        yield rows.to_pylist(), kept.take(rows).to_pylist()


def _batch(path: Path, number: int) -> pa.RecordBatch:
    import pyarrow as pa

    with pa.OSFile(str(path), "rb") as source, pa.ipc.open_file(source) as reader:
        return reader.get_batch(number)


def _ranked(sizes: Mapping[str, int], count: int) -> dict[str, int]:
    """The largest, and of those of one size the first by name."""
    return dict(heapq.nsmallest(count, sizes.items(), key=lambda item: (-item[1], item[0])))
