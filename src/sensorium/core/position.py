"""Rotary positions: the angles of a forward pass, and the rotation itself.

Learned tables add to the embeddings and live in `embed`. Rotary angles are computed once a forward pass, in
fp32, and every layer receives the same (cos, sin). The layout is half-split, as in Hugging Face checkpoints:
dimension i is paired with i + dim/2, so that weights load without any permutation.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sensorium.core.config import LinearScaling, Llama3Scaling, RotaryPosition, YarnScaling

Angles = tuple[Float[Tensor, "batch 1 seq half"], Float[Tensor, "batch 1 seq half"]]
"""(cos, sin), broadcast over heads."""


def rotary_angles(config: RotaryPosition, positions: Int[Tensor, "batch seq"], dtype: torch.dtype) -> Angles:
    """cos and sin of every position's angles, computed in fp32 and cast to `dtype`."""
    frequencies = _frequencies(config, positions.device)
    angles = positions[:, None, :, None].float() * frequencies
    factor = config.scaling.attention_factor if isinstance(config.scaling, YarnScaling) else 1.0
    return (angles.cos() * factor).to(dtype), (angles.sin() * factor).to(dtype)


def rotate(x: Float[Tensor, "batch heads seq head_dim"], angles: Angles) -> Float[Tensor, "batch heads seq head_dim"]:
    """Rotate the leading 2·half dimensions of each head; dimensions after them pass through.

    The result has the precision of `x`.
    """
    cos, sin = angles[0].to(x.dtype), angles[1].to(x.dtype)
    if torch.compiler.is_compiling():
        half = cos.shape[-1]
        first, second, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
        return torch.cat((first * cos - second * sin, second * cos + first * sin, rest), dim=-1)
    rotated: Tensor = _Rotate.apply(x, cos, sin)  # type: ignore[no-untyped-call]
    return rotated


class _Rotate(torch.autograd.Function):
    """A rotation's derivative is the rotation back: nothing of the size of x is kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _rotated(x, cos, sin)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        return _rotated(grads[0], cos, -sin), None, None


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = cos.shape[-1]
    out = torch.empty_like(x)
    first, second = x[..., :half], x[..., half : 2 * half]
    torch.mul(first, cos, out=out[..., :half]).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=out[..., half : 2 * half]).addcmul_(first, sin)
    if 2 * half < x.shape[-1]:
        out[..., 2 * half :] = x[..., 2 * half :]
    return out


@lru_cache(maxsize=64)
def _frequencies(config: RotaryPosition, device: torch.device) -> Float[Tensor, " half"]:
    """Radians a token for each pair of dimensions, after the model's scaling."""
    # Leaving inference mode keeps the cached tensor usable in a later training step.
    with torch.inference_mode(False), torch.no_grad():
        exponents = torch.arange(0, config.dim, 2, dtype=torch.int64).float() / config.dim
        inverse = 1.0 / (config.theta**exponents)
        return _scaled(config, inverse).to(device)


def _scaled(config: RotaryPosition, inverse: Float[Tensor, " half"]) -> Float[Tensor, " half"]:
    match config.scaling:
        case None:
            return inverse
        case LinearScaling(factor=factor):
            return inverse / factor
        case Llama3Scaling() as scaling:
            return _llama3(scaling, inverse)
        case YarnScaling() as scaling:
            return _yarn(config, scaling, inverse)


def _llama3(scaling: Llama3Scaling, inverse: Float[Tensor, " half"]) -> Float[Tensor, " half"]:
    """Long wavelengths are stretched by `factor`, short ones kept, those between interpolated."""
    wavelength = 2 * math.pi / inverse
    smooth = (scaling.original_context / wavelength - scaling.low_freq_factor) / (
        scaling.high_freq_factor - scaling.low_freq_factor
    )
    between = (1 - smooth) * inverse / scaling.factor + smooth * inverse
    long = wavelength > scaling.original_context / scaling.low_freq_factor
    short = wavelength < scaling.original_context / scaling.high_freq_factor
    return torch.where(long, inverse / scaling.factor, torch.where(short, inverse, between))


def _yarn(config: RotaryPosition, scaling: YarnScaling, inverse: Float[Tensor, " half"]) -> Float[Tensor, " half"]:
    """Dimensions that turn often are kept, those that turn seldom interpolated, with a linear ramp between."""

    def dimension(rotations: float) -> float:
        turns = scaling.original_context / (rotations * 2 * math.pi)
        return config.dim * math.log(turns) / (2 * math.log(config.theta))

    low, high = dimension(scaling.beta_fast), dimension(scaling.beta_slow)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, config.dim - 1)
    if low == high:
        high += 0.001  # the ramp must not divide by zero
    ramp = ((torch.arange(config.dim // 2).float() - low) / (high - low)).clamp(0, 1)
    return inverse / scaling.factor * ramp + inverse * (1 - ramp)
