"""The linear map, with a path of its own for the few rows of a decoding step.

Decoding reads every weight once for a handful of rows, so memory bandwidth bounds it. PyTorch hands such skinny
products to a matrix-vector routine that keeps one core busy; the same product written as a batched one over
slices of the output features uses all cores and reads the weight in place: about twice the bandwidth
(`benchmarks/limits.py` prints both).

Unusual: larger fp32 products without gradients are handed to oneDNN by name. PyTorch itself hands them to MKL, which
takes 5 to 30 % longer on an AMD EPYC, where this was measured, the more the fewer the rows.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

SKINNY_ROWS = 8
"""Above this many rows the ordinary product is as fast."""
_SLICES = (32, 16, 8, 4, 2)
_LARGE, _WIDE = 1 << 24, 256
"""Multiplications, and inputs of each output, from which on oneDNN is the faster one. A new shape costs it a third of
a millisecond, once."""


class Linear(nn.Linear):
    """`torch.nn.Linear` whose product is `linear`."""

    def forward(self, x: Float[Tensor, "*rows inputs"]) -> Float[Tensor, "*rows outputs"]:
        return linear(x, self.weight, self.bias)


def linear(
    x: Float[Tensor, "*rows inputs"],
    weight: Float[Tensor, "outputs inputs"],
    bias: Float[Tensor, " outputs"] | None = None,
) -> Float[Tensor, "*rows outputs"]:
    """x Wᵀ + b."""
    rows = x.numel() // max(x.shape[-1], 1)
    if (
        rows > 0
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and weight.is_contiguous()
        and not torch.is_grad_enabled()
        and not torch.compiler.is_compiling()
    ):
        if rows <= SKINNY_ROWS:
            return _skinny(x, weight, bias, rows)
        large = rows * weight.numel() >= _LARGE and x.shape[-1] >= _WIDE
        if large and not torch.is_autocast_enabled("cpu") and _has_onednn():
            product: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
            return product
    return F.linear(x, weight, bias)


@cache
def _has_onednn() -> bool:
    there = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(there) and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def for_products(x: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows dim"]:
    """`x` in the precision that autocast would give it: cast once where several products read it."""
    kind = x.device.type
    return x.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else x


def _skinny(x: Tensor, weight: Tensor, bias: Tensor | None, rows: int) -> Tensor:
    outputs, inputs = weight.shape
    slices = next((n for n in _SLICES if outputs % n == 0), None)
    if slices is None:
        return F.linear(x, weight, bias)
    spread = x.reshape(1, rows, inputs).expand(slices, rows, inputs)
    product = torch.bmm(spread, weight.view(slices, outputs // slices, inputs).transpose(1, 2))
    out = product.transpose(0, 1).reshape(*x.shape[:-1], outputs)
    return out if bias is None else out + bias
