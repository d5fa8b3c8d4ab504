"""Who dominates in training, and gradient modulation by the paper's formulas."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn

from sensorium.errors import CapabilityError, ConfigError, InputError
from sensorium.fusion.modulation import (
    gradient_norms,
    gradient_shares,
    modulate_gradients,
    modulation_coefficients,
    unimodal_scores,
)

positive = st.floats(0.01, 1.0)


def encoders() -> dict[str, list[nn.Parameter]]:
    """With gradients."""
    torch.manual_seed(0)
    modules = {"visual": nn.Linear(4, 64), "audio": nn.Linear(4, 64)}
    (3 * modules["visual"](torch.randn(8, 4)).square().sum() + modules["audio"](torch.randn(8, 4)).sum()).backward()
    return {name: list(module.parameters()) for name, module in modules.items()}


def test_norms_are_those_that_pytorch_clips_by_and_shares_sum_to_one() -> None:
    found = encoders()
    norms, shares = gradient_norms(found), gradient_shares(found)
    for name, parameters in found.items():
        expected = float(nn.utils.get_total_norm([p.grad for p in parameters]))
        assert norms[name] == pytest.approx(expected)
        assert shares[name] == pytest.approx(expected / sum(norms.values()))
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["visual"] > shares["audio"]


def test_an_encoder_without_gradients_has_no_share() -> None:
    found = encoders()
    for parameter in found["audio"]:
        parameter.grad = None
    assert gradient_shares(found) == {"audio": 0.0, "visual": 1.0}
    for parameter in found["visual"]:
        parameter.grad = None
    assert gradient_shares(found) == {"audio": 0.0, "visual": 0.0}


def test_a_score_is_the_mean_probability_of_the_right_class_where_present() -> None:
    torch.manual_seed(0)
    logits, targets = {"b": torch.randn(6, 3), "a": torch.randn(6, 3)}, torch.tensor([0, 1, 2, 0, 1, 2])
    scores = unimodal_scores(logits, targets)
    for name, own in logits.items():
        expected = torch.exp(-F.cross_entropy(own, targets, reduction="none")).mean()
        assert scores[name] == pytest.approx(float(expected))
    here = torch.tensor([True, False, True, False, False, False])
    nowhere = torch.zeros(6, dtype=torch.bool)
    some = unimodal_scores(logits, targets, {"a": here, "b": nowhere})
    assert some == {"a": pytest.approx(unimodal_scores({"a": logits["a"][here]}, targets[here])["a"])}
    logits["a"][1] = math.nan
    assert unimodal_scores(logits, targets, {"a": here, "b": nowhere}) == some


@given(visual=positive, audio=positive, alpha=st.floats(0.01, 2.0))
def test_coefficients_of_two_are_the_papers(visual: float, audio: float, alpha: float) -> None:
    ratio = visual / audio
    found = modulation_coefficients({"visual": visual, "audio": audio}, alpha=alpha)
    assert found["visual"] == pytest.approx(1 - math.tanh(alpha * ratio) if ratio > 1 else 1.0)
    assert found["audio"] == pytest.approx(1 - math.tanh(alpha / ratio) if 1 / ratio > 1 else 1.0)


@given(scores=st.dictionaries(st.sampled_from("abcde"), st.floats(0, 1), max_size=5))
@example(scores=dict.fromkeys("abcd", 0.8108592727333164))  # whose threefold over three is another float
def test_only_those_ahead_are_held_back_and_the_further_the_more(scores: dict[str, float]) -> None:
    found = modulation_coefficients(scores)
    assert found.keys() == scores.keys()
    assert all(0 <= value <= 1 for value in found.values())
    if scores:
        assert found[min(scores, key=scores.__getitem__)] == 1.0
    by_score = [found[name] for name in sorted(scores, key=scores.__getitem__)]
    assert by_score == sorted(by_score, reverse=True)
    assert set(modulation_coefficients(scores, alpha=0.0).values()) <= {1.0}


def test_one_that_alone_knows_anything_is_stopped() -> None:
    assert modulation_coefficients({"a": 0.5, "b": 0.0}) == {"a": 0.0, "b": 1.0}
    assert modulation_coefficients({"a": 0.5}) == {"a": 1.0}
    assert modulation_coefficients({"a": 0.0, "b": 0.0}) == {"a": 1.0, "b": 1.0}


def test_gradients_are_scaled_in_place() -> None:
    found = encoders()
    before = {name: [p.grad.clone() for p in parameters] for name, parameters in found.items()}
    coefficients = modulate_gradients(found, {"visual": 0.8, "audio": 0.4}, alpha=0.5, noise=False)
    assert coefficients == {"audio": 1.0, "visual": pytest.approx(1 - math.tanh(1.0))}
    for name, parameters in found.items():
        for parameter, was in zip(parameters, before[name], strict=True):
            torch.testing.assert_close(parameter.grad, was * coefficients[name])


def test_noise_is_as_wide_as_the_gradient_and_repeats_with_the_seed() -> None:
    results = []
    for _ in range(2):
        parameter = nn.Parameter(torch.zeros(200, 200))
        torch.manual_seed(1)
        parameter.grad = 3 * torch.randn(200, 200) + 1
        was = parameter.grad.clone()
        lonely = nn.Parameter(torch.zeros(1))
        lonely.grad = torch.ones(1)
        coefficients = modulate_gradients({"a": [parameter], "b": [lonely]}, {"a": 0.6, "b": 0.3})
        added = parameter.grad - was * coefficients["a"]
        assert float(added.std()) == pytest.approx(float(was.std()), rel=0.02)
        assert float(added.mean()) == pytest.approx(0, abs=0.1)
        assert float(lonely.grad) == 1.0
        results.append(parameter.grad)
    assert torch.equal(*results)


def test_a_modality_without_a_score_and_a_frozen_parameter_are_left_alone() -> None:
    found = encoders()
    was = [p.grad.clone() for p in found["audio"]]
    found["visual"].append(nn.Parameter(torch.zeros(3)))
    assert modulate_gradients(found, {"visual": 0.9}) == {"visual": 1.0}
    assert all(torch.equal(p.grad, grad) for p, grad in zip(found["audio"], was, strict=True))
    assert found["visual"][-1].grad is None


def test_what_cannot_be_modulated_is_refused() -> None:
    found = encoders()
    with pytest.raises(CapabilityError, match="unknown modalities: smell"):
        modulate_gradients(found, {"smell": 0.5})
    with pytest.raises(CapabilityError, match="'audio' and 'visual' share a parameter"):
        modulate_gradients({"audio": found["audio"], "visual": found["audio"]}, {"audio": 0.5})
    with pytest.raises(InputError, match="a: a score of nan"):
        modulation_coefficients({"a": math.nan, "b": 0.5})
    with pytest.raises(ConfigError, match="alpha=-1"):
        modulation_coefficients({"a": 0.5, "b": 0.5}, alpha=-1.0)
    with pytest.raises(CapabilityError, match="presence is given of"):
        unimodal_scores({"a": torch.zeros(2, 3)}, torch.zeros(2, dtype=torch.int64), {})
