"""A sample of what was dropped: of each stage and rule the documents whose hash is lowest, so many of them.

Which those are depends on the documents alone, so that samples of units add up to the sample of all, in any order. Of
what is contaminated all are kept, since a user must be able to check what training does not see: beyond the sample
with a short excerpt.
"""

from __future__ import annotations

import heapq
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import xxhash

from sensorium.data.prepare.account import rule_of

if TYPE_CHECKING:
    import pyarrow as pa

KEPT = 200
"""Documents kept of each stage and rule."""
EXCERPT = 2000
"""Characters kept of each."""
WHOLE = ("contaminated",)
"""Rules of which every document is kept."""
SHORT = 200
"""Characters kept of those beyond the first `KEPT`."""
RULES = 100
"""Rules of a stage that have samples."""


class Dropped(NamedTuple):
    """A document that was dropped."""

    stage: str
    rule: str
    reason: str
    source: str
    characters: int
    excerpt: str


class DroppedSample:
    """Gathers samples; what is held is bounded, whatever is dropped, but for rules that are kept whole."""

    def __init__(self) -> None:
        self._heaps: dict[tuple[str, str], list[tuple[int, Dropped]]] = {}
        self._beyond: list[tuple[int, Dropped]] = []
        self._rules: dict[str, int] = {}

    def add(self, stage: str, reason: str, source: str, text: str) -> str:
        """Take a document into account; returns the rule that it is counted under."""
        rule = rule_of(reason)
        rank = xxhash.xxh3_64_intdigest(f"{source}\n{reason}".encode("utf-8", "surrogatepass"))
        if self._wanted(stage, rule, rank):
            self._put(rank, Dropped(stage, rule, reason, source, len(text), text[:EXCERPT]))
        return rule

    def add_table(self, table: pa.Table) -> None:
        """Take another sample in, as `table` gave it."""
        for row in table.to_pylist():
            rank = row.pop("rank")
            if self._wanted(row["stage"], row["rule"], rank):
                self._put(rank, Dropped(**row))

    def table(self) -> pa.Table:
        """The sample, ordered by stage, rule and hash."""
        import pyarrow as pa

        rows = [(-rank, kept) for heap in [*self._heaps.values(), self._beyond] for rank, kept in heap]
        rows.sort(key=lambda row: (row[1].stage, row[1].rule, row[0], row[1]))
        columns = {name: pa.array([kept[i] for _, kept in rows], kind) for i, (name, kind) in enumerate(_types())}
        return pa.table({**columns, "rank": pa.array([rank for rank, _ in rows], pa.uint64())})

    def write(self, path: Path) -> None:
        """Write the sample as Parquet."""
        import pyarrow.parquet as pq

        pq.write_table(self.table().drop_columns(["rank"]), path, compression="zstd")

    def _wanted(self, stage: str, rule: str, rank: int) -> bool:
        if rule in WHOLE:
            return True
        heap = self._heaps.get((stage, rule))
        if heap is None:
            return self._rules.get(stage, 0) < RULES
        return len(heap) < KEPT or rank < -heap[0][0]

    def _put(self, rank: int, dropped: Dropped) -> None:
        heap = self._heaps.get((dropped.stage, dropped.rule))
        if heap is None:
            heap = self._heaps[dropped.stage, dropped.rule] = []
            self._rules[dropped.stage] = self._rules.get(dropped.stage, 0) + 1
        if len(heap) < KEPT:
            heapq.heappush(heap, (-rank, dropped))
            return
        order, last = heapq.heappushpop(heap, (-rank, dropped))
        if last.rule in WHOLE:
            self._beyond.append((order, last._replace(excerpt=last.excerpt[:SHORT])))


def _types() -> list[tuple[str, pa.DataType]]:
    import pyarrow as pa

    text, number = pa.string(), pa.int64()
    return [("stage", text), ("rule", text), ("reason", text), ("source", text), ("characters", number),
            ("excerpt", text)]  # fmt: skip
