"""One Transformer block: attention and feed-forward, each a residual, with its norm before or after.

A decoder's block that reads an encoder has cross-attention between the two, a residual of the same form.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from sensorium.core.attention import Attention, Pass
from sensorium.core.config import BlockConfig
from sensorium.core.cross import CrossAttention
from sensorium.core.dropout import Dropout
from sensorium.core.feedforward import FeedForward
from sensorium.core.norm import build_norm


class Block(nn.Module):
    """Both placements of the norm in one class (Xiong et al. 2020):

    pre:   x ─┬─ norm ─ attention ─ + ─┬─ norm ─ feed-forward ─ + ─
              └─────────────────────┘  └────────────────────────┘
    post:  x ─┬─ attention ─ + ─ norm ─┬─ feed-forward ─ + ─ norm ─
              └──────────────┘         └─────────────────┘
    """

    def __init__(self, config: BlockConfig, dim: int, layer: int) -> None:
        super().__init__()
        self.config = config
        self.pre = config.placement == "pre"
        self.attention = Attention(config.attention, dim, layer)
        self.attention_norm = build_norm(config.norm, dim) if config.attention_norm else nn.Identity()
        self.cross = CrossAttention(config.cross, dim, layer) if config.cross else None
        self.cross_norm = build_norm(config.norm, dim) if config.cross else None
        self.feedforward = FeedForward(config.feedforward, dim)
        self.feedforward_norm = build_norm(config.norm, dim)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "batch seq dim"], run: Pass) -> Float[Tensor, "batch seq dim"]:
        if self.pre:
            x = x + self.dropout(self.attention(self.attention_norm(x), run))
            if self.cross is not None and self.cross_norm is not None:
                x = x + self.dropout(self.cross(self.cross_norm(x), run))
            x = x + self.dropout(self.feedforward(self.feedforward_norm(x)))
        else:
            x = self.attention_norm(x + self.dropout(self.attention(x, run)))
            if self.cross is not None and self.cross_norm is not None:
                x = self.cross_norm(x + self.dropout(self.cross(x, run)))
            x = self.feedforward_norm(x + self.dropout(self.feedforward(x)))
        return x
