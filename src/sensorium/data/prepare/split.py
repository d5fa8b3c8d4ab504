"""Which documents are held out: those whose hash is low. A text falls on the same side whatever stands around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sensorium.data.prepare.segment import HASH

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Splitter:
    """Tells the held-out documents.

    Args:
        limit: hashes below it are held out, of 2**64.
        turned: unit and row of a document that falls on the other side, so that neither side is empty.
    """

    limit: int
    turned: tuple[int, int] | None = None

    def held_out(self, batch: pa.RecordBatch, unit: int, first: int) -> NDArray[np.bool_]:
        """Which documents of a batch are held out.

        Args:
            batch: of a unit's documents.
            unit: its number.
            first: how many documents of the unit came before the batch.
        """
        held = batch.column(HASH).to_numpy() < np.uint64(self.limit)
        if self.turned is not None and self.turned[0] == unit and first <= self.turned[1] < first + len(held):
            row = self.turned[1] - first
            held[row] = not held[row]
        return np.asarray(held, np.bool_)


def splitter(share: float, units: Sequence[tuple[int, dict[str, Any]]]) -> Splitter:
    """How to split.

    Args:
        share: of the documents that are held out.
        units: number and extreme hashes of each unit (`lowest`, `highest`: hash and row) that has documents.
    """
    limit, documents = int(share * 2**64), sum(told["documents"] for _, told in units)
    if not share or documents < 2:
        return Splitter(0)
    # A handful of documents may all fall on one side: then the extreme one changes over; of equals the first.
    lowest, low = min(((told["split"]["lowest"], unit) for unit, told in units), key=lambda found: found[0][0])
    if lowest[0] >= limit:
        return Splitter(limit, (low, lowest[1]))
    highest, high = max(((told["split"]["highest"], unit) for unit, told in units), key=lambda found: found[0][0])
    return Splitter(limit, (high, highest[1]) if highest[0] < limit else None)
