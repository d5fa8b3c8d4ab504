"""Cross-attention between modalities, as in MulT (Tsai et al. 2019): the tokens of each look at those of all others.

Unusual: MulT has a stack for each ordered pair of modalities, and self-attention after them. Here each modality has
one stack that reads all others at once, whose blocks are the core's: self-attention, cross-attention, feed-forward. As
in MulT, all layers read the others' tokens as they came in, and the results are concatenated.

With one token a modality there is little to attend to: of two such modalities, queries and keys cannot learn at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sensorium.core.dropout import Dropout
from sensorium.core.linear import Linear
from sensorium.fusion.features.base import Fusion, FusionConfig, Tokens
from sensorium.fusion.features.layers import build_blocks, build_final_norm, everything


class CrossFusion(Fusion):
    """out([p₁, …, pₙ]), p the mean over a modality's tokens after `layers` blocks that read all other modalities."""

    least = 2

    def __init__(self, config: FusionConfig, tokens: Mapping[str, int]) -> None:
        super().__init__(config, tokens)
        n = len(self.tokens)
        self.stacks = nn.ModuleList(build_blocks(config, cross=True) for _ in range(n))
        self.norms = nn.ModuleList(build_final_norm(config) for _ in range(n))
        self.out = Linear(n * config.dim, config.dim)
        self.dropout = Dropout(config.dropout)

    def fuse(self, features: Sequence[Tokens]) -> Float[Tensor, "batch dim"]:
        pooled = []
        for i, x in enumerate(features):
            run = everything(read=torch.cat([other for j, other in enumerate(features) if j != i], dim=1))
            pooled.append(self.norms[i](self.stacks[i](x, run)).mean(1))
        return self.out(self.dropout(torch.cat(pooled, dim=1)))  # type: ignore[no-any-return]
