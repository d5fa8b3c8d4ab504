"""A resampler: many vectors in, few out, by learned queries that read them.

Each block lets the queries attend to one another, then to what they read, then through a feed-forward network, as the
Q-Former of BLIP-2 does (Li et al. 2023); the idea of a fixed number of learned queries is Perceiver's (Jaegle et al.
2021) and Flamingo's (Alayrac et al. 2022). Unusual: it is nothing but a `Trunk` whose blocks have cross-attention.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sensorium.core.attention import Source
from sensorium.core.config import AttentionConfig, BlockConfig, FeedForwardConfig, NormConfig, TrunkConfig
from sensorium.core.linear import Linear
from sensorium.core.mask import MaskSpec
from sensorium.core.norm import build_norm
from sensorium.core.stack import Trunk
from sensorium.errors import ConfigError

_NORM = NormConfig(kind="layernorm", eps=1e-6)


@dataclass(frozen=True, kw_only=True, slots=True)
class ResamplerConfig:
    """How many vectors come out, and how they are made."""

    queries: int
    """Vectors that come out of one input, whatever its length."""
    layers: int = 1
    heads: int = 8
    width: int = 4
    """The feed-forward network's width over the vectors'."""

    def __post_init__(self) -> None:
        if min(self.queries, self.layers, self.heads, self.width) < 1:
            raise ConfigError("a resampler has at least one query, layer and head")


class Resampler(nn.Module):
    """Vectors of one width to a fixed number of vectors of another."""

    def __init__(self, config: ResamplerConfig, read: int, dim: int) -> None:
        """Args:
        config: its size.
        read: width of what it reads.
        dim: width of what comes out.

        Raises:
            ConfigError: the heads do not divide `dim`.
        """
        super().__init__()
        self.config = config
        self.read = Linear(read, dim)
        self.read_norm = build_norm(_NORM, dim)
        self.queries = nn.Parameter(torch.randn(config.queries, dim) * 0.02)
        self.trunk = Trunk(_trunk(config, dim), nn.Identity())
        self.out = Linear(dim, dim)

    def forward(self, features: Float[Tensor, "batch seq read"]) -> Float[Tensor, "batch queries dim"]:
        read = self.read_norm(self.read(features))
        queries = self.queries.to(read.dtype).expand(len(features), -1, -1)
        out: Tensor = self.out(self.trunk.run(queries, source=Source(MaskSpec(causal=False), read)))
        return out


def _trunk(config: ResamplerConfig, dim: int) -> TrunkConfig:
    if dim % config.heads:
        raise ConfigError(
            f"a width of {dim} is not a multiple of the resampler's {config.heads} heads", fix="Choose other heads"
        )
    attention = AttentionConfig(
        n_heads=config.heads, n_kv_heads=config.heads, head_dim=dim // config.heads,
        q_bias=True, k_bias=True, v_bias=True, out_bias=True,
    )  # fmt: skip
    block = BlockConfig(
        attention=attention,
        cross=attention,
        feedforward=FeedForwardConfig(width=config.width * dim, activation="gelu", gated=False, bias=True),
        norm=_NORM,
        placement="pre",
    )
    return TrunkConfig(dim=dim, blocks=(block,) * config.layers, causal=False, final_norm=_NORM)
