"""Packing: rows are never too full, nothing is lost, and it does what best-fit decreasing by hand does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorium.data.loading.packing import best_fit, waste

SIZES = st.integers(1, 60).flatmap(
    lambda capacity: st.tuples(st.just(capacity), st.lists(st.integers(1, capacity), max_size=80))
)


def by_hand(sizes: list[int], capacity: int) -> list[int]:
    """How many pieces each row gets, in the order of the rows: the plain O(n²) way."""
    left: list[int] = []
    held: list[list[int]] = []
    for size in sorted(sizes, reverse=True):
        fitting = [row for row, room in enumerate(left) if room >= size]
        if fitting:
            row = min(fitting, key=lambda row: left[row])
        else:
            row = len(left)
            left.append(capacity)
            held.append([])
        left[row] -= size
        held[row].append(size)
    return sorted(sum(row) for row in held)


@given(SIZES)
def test_no_row_is_too_full_and_best_fit_is_what_fits_best(given_: tuple[int, list[int]]) -> None:
    capacity, sizes = given_
    rows = best_fit(np.array(sizes, dtype=np.int64), capacity)
    assert len(rows) == len(sizes)
    filled = np.bincount(rows, weights=sizes, minlength=0) if sizes else np.empty(0)
    assert (filled <= capacity).all()
    assert (filled > 0).all()
    assert sorted(filled.astype(int).tolist()) == by_hand(sizes, capacity)


def test_what_is_larger_than_a_row_has_one_of_its_own() -> None:
    rows = best_fit(np.array([3, 12, 7, 10]), 10)
    assert len({rows[1], rows[3], rows[0]}) == 3
    assert rows[0] == rows[2]


@pytest.mark.parametrize("capacity", [256, 1024])
def test_waste_is_below_two_percent_where_lengths_are_as_of_web_text(capacity: int) -> None:
    lengths = np.random.default_rng(0).lognormal(6, 1, 20_000).astype(np.int64) + 1
    sizes = np.concatenate([np.minimum(lengths, capacity), lengths[lengths > capacity] % capacity])
    sizes = sizes[sizes > 0]
    assert waste(sizes, best_fit(sizes, capacity), capacity) < 0.02
    assert waste(sizes[:0], best_fit(sizes[:0], capacity), capacity) == 0
