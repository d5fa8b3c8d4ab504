"""Dropout drops at its rate, and attention under it is the formula with its exact derivative."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sensorium.core import documents
from sensorium.core.attend import attend
from sensorium.core.documents import attend_documents
from sensorium.core.dropout import Dropout, dropout_factors
from sensorium.core.mask import MaskSpec

LENGTHS = (3, 1, 7)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.99])
def test_the_rate_and_the_mean_are_right(p: float) -> None:
    torch.manual_seed(0)
    factors = dropout_factors((1000, 1001), p, dtype=torch.float32)
    assert (factors == 0).float().mean().item() == pytest.approx(p, abs=2e-3)
    assert factors.mean().item() == pytest.approx(1.0, abs=1e-3 + 0.02 * (p > 0.9))
    assert len(set(factors.flatten().tolist())) == (1 if p == 0.0 else 2)


def test_neighbours_are_dropped_independently() -> None:
    torch.manual_seed(0)
    dropped = (dropout_factors((1_000_000,), 0.5, dtype=torch.float32) == 0).float()
    for distance in (1, 2, 3, 4, 8):
        assert (dropped[:-distance] * dropped[distance:]).mean().item() == pytest.approx(0.25, abs=3e-3)


def test_a_seed_repeats_the_draw() -> None:
    layer = Dropout(0.3)
    x = torch.randn(5, 7)
    torch.manual_seed(1)
    first = layer(x)
    torch.manual_seed(1)
    torch.testing.assert_close(layer(x), first, rtol=0, atol=0)
    assert not torch.equal(layer(x), first)


def test_in_use_nothing_is_dropped() -> None:
    x = torch.randn(5, 7)
    assert Dropout(0.9).eval()(x) is x
    assert Dropout(0.0)(x) is x


def inputs(kv_heads: int) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(1, h, sum(LENGTHS), 4, dtype=torch.float64)) for h in (4, kv_heads, kv_heads)]


@pytest.mark.parametrize(("causal", "window", "kv_heads"), [(False, None, 4), (True, None, 2), (True, 2, 4)])
def test_attention_under_dropout_has_its_exact_derivative(causal: bool, window: int | None, kv_heads: int) -> None:
    def run(*qkv: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(5)
        spec = MaskSpec(causal=causal, window=window, lengths=LENGTHS)
        return attend(*qkv, spec=spec, dropout_p=0.4)[0]

    assert torch.autograd.gradcheck(run, tuple(inputs(kv_heads)))


@pytest.mark.parametrize("key_lengths", [(2, 6, 1), (3, 0, 6)])
def test_attention_to_sources_and_with_a_bias_has_its_exact_derivative(key_lengths: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    q, k, v, bias = (
        nn.Parameter(torch.randn(shape, dtype=torch.float64))
        for shape in ((1, 4, 11, 4), (1, 2, 9, 4), (1, 2, 9, 4), (1, 4, 7, 6))
    )

    def run(*inputs: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(5)
        spec = MaskSpec(causal=False, lengths=LENGTHS, key_lengths=key_lengths)
        k, v = (x.repeat_interleave(2, 1) for x in inputs[1:3])
        return attend_documents(inputs[0], k, v, spec=spec, scale=0.3, dropout_p=0.4, bias=inputs[3])

    assert torch.autograd.gradcheck(run, (q, k, v, bias))


@pytest.mark.parametrize("causal", [False, True])
def test_attention_under_dropout_is_on_average_attention_without(causal: bool) -> None:
    q, k, v = (x.detach().float() for x in inputs(4))
    spec = MaskSpec(causal=causal, lengths=LENGTHS)
    mean = torch.stack([attend(q, k, v, spec=spec, dropout_p=0.2)[0] for _ in range(3000)]).mean(0)
    torch.testing.assert_close(mean, attend(q, k, v, spec=spec, backend="eager")[0], rtol=0, atol=0.06)


def test_with_hardly_any_dropout_it_is_the_reference_with_its_gradients() -> None:
    spec = MaskSpec(causal=True, lengths=LENGTHS)
    ours, reference = inputs(4), inputs(4)
    got = attend(*ours, spec=spec, dropout_p=1e-9)[0]
    want = attend(*reference, spec=spec, backend="eager")[0]
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)  # the reference's softmax is in fp32
    weight = torch.randn_like(got)
    for a, b in zip(torch.autograd.grad(got, ours, weight), torch.autograd.grad(want, reference, weight), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)


def test_under_autocast_the_result_and_the_gradients_are_near_those_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "_STEPS", ())  # else the two pad, and thereby draw, differently
    documents._layout.cache_clear()
    spec = MaskSpec(causal=False, lengths=LENGTHS)
    wide = [nn.Parameter(x.detach().float()) for x in inputs(4)]
    narrow = [nn.Parameter(x.detach().bfloat16()) for x in wide]
    torch.manual_seed(5)
    want = attend(*wide, spec=spec, dropout_p=0.2)[0]
    torch.manual_seed(5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = attend(*narrow, spec=spec, dropout_p=0.2)[0]
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got.float(), want, rtol=0.05, atol=0.05)
    for a, b in zip(torch.autograd.grad(got.sum(), narrow), torch.autograd.grad(want.sum(), wide), strict=True):
        torch.testing.assert_close(a.float(), b, rtol=0.1, atol=0.1)


@pytest.mark.parametrize(("causal", "window"), [(False, None), (True, None), (False, 3), (True, 3)])
def test_documents_of_many_lengths_are_attended_as_if_alone(causal: bool, window: int | None) -> None:
    torch.manual_seed(0)
    lengths = (40, 3, 64, 33, 1, 70, 40)
    qkv = [nn.Parameter(torch.randn(1, 2, sum(lengths), 8)) for _ in range(3)]
    spec = MaskSpec(causal=causal, window=window, lengths=lengths)
    got = attend_documents(*qkv, spec=spec, scale=0.3, dropout_p=0.0)
    want = attend(*qkv, spec=spec, scale=0.3, backend="eager")[0]
    torch.testing.assert_close(got, want)
    weight = torch.randn_like(got)
    for a, b in zip(torch.autograd.grad(got, qkv, weight), torch.autograd.grad(want, qkv, weight), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
