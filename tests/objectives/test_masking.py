"""Masks come at their rate and in their proportions, never on special tokens, and by whole words where asked."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.objectives.masking import Masking

STARTS = np.tile([True, False, True, True], 50)
MASK = 4


def masking(unit: str, rate: float = 0.15) -> Masking:
    return Masking(rate, unit, MASK, np.arange(7, 200), STARTS)


@pytest.mark.parametrize("unit", ["token", "word", "span"])
def test_rate_and_proportions(unit: str) -> None:
    rng = np.random.default_rng(0)
    chosen = masked = kept = total = 0
    for _ in range(400):
        ids = rng.integers(7, 200, 100)
        out, places = masking(unit)(ids, np.ones(100, dtype=bool), rng)
        changed = np.flatnonzero(out != ids)
        assert set(changed) <= set(places)
        total, chosen = total + 100, chosen + len(places)
        masked, kept = masked + int((out[places] == MASK).sum()), kept + int((out[places] == ids[places]).sum())
    assert chosen / total == pytest.approx(0.15, abs=0.01)
    assert masked / chosen == pytest.approx(0.8, abs=0.02)
    assert kept / chosen == pytest.approx(0.1, abs=0.02)  # and a random token in the rest


@settings(max_examples=100)
@given(
    unit=st.sampled_from(["token", "word", "span"]), length=st.integers(1, 60), seed=st.integers(0, 1000),
    special=st.integers(0, 5),
)  # fmt: skip
def test_special_tokens_stay_and_at_least_one_place_is_chosen(unit: str, length: int, seed: int, special: int) -> None:
    rng = np.random.default_rng(seed)
    ids = rng.integers(7, 200, length)
    maskable = np.ones(length, dtype=bool)
    maskable[:special] = False
    out, places = masking(unit)(ids, maskable, rng)
    assert (out[~maskable] == ids[~maskable]).all()
    assert maskable[places].all()
    assert (np.diff(places) > 0).all()
    assert bool(len(places)) == bool(maskable.any())


def test_words_are_hidden_whole() -> None:
    rng = np.random.default_rng(0)
    ids = np.tile([8, 9], 30)  # 8 begins a word, 9 continues it
    for _ in range(50):
        _, places = masking("word")(ids, np.ones(60, dtype=bool), rng)
        assert (ids[places].reshape(-1, 2) == [8, 9]).all()


def test_spans_are_runs_of_whole_words_of_geometric_length() -> None:
    """SpanBERT's lengths are geometric with p = 0.2, cut at ten words: 3.8 on average, where none are joined."""
    rng = np.random.default_rng(0)
    ids = np.tile([8, 9], 2000)  # 8 begins a word, 9 continues it
    runs: list[int] = []
    for _ in range(20):
        _, places = masking("span", rate=0.01)(ids, np.ones(len(ids), dtype=bool), rng)
        assert (ids[places].reshape(-1, 2) == [8, 9]).all()
        words = places[::2] // 2
        runs += [len(run) for run in np.split(words, np.flatnonzero(np.diff(words) > 1) + 1)]
    expected = sum(min(k, 10) * 0.2 * 0.8 ** (k - 1) for k in range(1, 200))
    assert np.mean(runs) == pytest.approx(expected, rel=0.2)
    assert max(runs) <= 20  # at most two that touch
