"""One Transformer over the tokens of all modalities at once, as ViLT (Kim et al. 2021).

Unusual: nothing but the modality embedding tells modalities apart, as nothing tells a modality's tokens apart but what
they hold: `missing.Align` has added their positions. The CLS token's state is given as it is, without ViLT's pooler.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sensorium.core.dropout import Dropout
from sensorium.fusion.features.base import Fusion, FusionConfig, Tokens
from sensorium.fusion.features.layers import build_blocks, build_final_norm, everything

_STD = 0.02
"""Of the CLS token and the modality embeddings, as in ViLT."""


class SharedFusion(Fusion):
    """The final state of a CLS token after `layers` blocks over [CLS; x₁ + m₁; …; xₙ + mₙ], m modality embeddings."""

    def __init__(self, config: FusionConfig, tokens: Mapping[str, int]) -> None:
        super().__init__(config, tokens)
        self.cls = nn.Parameter(torch.empty(config.dim).normal_(0.0, _STD))
        self.modalities = nn.Parameter(torch.empty(len(self.tokens), config.dim).normal_(0.0, _STD))
        self.blocks = build_blocks(config)
        self.norm = build_final_norm(config)
        self.dropout = Dropout(config.dropout)

    def fuse(self, features: Sequence[Tokens]) -> Float[Tensor, "batch dim"]:
        parts = [x + own for x, own in zip(features, self.modalities, strict=True)]
        x = torch.cat((self.cls.expand(len(parts[0]), 1, -1), *parts), dim=1)
        return self.dropout(self.norm(self.blocks(x, everything())[:, 0]))  # type: ignore[no-any-return]
