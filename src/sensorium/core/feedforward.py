"""The position-wise feed-forward network, plain or gated."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sensorium.core.config import Activation, FeedForwardConfig
from sensorium.core.dropout import Dropout
from sensorium.core.linear import Linear, for_products


def quick_gelu(x: Tensor) -> Tensor:
    """x · sigmoid(1.702 x), the approximation that OpenAI's CLIP was trained with."""
    if torch.is_grad_enabled():
        return x * torch.sigmoid(1.702 * x)
    return (1.702 * x).sigmoid_().mul_(x)  # the same in one array


ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "quick_gelu": quick_gelu,
    "relu": F.relu,
    "silu": F.silu,
    "tanh": torch.tanh,
}


class FeedForward(nn.Module):
    """down(act(up(x))), or down(act(gate(x)) · up(x)) where gated (Shazeer 2020)."""

    def __init__(self, config: FeedForwardConfig, dim: int) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.activation]
        self.gate = Linear(dim, config.width, bias=config.bias) if config.gated else None
        self.up = Linear(dim, config.width, bias=config.bias)
        self.down = Linear(config.width, dim, bias=config.bias)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        if self.gate is None:
            return self.down(self.dropout(self.activation(self.up(x))))  # type: ignore[no-any-return]
        x = for_products(x)
        return self.down(self.dropout(self.activation(self.gate(x)) * self.up(x)))  # type: ignore[no-any-return]
