"""Heads: hidden states to logits. They are called on the positions that are needed, never on all by habit."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sensorium.core.config import FeatureConfig, LanguageHeadConfig
from sensorium.core.dropout import Dropout
from sensorium.core.feedforward import ACTIVATIONS
from sensorium.core.linear import Linear, linear
from sensorium.core.norm import build_norm

LanguageInputs = tuple[Float[Tensor, "*rows dim"], Float[Tensor, "vocab dim"], Float[Tensor, " vocab"] | None]


class LanguageHead(nn.Module):
    """Vocabulary logits: BERT's transform where it has one, then the output matrix and bias.

    When tied the output matrix is the embedding's: it is handed in and not a parameter here.
    """

    def __init__(self, config: LanguageHeadConfig, dim: int, vocab_size: int) -> None:
        super().__init__()
        self.scale = config.scale
        self.activation = ACTIVATIONS[config.transform] if config.transform else None
        self.dense = Linear(dim, dim, bias=config.transform_bias) if config.transform else None
        self.norm = build_norm(config.norm, dim) if config.norm else None
        self.output = None if config.tied else Linear(dim, vocab_size, bias=False)
        self.bias = nn.Parameter(torch.zeros(vocab_size)) if config.bias else None

    def features(self, hidden: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        """What the output matrix multiplies."""
        if self.dense is not None and self.activation is not None:
            hidden = self.activation(self.dense(hidden))
        if self.norm is not None:
            hidden = self.norm(hidden)
        return hidden if self.scale == 1.0 else hidden * self.scale

    def matrix(self, embedding: Float[Tensor, "vocab dim"]) -> Float[Tensor, "vocab dim"]:
        """The output matrix: the embedding's if tied, its own otherwise."""
        return embedding if self.output is None else self.output.weight

    def forward(
        self, hidden: Float[Tensor, "*rows dim"], embedding: Float[Tensor, "vocab dim"]
    ) -> Float[Tensor, "*rows vocab"]:
        return linear(self.features(hidden), self.matrix(embedding), self.bias)


class Features(nn.Module):
    """What the outputs for spans, tags and classes read."""

    def __init__(self, config: FeatureConfig, dim: int) -> None:
        super().__init__()
        self.input_dropout = Dropout(config.input_dropout)
        self.activation = ACTIVATIONS[config.transform] if config.transform else None
        self.dense = Linear(dim, dim, bias=config.bias) if config.transform else None
        self.norm = build_norm(config.norm, dim) if config.norm else None
        self.dropout = Dropout(config.dropout)

    def forward(self, hidden: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        hidden = self.input_dropout(hidden)
        if self.dense is not None and self.activation is not None:
            hidden = self.activation(self.dense(hidden))
        if self.norm is not None:
            hidden = self.norm(hidden)
        return self.dropout(hidden)  # type: ignore[no-any-return]


def first_or_mean(
    hidden: Float[Tensor, "batch seq dim"],
    pooling: Literal["first", "mean", "pooler"],
    *,
    valid: Bool[Tensor, "batch seq"] | None = None,
    lengths: tuple[int, ...] | None = None,
) -> Float[Tensor, "sequences dim"]:
    """One vector a sequence.

    Args:
        hidden: padded, or one row of sequences laid end to end.
        pooling: "mean" takes the mean of each one's valid tokens, the others its first valid token.
        valid: False at padding.
        lengths: of the sequences that lie end to end.
    """
    if lengths is not None:
        parts = torch.split(hidden[0], list(lengths))
        return torch.stack([part.mean(0) if pooling == "mean" else part[0] for part in parts])
    if valid is None:
        return hidden.mean(1) if pooling == "mean" else hidden[:, 0]
    if pooling != "mean":
        return hidden[torch.arange(len(hidden), device=hidden.device), valid.int().argmax(1)]
    # A row without a single valid token gives zeros.
    return (hidden * valid[..., None]).sum(1) / valid.sum(1, keepdim=True).clamp(min=1)
