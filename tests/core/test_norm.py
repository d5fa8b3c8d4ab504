"""RMSNorm in training is torch's own, with its gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from sensorium.core.norm import RMSNorm


@pytest.mark.parametrize("shape", [(5, 8), (2, 3, 16), (1, 1100, 384)])
def test_in_training_it_is_torchs_with_its_gradients(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    norm = RMSNorm(shape[-1], eps=1e-5)
    torch.nn.init.normal_(norm.weight)
    x = torch.randn(shape, requires_grad=True)
    got, want = norm(x), F.rms_norm(x, shape[-1:], norm.weight, 1e-5)
    torch.testing.assert_close(got, want)
    weight = torch.randn(shape)
    wanted = torch.autograd.grad(want, (x, norm.weight), weight)
    for a, b in zip(torch.autograd.grad(got, (x, norm.weight), weight), wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_the_weight_alone_may_be_trained() -> None:
    norm = RMSNorm(8, eps=1e-5)
    norm(torch.randn(3, 8)).sum().backward()
    assert norm.weight.grad is not None
