"""Low-rank multimodal fusion (Liu et al. 2018): the product of every feature of every modality, never built.

The full fusion (Zadeh et al. 2017) multiplies the tensor [v₁; 1] ⊗ … ⊗ [vₙ; 1] by a weight of (dim + 1)ⁿ · dim numbers.
A weight of rank r factorises, and so does the product: its cost grows with n · r, no more with the power of n.

Unusual: the 1 that the paper appends to each vector is the bias of a linear map, and is written as that. Biases begin
at 1, so that each modality alone gets through a product of many, as it does in the full tensor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sensorium.core.dropout import Dropout
from sensorium.core.linear import Linear
from sensorium.fusion.features.base import Fusion, FusionConfig, Tokens, means


class LowRankFusion(Fusion):
    """Σᵣ wᵣ ∘ᵢ (Fᵢᵣ [vᵢ; 1]) + b, where ∘ᵢ multiplies over modalities and v is a modality's mean token.

    The weights w are of the authors' code. They begin as ± 1 / √rank, so that the products of the biases cancel out.
    """

    def __init__(self, config: FusionConfig, tokens: Mapping[str, int]) -> None:
        super().__init__(config, tokens)
        n, dim, rank = len(self.tokens), config.dim, config.rank
        factors = [Linear(dim, rank * dim) for _ in range(n)]
        signs = 1.0 - 2.0 * (torch.arange(rank) % 2)
        self.weights = nn.Parameter(signs / math.sqrt(rank))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.dropout = Dropout(config.dropout)
        for factor in factors:
            # Features of variance 1 give a product of n factors the variance (1 + 1/n)ⁿ - 1 < e - 1 about its mean.
            nn.init.normal_(factor.weight, std=1 / math.sqrt(n * dim))
            nn.init.ones_(factor.bias)
        self.factors = nn.ModuleList(factors)

    def fuse(self, features: Sequence[Tokens]) -> Float[Tensor, "batch dim"]:
        product: Tensor | None = None
        for factor, vector in zip(self.factors, means(features), strict=True):
            scaled = factor(vector).unflatten(1, (self.config.rank, self.config.dim))
            product = scaled if product is None else product * scaled
        return self.dropout(torch.einsum("r,brd->bd", self.weights, product) + self.bias)  # type: ignore[no-any-return]
