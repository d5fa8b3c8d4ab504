"""Transforms equal stock LogitsProcessors; penalties equal their definitions; draws follow the distribution."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from sensorium.errors import EngineError, InputError
from sensorium.inference.logits import (
    FrequencyPenalty,
    MinP,
    PresencePenalty,
    RepetitionPenalty,
    Sampling,
    Temperature,
    TopK,
    TopP,
    choose,
)

VOCAB = 23
seeds = st.integers(0, 10_000)
tokens = st.lists(st.integers(0, VOCAB - 1), min_size=1, max_size=12)


def row(seed: int) -> torch.Tensor:
    return 4 * torch.randn(VOCAB, generator=torch.Generator().manual_seed(seed))


def same(ours, stock, seed: int, prompt: list[int], generated: list[int]) -> None:
    logits = row(seed)
    expected = stock(torch.tensor([[*prompt, *generated]]), logits[None].clone())[0]
    torch.testing.assert_close(ours(logits, prompt, generated), expected)
    torch.testing.assert_close(logits, row(seed))


@settings(max_examples=40)
@given(seeds, st.floats(0.05, 5.0))
def test_temperature(seed: int, value: float) -> None:
    logits = row(seed)
    expected = TemperatureLogitsWarper(value)(torch.tensor([[1]]), logits[None].clone())[0]
    torch.testing.assert_close(Temperature(value)(logits, [1], []), expected - expected.max(), atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(logits, row(seed))


@pytest.mark.parametrize("value", [1e-20, 1e-39, 5e-324])
def test_a_tiny_temperature_is_greedy(value: float) -> None:
    generator = torch.Generator().manual_seed(0)
    for seed in range(20):
        for transforms in ({}, {"top_k": 3}, {"top_p": 0.9}, {"min_p": 0.1}):
            logits = row(seed)
            for transform in Sampling(temperature=value, **transforms).transforms():
                logits = transform(logits, [1], [])
            assert choose(logits, generator) == int(row(seed).argmax())


@pytest.mark.parametrize("logits", [[0.0, math.nan], [0.0, math.inf], [-math.inf, -math.inf]])
def test_no_token_is_drawn_from_what_is_no_distribution(logits: list[float]) -> None:
    with pytest.raises(EngineError, match="not finite"):
        choose(Temperature(0.5)(torch.tensor(logits), [], []), torch.Generator())


@settings(max_examples=40)
@given(seeds, st.integers(1, VOCAB + 5))
def test_top_k(seed: int, k: int) -> None:
    same(TopK(k), TopKLogitsWarper(k), seed, [1], [])


@settings(max_examples=40)
@given(seeds, st.floats(0.01, 0.99))
def test_top_p(seed: int, p: float) -> None:
    same(TopP(p), TopPLogitsWarper(p), seed, [1], [])


@settings(max_examples=40)
@given(seeds, st.floats(0.0, 1.0))
def test_min_p(seed: int, p: float) -> None:
    same(MinP(p), MinPLogitsWarper(p), seed, [1], [])


@settings(max_examples=40)
@given(seeds, st.floats(0.3, 3.0), tokens, tokens)
def test_repetition_penalty(seed: int, penalty: float, prompt: list[int], generated: list[int]) -> None:
    same(RepetitionPenalty(penalty), RepetitionPenaltyLogitsProcessor(penalty), seed, prompt, generated)


@settings(max_examples=40)
@given(seeds, st.floats(-2, 2), st.floats(-2, 2), tokens, st.lists(st.integers(0, VOCAB - 1), max_size=12))
def test_openai_penalties(
    seed: int, presence: float, frequency: float, prompt: list[int], generated: list[int]
) -> None:
    logits = row(seed)
    expected = [
        float(logit) - generated.count(j) * frequency - (presence if j in generated else 0)
        for j, logit in enumerate(logits)
    ]
    changed = FrequencyPenalty(frequency)(PresencePenalty(presence)(logits, prompt, generated), prompt, generated)
    torch.testing.assert_close(changed, torch.tensor(expected))


def test_the_order_is_that_of_stock_generate() -> None:
    sampling = Sampling(
        temperature=0.7, top_k=5, top_p=0.9, min_p=0.1, repetition_penalty=1.2, presence_penalty=1, frequency_penalty=1
    )
    names = [type(transform).__name__ for transform in sampling.transforms()]
    assert names == [
        "RepetitionPenalty", "PresencePenalty", "FrequencyPenalty", "Temperature", "TopK", "TopP", "MinP",
    ]  # fmt: skip
    assert Sampling(top_k=5, top_p=0.5).transforms() == ()


def test_draws_follow_the_distribution() -> None:
    logits = torch.tensor([0.0, -math.inf, math.log(2), math.log(5)])
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(4)
    for _ in range(4000):
        counts[choose(logits, generator)] += 1
    assert counts[1] == 0
    torch.testing.assert_close(counts / 4000, logits.softmax(-1), atol=0.03, rtol=0)
    assert choose(logits, None) == 3


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": -1.0},
        {"temperature": math.nan},
        {"top_k": 0},
        {"top_p": 0.0},
        {"top_p": 1.5},
        {"min_p": -0.1},
        {"repetition_penalty": 0.0},
        {"presence_penalty": math.inf},
    ],
)
def test_values_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(options))}=.* is out of range"):
        Sampling(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"top_k": 5.0},
        {"top_k": "5"},
        {"temperature": "hot"},
        {"temperature": None},
        {"top_p": "0.5"},
        {"min_p": [0.5]},
        {"repetition_penalty": None},
        {"frequency_penalty": "1"},
    ],
)
def test_values_of_another_type_are_refused(options: dict[str, Any], untyped: None) -> None:
    with pytest.raises(InputError, match=f"{next(iter(options))}=.* is not a (whole )?number"):
        Sampling(**options)


def test_numbers_of_numpy_are_numbers(untyped: None) -> None:
    assert Sampling(temperature=np.float32(0.5), top_k=np.int64(3)).top_k == 3
