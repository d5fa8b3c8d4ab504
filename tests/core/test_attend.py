"""Every back-end equals the eager formula, forward and backward, for every kind of mask."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.core.attend import Backend, attend
from sensorium.core.mask import MaskSpec
from sensorium.errors import CapabilityError


def tensors(batch=2, heads=4, kv_heads=4, queries=7, keys=7, head_dim=8, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator).requires_grad_()

    return (
        draw(batch, heads, queries, head_dim),
        draw(batch, kv_heads, keys, head_dim),
        draw(batch, kv_heads, keys, head_dim),
    )


def right_padded(batch=2, keys=7):
    valid = torch.ones(batch, keys, dtype=torch.bool)
    valid[1, 4:] = False
    return valid


CASES = {
    "full": (dict(), MaskSpec(causal=False)),
    "causal": (dict(), MaskSpec(causal=True)),
    "causal window": (dict(), MaskSpec(causal=True, window=3)),
    "window both ways": (dict(), MaskSpec(causal=False, window=2)),
    "window wider than the keys": (dict(), MaskSpec(causal=True, window=100)),
    "right padding": (dict(), MaskSpec(causal=False, key_valid=right_padded())),
    "left padding, causal": (dict(), MaskSpec(causal=True, key_valid=right_padded().flip(1))),
    "grouped keys": (dict(kv_heads=2), MaskSpec(causal=True)),
    "one key head": (dict(kv_heads=1), MaskSpec(causal=False, key_valid=right_padded())),
    "documents": (dict(batch=1), MaskSpec(causal=False, lengths=(3, 1, 3))),
    "documents, causal": (dict(batch=1, kv_heads=2), MaskSpec(causal=True, lengths=(2, 5))),
    "documents, causal window": (dict(batch=1), MaskSpec(causal=True, window=2, lengths=(2, 5))),
    "documents and their sources": (
        dict(batch=1, keys=9, kv_heads=2),
        MaskSpec(causal=False, lengths=(3, 1, 3), key_lengths=(2, 5, 2)),
    ),
    "documents, one with nothing to read": (
        dict(batch=1, keys=9, kv_heads=2),
        MaskSpec(causal=False, lengths=(3, 1, 3), key_lengths=(2, 0, 7)),
    ),
    "decoding step": (dict(queries=1), MaskSpec(causal=True, q_offset=6)),
    "decoding step, padding": (
        dict(queries=1, kv_heads=2),
        MaskSpec(causal=True, q_offset=6, key_valid=right_padded().flip(1)),
    ),
    "decoding step, window": (dict(queries=1, kv_heads=2), MaskSpec(causal=True, window=3, q_offset=6)),
    "several new tokens after a cache": (dict(queries=3), MaskSpec(causal=True, q_offset=4)),
    "cross lengths": (dict(queries=3), MaskSpec(causal=False)),
}


@pytest.mark.parametrize("backend", ["sdpa", "flex", "varlen", "auto"])
@pytest.mark.parametrize("case", CASES)
def test_back_end_equals_eager(case: str, backend: Backend) -> None:
    shape, spec = CASES[case]
    if backend == "varlen" and spec.lengths is None:
        with pytest.raises(CapabilityError, match="packed"):
            attend(*tensors(**shape), spec=spec, backend=backend)
        return
    differentiable = backend != "flex"
    q, k, v = tensors(**shape)
    expected, _ = attend(q, k, v, spec=spec, backend="eager")
    given = (q, k, v) if differentiable else (q.detach(), k.detach(), v.detach())
    actual, probs = attend(*given, spec=spec, backend=backend)
    assert probs is None
    torch.testing.assert_close(actual, expected, atol=2e-6, rtol=1e-5)
    if differentiable:
        weight = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
        wanted = torch.autograd.grad((expected * weight).sum(), (q, k, v))
        got = torch.autograd.grad((actual * weight).sum(), (q, k, v))
        for a, b in zip(got, wanted, strict=True):
            torch.testing.assert_close(a, b, atol=5e-6, rtol=1e-5)


@pytest.mark.parametrize("backend", ["eager", "sdpa"])
def test_bias_is_added_to_the_scaled_scores(backend: Backend) -> None:
    q, k, v = tensors()
    bias = torch.randn(1, 4, 7, 7, generator=torch.Generator().manual_seed(2))
    scores = q @ k.transpose(-1, -2) * 0.5 + bias
    scores = scores.masked_fill(torch.ones(7, 7).triu(1).bool(), -math.inf)
    expected = scores.softmax(-1) @ v
    actual, _ = attend(q, k, v, spec=MaskSpec(causal=True), scale=0.5, bias=bias, backend=backend)
    torch.testing.assert_close(actual, expected, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("backend", ["eager", "sdpa", "varlen", "auto"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("learned", [False, True])
def test_the_bias_of_packed_documents_is_the_longest_ones(backend: Backend, causal: bool, learned: bool) -> None:
    q, k, v = tensors(batch=1, kv_heads=2)
    bias = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(2)).requires_grad_(learned)
    packed, _ = attend(q, k, v, spec=MaskSpec(causal=causal, lengths=(2, 4, 1)), bias=bias, backend=backend)
    parts = zip((2, 4, 1), *(torch.split(x, (2, 4, 1), dim=2) for x in (q, k, v)), strict=True)
    alone = [
        attend(*part, spec=MaskSpec(causal=causal), bias=bias[:, :, :n, :n], backend="eager")[0] for n, *part in parts
    ]
    expected = torch.cat(alone, dim=2)
    torch.testing.assert_close(packed, expected, atol=2e-6, rtol=1e-5)
    inputs = (q, k, v, bias) if learned else (q, k, v)
    weight = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    wanted = torch.autograd.grad((expected * weight).sum(), inputs)
    got = torch.autograd.grad((packed * weight).sum(), inputs)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b, atol=5e-6, rtol=1e-5)


@pytest.mark.parametrize("backend", ["eager", "sdpa"])
def test_a_query_without_keys_gives_zeros_and_finite_gradients(backend: Backend) -> None:
    q, k, v = tensors()
    valid = torch.ones(2, 7, dtype=torch.bool)
    valid[0, :3] = False
    out, _ = attend(q, k, v, spec=MaskSpec(causal=True, key_valid=valid), backend=backend)
    assert out[0, :, :3].abs().max() == 0
    out.sum().backward()
    assert all(x.grad is not None and x.grad.isfinite().all() for x in (q, k, v))


def test_eager_probabilities_are_a_distribution_over_what_may_be_seen() -> None:
    q, k, v = tensors(kv_heads=2)
    _, probs = attend(q, k, v, spec=MaskSpec(causal=True), need_probs=True)
    assert probs is not None
    torch.testing.assert_close(probs.sum(-1), torch.ones(2, 4, 7))
    assert probs.triu(1).abs().max() == 0


def test_dropout_keeps_the_expectation() -> None:
    torch.manual_seed(0)
    q, k, v = tensors(batch=1, heads=1, kv_heads=1)
    exact, _ = attend(q, k, v, spec=MaskSpec(causal=False))
    for backend in ("eager", "sdpa"):
        draws = [attend(q, k, v, spec=MaskSpec(causal=False), dropout_p=0.3, backend=backend)[0] for _ in range(3000)]
        torch.testing.assert_close(torch.stack(draws).mean(0), exact, atol=0.12, rtol=0)


def test_a_named_back_end_that_cannot_serve_raises() -> None:
    q, k, v = tensors()
    spec = MaskSpec(causal=False)
    with pytest.raises(CapabilityError, match="no probabilities"):
        attend(q, k, v, spec=spec, need_probs=True, backend="sdpa")
    with pytest.raises(CapabilityError, match="no backward pass"):
        attend(q, k, v, spec=spec, backend="flex")
    with pytest.raises(CapabilityError, match="neither dropout nor a bias"):
        attend(q.detach(), k.detach(), v.detach(), spec=spec, backend="flex", dropout_p=0.1)


def test_padding_and_packing_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="exclude"):
        MaskSpec(causal=False, lengths=(7,), key_valid=right_padded())


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (dict(causal=False, key_lengths=(2, 3)), "as many documents"),
        (dict(causal=False, lengths=(2, 3), key_lengths=(5,)), "as many documents"),
        (dict(causal=True, lengths=(2, 3), key_lengths=(2, 3)), "no order"),
        (dict(causal=False, window=2, lengths=(2, 3), key_lengths=(2, 3)), "no order"),
    ],
)
def test_keys_of_other_sequences_are_a_packed_documents(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        MaskSpec(**options)


@settings(max_examples=25)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    causal=st.booleans(),
    window=st.none() | st.integers(1, 10),
)
def test_packed_documents_equal_each_document_alone(lengths: list[int], causal: bool, window: int | None) -> None:
    q, k, v = tensors(batch=1, kv_heads=2, queries=sum(lengths), keys=sum(lengths))
    packed, _ = attend(q, k, v, spec=MaskSpec(causal=causal, window=window, lengths=tuple(lengths)))
    alone = MaskSpec(causal=causal, window=window)
    parts = zip(*(torch.split(x, lengths, dim=2) for x in (q, k, v)), strict=True)
    expected = torch.cat([attend(*part, spec=alone, backend="eager")[0] for part in parts], dim=2)
    torch.testing.assert_close(packed, expected, atol=2e-6, rtol=1e-5)
