"""Shapley values against the average over all orders, and their axioms."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.errors import CapabilityError, DataError
from sensorium.fusion.shapley import contributions, leave_one_out, shapley, subset_values, subsets

NAMES = ("text", "image", "audio", "video", "table")


@settings(max_examples=40)
@given(st.integers(1, 5), st.integers(0, 10_000))
def test_shapley_values_are_the_mean_over_all_orders(n: int, seed: int) -> None:
    names = NAMES[:n]
    rng = np.random.default_rng(seed)
    table = {subset: float(rng.normal()) for subset in subsets(names)}
    found = shapley(table, names)
    for name in names:
        gains = []
        for order in permutations(names):
            before = frozenset(order[: order.index(name)])
            gains.append(table[before | {name}] - table[before])
        assert found[name] == pytest.approx(np.mean(gains))
    assert sum(found.values()) == pytest.approx(table[frozenset(names)] - table[frozenset()])


def test_a_modality_that_adds_nothing_is_worth_nothing_and_twins_share() -> None:
    found = contributions(lambda subset: float(bool(subset & {"text", "image"})), ("text", "image", "audio"))
    assert found.shapley == pytest.approx({"text": 0.5, "image": 0.5, "audio": 0.0})
    assert found.left_out == {"text": 0.0, "image": 0.0, "audio": 0.0}
    assert found.alone == {"text": 1.0, "image": 1.0, "audio": 0.0}
    assert (found.none, found.all) == (0.0, 1.0)


def test_leave_one_out_needs_the_largest_subsets_only() -> None:
    table = {frozenset("ab"): 0.9, frozenset("a"): 0.6, frozenset("b"): 0.8}
    assert leave_one_out(table, "ab") == pytest.approx({"a": 0.1, "b": 0.3})


def test_a_function_is_asked_once_a_subset_small_ones_first() -> None:
    asked: list[frozenset[str]] = []

    def value(subset: frozenset[str]) -> float:
        asked.append(subset)
        return float(len(subset))

    assert shapley(value, ("b", "a")) == pytest.approx({"a": 1.0, "b": 1.0})
    assert asked == [frozenset(), frozenset("a"), frozenset("b"), frozenset("ab")]


def test_what_cannot_be_shared_out_is_named() -> None:
    with pytest.raises(CapabilityError, match="11 modalities have 2048 subsets"):
        subsets(map(str, range(11)))
    with pytest.raises(DataError, match="no modality"):
        shapley({}, ())
    with pytest.raises(DataError, match=r"modalities \(none\): the table has no value"):
        subset_values({frozenset("a"): 1.0}, "a")
    with pytest.raises(DataError, match="modalities a: the value is nan"):
        shapley(lambda subset: float("nan") if subset else 0.0, "a")
