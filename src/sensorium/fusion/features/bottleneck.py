"""Attention bottlenecks, MBT (Nagrani et al. 2021): modalities exchange through a few shared tokens and nothing else.

Each modality has blocks of its own over its tokens and the bottleneck tokens. After each layer a bottleneck token is
the mean of what the modalities made of it. So what one modality says reaches another a layer later, condensed.

Unusual: the paper's encoders fuse in their last layers; here all layers fuse, for the encoders have run before. A
modality's vector is the mean of its tokens rather than a CLS token's; over modalities they are averaged, as there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sensorium.core.dropout import Dropout
from sensorium.errors import ConfigError
from sensorium.fusion.features.base import Fusion, FusionConfig, Tokens, mean_of
from sensorium.fusion.features.layers import build_blocks, build_final_norm, everything

_STD = 0.02
"""Of the bottleneck tokens, as ViT's tokens begin."""


class BottleneckFusion(Fusion):
    """The mean over modalities of their pooled tokens, after `layers` layers of exchange.

    Raises:
        ConfigError: there is but one layer, after which nothing would have been exchanged.
    """

    def __init__(self, config: FusionConfig, tokens: Mapping[str, int]) -> None:
        super().__init__(config, tokens)
        if config.layers < 2:
            raise ConfigError(
                "fusion of kind 'bottleneck' with one layer would exchange nothing",
                where="fusion",
                fix="Set layers to 2 or more: one fills the bottleneck tokens, the next reads them",
            )
        n = len(self.tokens)
        self.stacks = nn.ModuleList(build_blocks(config) for _ in range(n))
        self.norms = nn.ModuleList(build_final_norm(config) for _ in range(n))
        self.bottlenecks = nn.Parameter(torch.empty(config.bottlenecks, config.dim).normal_(0.0, _STD))
        self.dropout = Dropout(config.dropout)

    def fuse(self, features: Sequence[Tokens]) -> Float[Tensor, "batch dim"]:
        shared = self.bottlenecks.expand(len(features[0]), -1, -1)
        streams = list(features)
        for layer in range(self.config.layers):
            streams, shared = self.exchange(layer, streams, shared)
        pooled = [norm(x).mean(1) for norm, x in zip(self.norms, streams, strict=True)]
        return self.dropout(mean_of(pooled))  # type: ignore[no-any-return]

    def exchange(
        self, layer: int, streams: Sequence[Tokens], shared: Float[Tensor, "batch bottlenecks dim"]
    ) -> tuple[list[Tokens], Float[Tensor, "batch bottlenecks dim"]]:
        """One layer: each modality's tokens after it, in the order of `names`, and the bottleneck tokens."""
        run, out, made = everything(), [], []
        for stack, x in zip(self.stacks, streams, strict=True):
            both = stack[layer](torch.cat((x, shared), dim=1), run)  # type: ignore[index]
            out.append(both[:, : x.shape[1]])
            made.append(both[:, x.shape[1] :])
        return out, mean_of(made)
