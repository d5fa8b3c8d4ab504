"""Mixing: shares hold in every window; processes share batches without seeing one twice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorium.data.loading.mixing import Mixture, most_owed, normalised
from sensorium.data.loading.share import Share
from sensorium.errors import ConfigError


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=6), st.integers(0, 99))
def test_no_window_is_off_by_more_than_a_piece_of_each(raw: list[float], seed: int) -> None:
    rng, most = np.random.default_rng(seed), 50
    weights, drawn, steps = normalised(raw), [0] * len(raw), list[list[int]]()
    for _ in range(300):
        drawn[most_owed(weights, drawn)] += int(rng.integers(1, most + 1))
        steps.append(list(drawn))
    counts = np.array([[0] * len(raw), *steps])
    ahead = counts - counts.sum(1, keepdims=True) * np.array(weights)
    assert ahead.max() <= most
    first, last = np.sort(rng.integers(0, 301, (2, 40)), axis=0)
    window = counts[last] - counts[first]
    off = window - window.sum(1, keepdims=True) * np.array(weights)
    assert np.abs(off).max() <= len(raw) * most


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_must_be_above_zero(wrong: float) -> None:
    with pytest.raises(ConfigError, match="has the weight"):
        normalised([1.0, wrong])


def test_a_mixture_is_as_large_as_its_parts_and_its_head_keeps_the_shares(make) -> None:
    parts = make([10] * 50), make([20] * 50), make([])
    mixture = Mixture(parts, (0.6, 0.2, 0.2), ("a", "b", "c"))
    assert (len(mixture), mixture.n_tokens, mixture.n_bytes) == (100, 1500, 4500)
    head = mixture.head(400)
    assert head.names == ("a", "b")
    assert [part.n_tokens for part in head.parts] == [300, 100]


@given(st.integers(1, 5), st.integers(1, 4))
def test_the_workers_of_all_ranks_take_each_batch_once_and_keep_the_ranks_order(ranks: int, workers: int) -> None:
    for rank in range(ranks):
        share = Share(rank, ranks)
        taken = [share.split(worker, workers) for worker in range(workers)]
        turns = [round_ * one.count + one.index for round_ in range(3) for one in taken]
        assert turns == [rank + ranks * i for i in range(3 * workers)]


@pytest.mark.parametrize(("index", "count"), [(-1, 2), (2, 2), (0, 0)])
def test_a_share_that_is_not_there_is_refused(index: int, count: int) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        Share(index, count)
