"""The core's Transformer blocks, as fusions use them: on tokens that are there already, without a `Stack` to embed ids.

Unusual: keys have no bias. It would add the same to all scores of a query, which the softmax takes away again.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from sensorium.core.attention import Pass, Source
from sensorium.core.block import Block
from sensorium.core.config import AttentionConfig, BlockConfig, FeedForwardConfig, NormConfig
from sensorium.core.mask import MaskSpec
from sensorium.core.norm import build_norm
from sensorium.fusion.features.base import FusionConfig

NORM = NormConfig(kind="layernorm", eps=1e-5)


class Blocks(nn.ModuleList):
    """Blocks, one after another."""

    def forward(self, x: Float[Tensor, "batch seq dim"], run: Pass) -> Float[Tensor, "batch seq dim"]:
        for block in self:
            x = block(x, run)
        return x


def build_blocks(config: FusionConfig, *, cross: bool = False) -> Blocks:
    """`config.layers` blocks with their norms before the branches, and feed-forward networks of 4 dim.

    Args:
        config: the settings.
        cross: whether they read other tokens, too.
    """
    attention = AttentionConfig(
        n_heads=config.heads, n_kv_heads=config.heads, head_dim=config.dim // config.heads,
        q_bias=True, k_bias=False, v_bias=True, out_bias=True,
    )  # fmt: skip
    block = BlockConfig(
        attention=attention,
        cross=attention if cross else None,
        feedforward=FeedForwardConfig(
            width=4 * config.dim, activation="gelu", gated=False, bias=True, dropout=config.dropout
        ),
        norm=NORM,
        placement="pre",
        dropout=config.dropout,
    )
    return Blocks(Block(block, config.dim, layer) for layer in range(config.layers))


def build_final_norm(config: FusionConfig) -> nn.Module:
    """What ends a stack of such blocks."""
    return build_norm(NORM, config.dim)


def everything(read: Float[Tensor, "batch keys dim"] | None = None) -> Pass:
    """A pass in which every token sees every other, and all of what is read besides."""
    source = None if read is None else Source(MaskSpec(causal=False), read)
    return Pass({None: MaskSpec(causal=False)}, source=source)
