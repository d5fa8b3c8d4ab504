"""What a GPU does with packed documents equals each document alone; it runs on a CPU as well."""

from __future__ import annotations

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from sensorium.core.attend import attend
from sensorium.core.mask import MaskSpec
from sensorium.core.padded import attend_padded
from tests.core.test_attend import tensors


def one_call(q: Tensor, k: Tensor, v: Tensor, spec: MaskSpec, bias: Tensor | None) -> Tensor:
    return attend(q, k, v, spec=spec, bias=bias, backend="sdpa")[0]


@settings(max_examples=40)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=6),
    crossed=st.booleans(),
    causal=st.booleans(),
    window=st.none() | st.integers(1, 10),
    biased=st.booleans(),
)
def test_padded_documents_equal_each_document_alone(
    sizes: list[tuple[int, int]], crossed: bool, causal: bool, window: int | None, biased: bool
) -> None:
    lengths = tuple(a for a, _ in sizes)
    keys = tuple(b for _, b in sizes) if crossed else lengths
    assume(any(keys))
    causal, window, biased = (False, None, False) if crossed else (causal, window, biased)
    q, k, v = tensors(batch=1, kv_heads=2, queries=sum(lengths), keys=sum(keys))
    bias = torch.randn(1, 4, max(lengths), max(keys), generator=torch.Generator().manual_seed(3)) if biased else None
    spec = MaskSpec(causal=causal, window=window, lengths=lengths, key_lengths=keys if crossed else None)
    packed = attend_padded(q, k, v, spec=spec, bias=bias, attend=one_call)
    expected, _ = attend(q, k, v, spec=spec, bias=bias, backend="eager")
    torch.testing.assert_close(packed, expected, atol=2e-6, rtol=1e-5)
    weight = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    wanted = torch.autograd.grad((expected * weight).sum(), (q, k, v))
    got = torch.autograd.grad((packed * weight).sum(), (q, k, v))
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, atol=5e-6, rtol=1e-5)
