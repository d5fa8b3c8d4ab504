"""Several continuations of one sequence in one row: a beam search's hypotheses as the branches of a tree.

The new tokens of a row stand at one position, side by side, and their keys are added to the row's cache one after
another. A mask says which of the cached tokens are on the way to each branch. So branches share what they have in
common, and re-ordering them moves no keys or values, only rows of the mask.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sensorium.core.mask import MaskSpec
from sensorium.core.relative import RelativeBias


@dataclass(frozen=True, eq=False)
class Tree:
    """The branches of every row before a step; the new tokens' keys are the last ones."""

    depth: int
    """Position of the new tokens."""
    depths: Int[Tensor, "batch keys"]
    """Position of every token that the cache will hold."""
    allowed: Bool[Tensor, "batch branches keys"]
    """Which of them each branch descends from."""

    def spec(self) -> MaskSpec:
        """The mask of the step."""
        return MaskSpec(causal=False, allowed=self.allowed)

    def positions(self, ids: Int[Tensor, "batch branches"]) -> Int[Tensor, "batch branches"]:
        """Of the new tokens."""
        return torch.full_like(ids, self.depth)

    def bias(self, relative: RelativeBias) -> Float[Tensor, "batch heads branches keys"]:
        """What relative positions add to the scores."""
        by_depth = relative.bias(1, self.depth + 1, past=self.depth)[0, :, 0]
        by_key = by_depth[:, self.depths].transpose(0, 1)[:, :, None]
        return by_key.expand(-1, -1, self.allowed.shape[1], -1)
