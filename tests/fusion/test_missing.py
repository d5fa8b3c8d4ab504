"""Alignment and absence: what is not there reaches neither a result nor a gradient."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sensorium.errors import CapabilityError, ConfigError
from sensorium.fusion.features.base import KINDS, FusionConfig, Kind
from sensorium.fusion.features.build import build_fusion
from sensorium.fusion.missing import Absent, Align, drop_modalities, segment_means

TOKENS = {"audio": 2, "image": 3, "text": 1}
PRESENT = {
    "audio": torch.tensor([True, False, True, False]),
    "image": torch.tensor([True, True, False, False]),
    "text": torch.tensor([False, True, True, False]),
}


def draw() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(4, count, 8, generator=generator) for name, count in TOKENS.items()}


def absent(dropout: float = 0.1) -> Absent:
    torch.manual_seed(0)
    return Absent(TOKENS, 8, dropout=dropout)


@settings(max_examples=60)
@given(valid=st.lists(st.booleans(), min_size=1, max_size=12), segments=st.integers(1, 6))
def test_segments_are_pytorchs_adaptive_pooling_of_the_valid_tokens(valid: list[bool], segments: int) -> None:
    mask = torch.tensor([valid])
    x = torch.randn(1, len(valid), 4, generator=torch.Generator().manual_seed(0))
    got = segment_means(x.masked_fill(~mask[..., None], math.nan), mask, segments)
    want = torch.zeros(1, segments, 4)
    if any(valid):
        want = F.adaptive_avg_pool1d(x[mask].T[None], segments).transpose(1, 2)
    torch.testing.assert_close(got, want)


def test_one_segment_is_the_masked_mean_and_all_is_valid_by_default() -> None:
    x = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(segment_means(x, None, 1)[:, 0], x.mean(1))
    torch.testing.assert_close(segment_means(x, torch.ones(3, 5, dtype=torch.bool), 5), x)


def test_align_norms_projects_and_adds_its_own_positions() -> None:
    torch.manual_seed(0)
    align, x = Align(6, 8, tokens=2), 100 * torch.randn(3, 4, 6)
    halves = torch.stack((x[:, :2].mean(1), x[:, 2:].mean(1)), dim=1)
    want = F.layer_norm(halves, (6,)) @ align.linear.weight.T + align.linear.bias + align.positions
    torch.testing.assert_close(align(x), want, rtol=1e-4, atol=1e-5)


def test_align_lets_nothing_through_of_what_is_not_valid() -> None:
    torch.manual_seed(0)
    align, valid = Align(6, 8, tokens=2), torch.tensor([[True, True, True, False], [False] * 4])
    clean = torch.randn(2, 4, 6)
    outs, grads = [], []
    for garbage in (0.0, math.nan, math.inf):
        x = clean.masked_fill(~valid[..., None], garbage).requires_grad_()
        out = align(x, valid)
        outs.append(out.detach())
        grads.append(torch.autograd.grad(out.square().sum(), (x, *align.parameters())))
        assert torch.equal(grads[-1][0][~valid], torch.zeros(5, 6))
    for out, grad in zip(outs[1:], grads[1:], strict=True):
        assert torch.equal(out, outs[0])
        for got, want in zip(grad, grads[0], strict=True):
            assert torch.equal(got, want)
    assert outs[0].isfinite().all()


@pytest.mark.parametrize("garbage", [0.0, 1e30, math.nan, math.inf])
def test_an_absent_row_is_the_learned_tokens_whatever_its_input_holds(garbage: float) -> None:
    module, clean = absent(0.0), draw()
    features = {
        name: x.masked_fill(~PRESENT[name][:, None, None], garbage).requires_grad_() for name, x in clean.items()
    }
    out = module(features, PRESENT)
    assert list(out) == sorted(TOKENS)
    for name, stand_in in zip(sorted(TOKENS), module.stand_ins, strict=True):
        here = PRESENT[name]
        assert torch.equal(out[name][here], clean[name][here])
        assert torch.equal(out[name][~here], stand_in.expand(int((~here).sum()), -1, -1))
    sum(x.square().sum() for x in out.values()).backward()
    for name, x in features.items():
        assert torch.equal(x.grad[~PRESENT[name]], torch.zeros_like(x.grad[~PRESENT[name]]))
        assert x.grad[PRESENT[name]].abs().min() > 0
    for stand_in in module.stand_ins:
        assert stand_in.grad is not None
        assert stand_in.grad.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_every_fusion_gives_the_same_for_any_placeholder(kind: Kind) -> None:
    """From Align to the fused vector; also the gradients of all parameters."""
    torch.manual_seed(0)
    aligns = {name: Align(6, 8, tokens=count) for name, count in TOKENS.items()}
    module, fusion = absent(0.0), build_fusion(FusionConfig(kind=kind, dim=8, heads=2), TOKENS).eval()
    parameters = [p for m in (*aligns.values(), module, fusion) for p in m.parameters()]
    clean = {name: torch.randn(4, 5, 6) for name in TOKENS}
    results = []
    for garbage in (0.0, math.nan):
        features = {}
        for name, x in clean.items():
            here = PRESENT[name]
            placeholder = x.masked_fill(~here[:, None, None], garbage)
            features[name] = aligns[name](placeholder, here[:, None].expand(4, 5))
        fused = fusion(module(features, PRESENT))
        results.append((fused.detach(), *torch.autograd.grad(fused.square().sum(), parameters)))
    for one, other in zip(*results, strict=True):
        assert one.isfinite().all()
        assert torch.equal(one, other)


@pytest.mark.parametrize("p", [0.1, 0.5])
@pytest.mark.parametrize("n", [2, 3])
def test_modalities_are_dropped_at_their_rate_and_never_all(p: float, n: int) -> None:
    torch.manual_seed(0)
    rows = 40_000
    kept = drop_modalities(torch.ones(rows, n, dtype=torch.bool), p)
    assert kept.any(1).all()
    expected = p - p**n / n
    error = 4 * math.sqrt(expected * (1 - expected) / rows)
    for rate in (~kept).float().mean(0).tolist():
        assert rate == pytest.approx(expected, abs=error)


def test_dropping_leaves_what_is_absent_absent_and_what_is_alone_alone() -> None:
    torch.manual_seed(0)
    present = torch.tensor([[True, False, False], [False, False, False], [True, True, False]]).repeat(500, 1)
    kept = drop_modalities(present, 0.9)
    assert not (kept & ~present).any()
    assert kept[0::3, 0].all()
    assert kept[2::3].any(1).all()
    assert not kept[2::3].all(1).all()


def test_modality_dropout_is_of_training_and_repeats_with_the_seed() -> None:
    module, features = absent(0.5), draw()
    everywhere = {name: torch.ones(4, dtype=torch.bool) for name in TOKENS}

    def once(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return torch.cat([x.detach() for x in module(features, everywhere).values()], dim=1)

    assert torch.equal(once(1), once(1))
    assert not torch.equal(once(1), once(2))
    module.eval()
    assert torch.equal(once(1), torch.cat([features[name] for name in sorted(features)], dim=1))


def test_state_dicts_go_round() -> None:
    one, other, features = absent(0.0), Absent(TOKENS, 8, dropout=0.0), draw()
    other.load_state_dict(one.state_dict())
    for a, b in zip(one(features, PRESENT).values(), other(features, PRESENT).values(), strict=True):
        assert torch.equal(a, b)


def test_what_does_not_fit_is_refused() -> None:
    features, module = draw(), absent()
    with pytest.raises(CapabilityError, match="without 'text'"):
        module(features, {name: here for name, here in PRESENT.items() if name != "text"})
    with pytest.raises(CapabilityError, match="with the unknown 'smell'"):
        module(features | {"smell": features["text"]}, PRESENT)
    with pytest.raises(CapabilityError, match=r"text: features of shape \(4, 2, 8\); expected \(4, 1, 8\)"):
        module(features | {"text": torch.zeros(4, 2, 8)}, PRESENT)
    with pytest.raises(ConfigError, match="tokens=0"):
        Align(6, 8, tokens=0)
    with pytest.raises(ConfigError, match=r"dropout=1.0 is not in \[0, 1\)"):
        Absent(TOKENS, 8, dropout=1.0)
