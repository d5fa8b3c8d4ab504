"""Gated multimodal units (Arevalo et al. 2017): learned gates say, feature by feature, which modality is heard.

Unusual: the gates are a softmax over the modalities. For two it is the paper's unit, σ(W [v₁, v₂]) and one minus it;
the paper draws independent gates for more, but gives no equations of them. Gates that sum to 1 say who was heard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sensorium.core.dropout import Dropout
from sensorium.core.linear import Linear
from sensorium.fusion.features.base import Features, Fusion, FusionConfig, Tokens, means


class GatedFusion(Fusion):
    """Σᵢ zᵢ ∘ tanh(Wᵢ vᵢ + bᵢ), with z the softmax over modalities of U [v₁, …, vₙ] + c; v a modality's mean token."""

    def __init__(self, config: FusionConfig, tokens: Mapping[str, int]) -> None:
        super().__init__(config, tokens)
        n = len(self.tokens)
        self.hidden = nn.ModuleList(Linear(config.dim, config.dim) for _ in range(n))
        self.gate = Linear(n * config.dim, n * config.dim)
        self.dropout = Dropout(config.dropout)

    def fuse(self, features: Sequence[Tokens]) -> Float[Tensor, "batch dim"]:
        vectors = means(features)
        heard = torch.stack([torch.tanh(layer(v)) for layer, v in zip(self.hidden, vectors, strict=True)], dim=1)
        return self.dropout((self._gates(vectors) * heard).sum(1))  # type: ignore[no-any-return]

    def gates(self, features: Features) -> Float[Tensor, "batch modalities dim"]:
        """How much of each modality is heard, feature by feature; sums to 1 over modalities, in the order of `names`.

        Raises:
            CapabilityError: as `forward`.
        """
        return self._gates(means(self._checked(features)))

    def _gates(self, vectors: Sequence[Float[Tensor, "batch dim"]]) -> Float[Tensor, "batch modalities dim"]:
        scores: Tensor = self.gate(torch.cat(list(vectors), dim=1))
        return scores.view(len(scores), len(vectors), self.config.dim).softmax(1)
