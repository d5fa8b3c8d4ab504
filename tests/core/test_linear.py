"""The skinny product equals torch's, for any shape."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.core.linear import linear


@settings(deadline=None, max_examples=60)
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
