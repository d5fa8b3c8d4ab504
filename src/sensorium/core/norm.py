"""Normalisation over the last dimension: LayerNorm and RMSNorm.

Unusual: in half precision RMSNorm multiplies by its weight after casting back, as Llama's reference does; in fp32
the order makes no difference. PyTorch has no fused RMSNorm on a CPU: in training it is computed here in pieces that
a cache holds, at under half of the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sensorium.core.config import NormConfig

_PIECE = 1 << 17
"""Elements in a piece: four such arrays lie in 2 MiB."""


class RMSNorm(nn.Module):
    """x / sqrt(mean(x²) + eps) · weight (Zhang & Sennrich 2019)."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
        if x.dtype == self.weight.dtype == torch.float32:
            if x.device.type == "cpu" and torch.is_grad_enabled() and not torch.compiler.is_compiling():
                normed: Tensor = _CachedRMSNorm.apply(x, self.weight, self.eps)  # type: ignore[no-untyped-call]
                return normed
            return F.rms_norm(x, self.weight.shape, self.weight, self.eps)
        wide = x.float()
        scaled = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return self.weight * scaled.to(x.dtype)

    def extra_repr(self) -> str:
        return f"{self.weight.numel()}, eps={self.eps}"


class _CachedRMSNorm(torch.autograd.Function):
    """y = x r ∘ w with r = 1 / sqrt(mean(x²) + eps), and its derivative
    dx = r (dy ∘ w - n mean(dy ∘ w ∘ n)), dw = Σ dy ∘ n, where n = x r; some rows at a time."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        dim = len(weight)
        rows = x.reshape(-1, dim)
        out, inverse = torch.empty_like(rows), rows.new_empty(len(rows), 1)
        for xi, oi, ri in _pieces(rows, out, inverse):
            torch.mean(torch.mul(xi, xi, out=oi), dim=-1, keepdim=True, out=ri)
            ri.add_(eps).rsqrt_()
            torch.mul(xi, ri, out=oi).mul_(weight)
        ctx.save_for_backward(rows, weight, inverse)
        return out.view(x.shape)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        rows, weight, inverse = ctx.saved_tensors
        dx, dw = torch.empty_like(rows), torch.zeros_like(weight)
        for xi, gi, ri, di in _pieces(rows, grads[0].reshape(rows.shape), inverse, dx):
            normed = xi * ri
            product = gi * normed
            dw += product.sum(0)
            shared = (product @ weight)[:, None].div_(-len(weight))
            torch.mul(gi, weight, out=di).addcmul_(normed, shared).mul_(ri)
        return dx.view(grads[0].shape), dw, None


def _pieces(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The tensors' rows, as many at a time as a cache holds of the first."""
    rows = max(1, _PIECE // tensors[0].shape[-1])
    return zip(*(torch.split(tensor, rows) for tensor in tensors), strict=True)


def build_norm(config: NormConfig, dim: int) -> nn.Module:
    """The module that `config` describes, over `dim` features."""
    if config.kind == "layernorm":
        return nn.LayerNorm(dim, eps=config.eps, bias=config.bias)
    return RMSNorm(dim, config.eps)
