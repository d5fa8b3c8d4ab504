"""Heads: hidden states to logits. They are called on the positions that are needed, never on all by habit."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sensorium.core.config import LanguageHeadConfig
from sensorium.core.feedforward import ACTIVATIONS
from sensorium.core.linear import Linear, linear
from sensorium.core.norm import build_norm


class LanguageHead(nn.Module):
    """Vocabulary logits: BERT's transform where it has one, then the output matrix and bias.

    When tied the output matrix is the embedding's: it is handed in and not a parameter here.
    """

    def __init__(self, config: LanguageHeadConfig, dim: int, vocab_size: int) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.transform] if config.transform else None
        self.dense = Linear(dim, dim) if config.transform else None
        self.norm = build_norm(config.norm, dim) if config.norm else None
        self.output = None if config.tied else Linear(dim, vocab_size, bias=False)
        self.bias = nn.Parameter(torch.zeros(vocab_size)) if config.bias else None

    def features(self, hidden: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """What the output matrix multiplies."""
        if self.dense is not None and self.activation is not None:
            hidden = self.activation(self.dense(hidden))
        return hidden if self.norm is None else self.norm(hidden)

    def matrix(self, embedding: Float[Tensor, "vocab dim"]) -> Float[Tensor, "vocab dim"]:
        """The output matrix: the embedding's if tied, its own otherwise."""
        return embedding if self.output is None else self.output.weight

    def forward(
        self, hidden: Float[Tensor, "*rows dim"], embedding: Float[Tensor, "vocab dim"]
    ) -> Float[Tensor, "*rows vocab"]:
        return linear(self.features(hidden), self.matrix(embedding), self.bias)
