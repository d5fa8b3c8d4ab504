"""Intervals and tests against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sensorium.errors import DataError, InputError
from sensorium.fusion.statistics import (
    Interval,
    bootstrap,
    bootstrap_difference,
    bootstrap_mean,
    mcnemar,
    permutation_test,
)


def test_an_interval_can_be_read() -> None:
    assert str(Interval(0.8123, 0.7, 0.9)) == "0.812 (95% interval 0.700 to 0.900)"
    assert Interval(0.1, 0.05, 0.2).excludes_zero
    assert not Interval(0.1, -0.05, 0.2).excludes_zero


def test_the_interval_of_a_mean_is_scipys() -> None:
    scores = np.random.default_rng(0).exponential(size=80)
    found = bootstrap_mean(scores, samples=20_000)
    expected = stats.bootstrap((scores,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
    assert found.value == pytest.approx(scores.mean())
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=0.02)


def test_any_statistic_has_the_interval_that_its_mean_form_has() -> None:
    scores = np.random.default_rng(0).normal(size=60)
    slow = bootstrap(lambda rows: float(scores[rows].mean()), 60, samples=4000)
    fast = bootstrap_mean(scores, samples=4000)
    assert (slow.low, slow.high) == pytest.approx((fast.low, fast.high), abs=0.02)
    median = bootstrap(lambda rows: float(np.median(scores[rows])), 60)
    assert median.low < median.value < median.high


def test_draws_are_seeded() -> None:
    scores = np.random.default_rng(0).normal(size=60)
    assert bootstrap_mean(scores, seed=1) == bootstrap_mean(scores, seed=1)
    assert bootstrap_mean(scores, seed=1) != bootstrap_mean(scores, seed=2)


def test_intervals_cover_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    found = [bootstrap_mean(rng.random(100) < 0.7, samples=400, seed=i) for i in range(400)]
    assert 0.9 < np.mean([one.low <= 0.7 <= one.high for one in found]) < 0.98


@pytest.mark.parametrize("form", ["mean", "any"])
def test_rows_that_repeat_each_other_do_not_narrow_an_interval_of_groups(form: str) -> None:
    scores = np.random.default_rng(0).normal(size=50)
    repeated, groups = np.repeat(scores, 20), np.repeat([f"speaker {i}" for i in range(50)], 20)
    single = bootstrap_mean(scores, samples=2000)
    if form == "mean":
        grouped = bootstrap_mean(repeated, groups=groups, samples=2000)
    else:
        grouped = bootstrap(lambda rows: float(repeated[rows].mean()), 1000, groups=groups, samples=2000)
    assert grouped.high - grouped.low == pytest.approx(single.high - single.low, rel=0.1)
    assert bootstrap_mean(repeated).high - bootstrap_mean(repeated).low < (single.high - single.low) / 3


def test_a_paired_difference_is_surer_than_two_intervals() -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(size=200) * 5
    first, second = hard + 0.3 + rng.normal(size=200) * 0.5, hard + rng.normal(size=200) * 0.5
    found = bootstrap_difference(first, second)
    assert found.value == pytest.approx((first - second).mean())
    assert found.excludes_zero
    assert bootstrap_mean(first).low < bootstrap_mean(second).high


def test_draws_without_a_value_are_left_out() -> None:
    rare = np.arange(40) < 2
    found = bootstrap(lambda rows: float(rare[rows].mean()) if rare[rows].any() else float("nan"), 40)
    assert found.low > 0
    with pytest.raises(DataError, match="not defined on most draws"):
        bootstrap(lambda rows: float("nan") if len(set(rows.tolist())) < 40 else 1.0, 40)
    with pytest.raises(DataError, match="not defined on these rows"):
        bootstrap(lambda rows: float("nan"), 40)


@settings(max_examples=50)
@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 5))
def test_mcnemar_is_the_binomial_test(only_first: int, only_second: int, both: int) -> None:
    first = np.repeat([True, False, True], [only_first, only_second, both])
    second = np.repeat([False, True, True], [only_first, only_second, both])
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (only_first, only_second)
    total = only_first + only_second
    assert found.p == pytest.approx(stats.binomtest(only_first, total, 0.5).pvalue if total else 1.0)


def test_mcnemar_of_many_rows_does_not_overflow() -> None:
    first, second = np.repeat([True, False], [5200, 4800]), np.repeat([False, True], [5200, 4800])
    assert mcnemar(first, second).p == pytest.approx(stats.binomtest(5200, 10_000, 0.5).pvalue, rel=1e-6)


def test_all_exchanges_of_few_rows_are_scipys_exact_test() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        first, second = rng.normal(size=10) + 0.5, rng.normal(size=10)
        expected = stats.permutation_test(
            (first, second), lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=np.inf
        )
        assert permutation_test(first, second) == pytest.approx(expected.pvalue)


def test_drawn_exchanges_come_near_the_exact_test_and_mcnemar() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random(300) < 0.75, rng.random(300) < 0.7
    assert permutation_test(first, second) == pytest.approx(mcnemar(first, second).p, abs=0.02)
    assert permutation_test(first, second, seed=3) == permutation_test(first, second, seed=3)


def test_p_is_never_0_and_1_where_nothing_differs() -> None:
    assert permutation_test(np.ones(100), np.zeros(100)) == pytest.approx(1 / 10_001)
    assert permutation_test(np.ones(100), np.ones(100)) == 1
    assert mcnemar(np.ones(3, bool), np.ones(3, bool)).p == 1


def test_groups_are_exchanged_together() -> None:
    first, second = np.ones(40), np.zeros(40)
    assert permutation_test(first, second, groups=np.repeat(np.arange(4), 10)) == pytest.approx(2 / 2**4)


def test_what_cannot_be_compared_is_named() -> None:
    with pytest.raises(DataError, match="one system has 3 rows, the other 2"):
        permutation_test(np.ones(3), np.ones(2))
    with pytest.raises(DataError, match="no rows"):
        bootstrap_mean(np.empty(0))
    with pytest.raises(DataError, match="no rows"):
        mcnemar(np.empty(0, bool), np.empty(0, bool))
    with pytest.raises(DataError, match="row 1: a score is not finite"):
        bootstrap_mean(np.array([0.0, np.nan]))
    with pytest.raises(InputError, match="1 samples"):
        bootstrap_mean(np.ones(3), samples=1)
    with pytest.raises(InputError, match="level"):
        bootstrap_mean(np.ones(3), level=95.0)
    with pytest.raises(DataError, match="2 groups are given for 3 rows"):
        permutation_test(np.ones(3), np.zeros(3), groups=np.array([1, 2]))
