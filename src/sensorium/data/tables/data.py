"""The rows of a table as a model learns from them: what the training loop takes for a split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64

from sensorium.data.tables.batch import FusedBatch
from sensorium.data.tables.senses import Augment, SenseRows


@dataclass(frozen=True, eq=False)
class FusedData:
    """Some rows of a table.

    Args:
        senses: by modality, of all rows of the table.
        targets: of all rows; see `TargetSpec.encode`.
        rows: which of them these are.
        augment: how they are changed at random; None leaves them as they are.
    """

    senses: Mapping[str, SenseRows]
    targets: Float64[np.ndarray, "all outputs"]
    rows: Int64[np.ndarray, " rows"]
    augment: Augment | None = None
    plain: Augment = field(default=Augment(), init=False, repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def n_tokens(self) -> int:
        """Rows: what a fused model learns from."""
        return len(self.rows)

    @property
    def n_bytes(self) -> int:
        """No text is predicted."""
        return 0

    def head(self, tokens: int) -> FusedData:
        """The first rows, so many; at least one."""
        return replace(self, rows=self.rows[: max(1, tokens)])

    def select(self, rows: Int64[np.ndarray, " _"]) -> FusedData:
        """Other rows of the table, without augmentation."""
        return replace(self, rows=rows, augment=None)

    def batch(self, places: Int64[np.ndarray, " batch"], *, seed: int | None = None) -> FusedBatch:
        """Rows by their place among these; changed at random if there is a seed and a way."""
        rows = self.rows[places]
        generator = None
        if seed is not None and self.augment is not None:
            generator = torch.Generator().manual_seed(seed)
        inputs = {name: sense.input(rows, self.augment or self.plain, generator) for name, sense in self.senses.items()}
        return FusedBatch(inputs, torch.from_numpy(self.targets[rows]).float(), seed or 0)

    def batches(self, size: int) -> Iterator[FusedBatch]:
        """All rows in their order, as they are."""
        for start in range(0, len(self), size):
            yield replace(self, augment=None).batch(np.arange(start, min(start + size, len(self))))

    def present(self) -> dict[str, Bool[np.ndarray, " rows"]]:
        """In which rows each modality is there."""
        return {name: sense.present[self.rows] for name, sense in self.senses.items()}
