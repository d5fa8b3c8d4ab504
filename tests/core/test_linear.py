"""The products of our own choice equal torch's, for any shape."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.core.linear import linear

CLOSE = dict(atol=1e-4, rtol=1e-5)


@settings(max_examples=60)
@given(
    rows=st.lists(st.integers(1, 4), min_size=0, max_size=3),
    inputs=st.integers(1, 9),
    outputs=st.sampled_from([1, 2, 3, 7, 8, 12, 32, 64, 96]),
    bias=st.booleans(),
    grad=st.booleans(),
)
def test_linear_equals_torch(rows: list[int], inputs: int, outputs: int, bias: bool, grad: bool) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(*rows, inputs), torch.randn(outputs, inputs)
    offset = torch.randn(outputs) if bias else None
    with torch.set_grad_enabled(grad):
        torch.testing.assert_close(linear(x, weight, offset), torch.nn.functional.linear(x, weight, offset))


@pytest.mark.parametrize("shape", [(300, 256), (2, 150, 256), (512, 256)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_large_product_without_gradients_equals_one_with_them(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(shape), torch.randn(256, 256)
    offset = torch.randn(256) if bias else None
    with torch.no_grad():
        product = linear(x, weight, offset)
    torch.testing.assert_close(product, linear(x, weight, offset.requires_grad_() if bias else None), **CLOSE)
    strided = torch.randn(*shape[:-1], 512)[..., ::2]
    with torch.inference_mode():
        torch.testing.assert_close(
            linear(strided, weight, offset), strided @ weight.T + (offset if bias else 0), **CLOSE
        )


def test_autocast_decides_the_precision_of_a_large_product() -> None:
    x, weight = torch.randn(300, 256), torch.randn(256, 256)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert linear(x, weight).dtype == torch.bfloat16
