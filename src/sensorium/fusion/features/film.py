"""Feature-wise linear modulation (Perez et al. 2018): one modality scales and shifts the features of another.

Unusual: the paper has one modality conditioned by one other. Here each is conditioned by the mean of all others, and
the results are averaged. LayerNorm without weights stands where the paper has batch normalisation without them, so
that rows do not depend on one another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sensorium.core.dropout import Dropout
from sensorium.core.linear import Linear
from sensorium.fusion.features.base import Fusion, FusionConfig, Tokens, mean_of, means


class FiLMFusion(Fusion):
    """out(meanᵢ mean over tokens of relu((1 + γᵢ) ∘ norm(Wᵢ xᵢ) + βᵢ)), with [γᵢ, βᵢ] = Fᵢ · (mean of vⱼ, j ≠ i).

    x are a modality's tokens, v their mean. As in the paper's code, γ is learned as a distance from 1.
    """

    least = 2

    def __init__(self, config: FusionConfig, tokens: Mapping[str, int]) -> None:
        super().__init__(config, tokens)
        n, dim = len(self.tokens), config.dim
        self.inner = nn.ModuleList(Linear(dim, dim) for _ in range(n))
        self.film = nn.ModuleList(Linear(dim, 2 * dim) for _ in range(n))
        self.out = Linear(dim, dim)
        self.dropout = Dropout(config.dropout)

    def fuse(self, features: Sequence[Tokens]) -> Float[Tensor, "batch dim"]:
        vectors = torch.stack(means(features))
        others = (vectors.sum(0) - vectors) / (len(vectors) - 1)
        heard = []
        for x, other, inner, film in zip(features, others, self.inner, self.film, strict=True):
            gamma, beta = film(other)[:, None].chunk(2, dim=-1)
            normed = F.layer_norm(inner(x), (self.config.dim,))
            heard.append(F.relu((1 + gamma) * normed + beta).mean(1))
        return self.out(self.dropout(mean_of(heard)))  # type: ignore[no-any-return]
