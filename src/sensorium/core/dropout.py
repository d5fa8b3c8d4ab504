"""Dropout (Srivastava et al. 2014), made cheap on a CPU.

Unusual: PyTorch draws one Bernoulli number an element on a CPU, which costs more than the products around it. Here
sixteen random bits decide an element, four of them from one draw; the rate is exact to 2⁻¹⁶, and what is kept is
scaled by the rate as rounded. All draws are of PyTorch's global generator, so that a seeded run repeats itself.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

_LEVELS = 1 << 16


class Dropout(nn.Module):
    """`torch.nn.Dropout`, with cheaper draws on a CPU."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        if not self.training or self.p == 0.0:
            return x
        if x.device.type != "cpu" or torch.compiler.is_compiling():
            return F.dropout(x, self.p)
        return x * dropout_factors(x.shape, self.p, dtype=x.dtype)

    def extra_repr(self) -> str:
        return f"p={self.p}"


def dropout_factors(shape: tuple[int, ...], p: float, *, dtype: torch.dtype) -> Float[Tensor, "*shape"]:
    """0 with probability `p`, else 1/(1 - p), drawn on the CPU."""
    level = min(round(p * _LEVELS), _LEVELS - 1)
    count = math.prod(shape)
    words = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
    bits = words.view(torch.int16)[:count].view(shape)
    kept = torch.tensor(_LEVELS / (_LEVELS - level), dtype=dtype)
    return torch.where(bits >= level - _LEVELS // 2, kept, torch.zeros((), dtype=dtype))
