"""A batch of rows of several modalities.

Unusual: of a modality only the rows are held in which it is there. An encoder never sees a placeholder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor


@dataclass(frozen=True, eq=False)
class SenseInput:
    """One modality of a batch.

    Args:
        values: of the rows in which it is there. Pictures and sounds as `ImageSpec` and `log_mel` make them: float
            "present 3 height width", "present mels frames"; clips "present frames 3 height width"; texts token ids
            "present seq"; numbers "present width", see `NumbersSpec.encode`.
        present: in which rows it is there.
        valid: of texts, False at padding.
    """

    values: Shaped[Tensor, "present ..."]
    present: Bool[Tensor, " batch"]
    valid: Bool[Tensor, "present seq"] | None = None

    def to(self, device: torch.device | str) -> SenseInput:
        valid = None if self.valid is None else self.valid.to(device)
        return SenseInput(self.values.to(device), self.present.to(device), valid)

    def without(self, gone: Bool[Tensor, " batch"]) -> SenseInput:
        """The same, but it is not there in these rows."""
        kept = ~gone[self.present]
        valid = None if self.valid is None else self.valid[kept]
        return SenseInput(self.values[kept], self.present & ~gone, valid)


Inputs = Mapping[str, SenseInput]


@dataclass(frozen=True, eq=False)
class FusedBatch:
    """Rows to learn from or to measure by.

    Args:
        inputs: by modality.
        targets: weights over classes, 0 and 1 of each label, or amounts in units of their deviation.
        seed: of what is drawn for this batch in training.
    """

    inputs: Inputs
    targets: Float[Tensor, "batch outputs"]
    seed: int = 0

    @property
    def tokens(self) -> int:
        """Rows: what a batch's budget is told in."""
        return len(self.targets)

    def only(self, names: frozenset[str]) -> FusedBatch:
        """The same rows, in which no modality is there but these."""
        inputs = {
            name: one if name in names else one.without(torch.ones_like(one.present))
            for name, one in self.inputs.items()
        }
        return replace(self, inputs=inputs)
