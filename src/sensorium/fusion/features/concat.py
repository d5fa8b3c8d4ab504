"""Concatenation and a network of one hidden layer over it (Ngiam et al. 2011): the baseline of all fusions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sensorium.core.dropout import Dropout
from sensorium.core.linear import Linear
from sensorium.fusion.features.base import Fusion, FusionConfig, Tokens, means


class ConcatFusion(Fusion):
    """down(dropout(gelu(up([v₁, …, vₙ])))), v a modality's mean token; the hidden layer has 2 dim features.

    Taken from the paper: the joint layer over concatenated features. Its autoencoder pre-training is not done.
    """

    def __init__(self, config: FusionConfig, tokens: Mapping[str, int]) -> None:
        super().__init__(config, tokens)
        self.up = Linear(len(self.tokens) * config.dim, 2 * config.dim)
        self.down = Linear(2 * config.dim, config.dim)
        self.dropout = Dropout(config.dropout)

    def fuse(self, features: Sequence[Tokens]) -> Float[Tensor, "batch dim"]:
        joined = torch.cat(means(features), dim=1)
        return self.down(self.dropout(F.gelu(self.up(joined))))  # type: ignore[no-any-return]
