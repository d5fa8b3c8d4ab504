"""A rotation keeps lengths, and its derivative is the rotation back."""

from __future__ import annotations

import pytest
import torch

from sensorium.core.config import RotaryPosition
from sensorium.core.position import rotary_angles, rotate


def formula(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    half = cos.shape[-1]
    first, second, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    return torch.cat((first * cos - second * sin, second * cos + first * sin, rest), -1)


@pytest.mark.parametrize("head_dim", [8, 11])
def test_it_is_the_formula_with_its_derivative(head_dim: int) -> None:
    torch.manual_seed(0)
    angles = rotary_angles(RotaryPosition(theta=100.0, dim=8, context=16), torch.arange(5)[None], torch.float64)
    x = torch.randn(1, 5, 2, head_dim, dtype=torch.float64).transpose(1, 2).requires_grad_()
    torch.testing.assert_close(rotate(x, angles), formula(x, *angles))
    assert torch.autograd.gradcheck(lambda y: rotate(y, angles), (x,))


def test_half_precision_stays_half_precision() -> None:
    angles = rotary_angles(RotaryPosition(theta=100.0, dim=8, context=16), torch.arange(5)[None], torch.float32)
    x = torch.randn(1, 2, 5, 8)
    rotated = rotate(x.bfloat16(), angles)
    assert rotated.dtype == torch.bfloat16
    torch.testing.assert_close(rotated.float(), rotate(x, angles), rtol=0.02, atol=0.02)
