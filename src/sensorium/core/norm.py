"""Normalisation over the last dimension: LayerNorm and RMSNorm.

Unusual: in half precision RMSNorm multiplies by its weight after casting back, as Llama's reference does;
in fp32 the order makes no difference and PyTorch's fused operator is used.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sensorium.core.config import NormConfig


class RMSNorm(nn.Module):
    """x / sqrt(mean(x²) + eps) · weight (Zhang & Sennrich 2019)."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        if x.dtype == self.weight.dtype == torch.float32:
            return F.rms_norm(x, self.weight.shape, self.weight, self.eps)
        wide = x.float()
        scaled = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return self.weight * scaled.to(x.dtype)

    def extra_repr(self) -> str:
        return f"{self.weight.numel()}, eps={self.eps}"


def build_norm(config: NormConfig, dim: int) -> nn.Module:
    """The module that `config` describes, over `dim` features."""
    if config.kind == "layernorm":
        return nn.LayerNorm(dim, eps=config.eps)
    return RMSNorm(dim, config.eps)
