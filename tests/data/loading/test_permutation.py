"""Orders hold every number once, look random, and are the same everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sensorium.data.loading.permutation import Permutation, shuffle


@given(st.integers(1, 3000), st.lists(st.integers(0, 2**70), min_size=1, max_size=3))
def test_every_number_comes_once(size: int, key: list[int]) -> None:
    for order in (Permutation(size, key)(np.arange(size)), shuffle(size, key)):
        assert np.array_equal(np.sort(order), np.arange(size))


@given(st.integers(2, 2**61), st.integers(0, 2**60), st.integers(0, 99))
def test_any_place_can_be_asked_for_alone(size: int, first: int, seed: int) -> None:
    places = (np.arange(first, first + 20) % size).astype(np.int64)
    order = Permutation(size, (seed,))
    together = order(places)
    assert ((together >= 0) & (together < size)).all()
    assert [int(order(places[i : i + 1])[0]) for i in range(20)] == together.tolist()
    assert len(set(together.tolist())) == len(set(places.tolist()))


def test_the_orders_are_the_same_on_every_machine() -> None:
    assert Permutation(10, (7, 1))(np.arange(10)).tolist() == [7, 4, 5, 1, 9, 0, 3, 8, 2, 6]
    assert Permutation(10**12, (7, 1))(np.arange(3)).tolist() == [541707488951, 766231667301, 570823169493]
    assert shuffle(10, (7, 1)).tolist() == [3, 0, 7, 2, 5, 4, 6, 8, 9, 1]


@pytest.mark.parametrize("kind", ["permutation", "shuffle"])
def test_each_number_is_as_likely_at_each_place(kind: str) -> None:
    size, seeds = 11, 1500
    counts = np.zeros((size, size))
    for seed in range(seeds):
        order = Permutation(size, (seed, 0))(np.arange(size)) if kind == "permutation" else shuffle(size, (seed, 0))
        counts[np.arange(size), order] += 1
    assert stats.chisquare(counts, axis=None, ddof=2 * size - 2).pvalue > 0.001


def test_neighbours_are_strangers() -> None:
    order = Permutation(100_000, (5, 0))(np.arange(100_000))
    assert abs(float(np.corrcoef(order[:-1], order[1:])[0, 1])) < 0.02
    assert abs(float(np.corrcoef(order, np.arange(100_000))[0, 1])) < 0.02
    other = Permutation(100_000, (5, 1))(np.arange(100_000))
    assert abs(float(np.corrcoef(order, other)[0, 1])) < 0.02


def test_keys_that_differ_in_one_word_or_in_length_give_other_orders() -> None:
    keys = [(0,), (0, 0), (1, 0), (0, 1), (2**64,), (2**64 + 1,)]
    orders = {tuple(Permutation(1000, key)(np.arange(50)).tolist()) for key in keys}
    assert len(orders) == len(keys)
