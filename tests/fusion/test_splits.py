"""Splits and folds: nothing is lost, nothing is twice, and nothing leaks."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from sensorium.errors import CapabilityError, DataError, InputError
from sensorium.fusion.splits import Split, folds, split_rows


def parts(split: Split) -> list[np.ndarray]:
    return [split.train, split.validation, split.test]


def whole(split: Split, rows: int) -> bool:
    return sorted(np.concatenate(parts(split)).tolist()) == list(range(rows))


@settings(max_examples=150)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(3, 60),
    validation=st.floats(0.05, 0.45),
    test=st.sampled_from([0.0, 0.1, 0.3]),
    classes=st.integers(2, 4),
    n_groups=st.integers(3, 20),
    labelled=st.booleans(),
    grouped=st.booleans(),
)
def test_every_row_is_in_one_part_and_no_part_is_empty(
    seed: int, rows: int, validation: float, test: float, classes: int, n_groups: int, labelled: bool, grouped: bool
) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(rows) % classes) if labelled else None
    groups = rng.permutation(np.arange(rows) % n_groups) if grouped else None
    if labels is not None and rows < 2 * classes + 2:
        return  # Whether so few can be split is tested below.
    split = split_rows(range(rows), labels=labels, groups=groups, validation=validation, test=test)
    assert whole(split, rows)
    assert len(split.train)
    assert len(split.validation)
    assert bool(len(split.test)) == (test > 0)
    if groups is not None:
        sides = [set(groups[part].tolist()) for part in parts(split)]
        assert sum(map(len, sides)) == len(set.union(*sides))
    elif labels is not None:
        assert set(labels[split.train]) == set(labels)


def test_a_keys_side_depends_on_nothing_but_itself() -> None:
    keys = [f"row {i}" for i in range(2000)]
    side = {keys[i]: place for place, part in enumerate(parts(split_rows(keys, test=0.1))) for i in part}
    shuffled = list(np.random.default_rng(0).permutation(keys[::2])) + [f"new {i}" for i in range(500)]
    for place, part in enumerate(parts(split_rows(shuffled, test=0.1))):
        assert all(side.get(shuffled[i], place) == place for i in part)
    assert Counter(side.values())[1] / 2000 == pytest.approx(0.2, abs=0.03)
    assert Counter(side.values())[2] / 2000 == pytest.approx(0.1, abs=0.03)
    assert not np.array_equal(split_rows(keys).train, split_rows(keys, seed=1).train)


@pytest.mark.parametrize("labelled", [False, True])
def test_rows_of_one_key_stay_together(labelled: bool) -> None:
    keys = [f"photo {i // 3}" for i in range(300)]
    labels = np.arange(300) % 4 if labelled else None
    split = split_rows(keys, labels=labels)
    assert not {keys[i] for i in split.train} & {keys[i] for i in split.validation}
    fold = folds(keys, k=4, labels=labels)
    assert all(len(set(fold[i : i + 3])) == 1 for i in range(0, 300, 3))


def test_labels_get_their_share_of_every_part() -> None:
    labels = np.repeat(["cat", "dog", "newt"], [700, 290, 10])
    split = split_rows(range(1000), labels=labels, validation=0.2, test=0.1)
    for part, share in zip(parts(split), (0.7, 0.2, 0.1), strict=True):
        assert len(part) == 1000 * share
        counts = Counter(labels[part])
        assert [counts[name] for name in ("cat", "dog", "newt")] == pytest.approx(
            [700 * share, 290 * share, 10 * share], abs=1
        )


def test_a_label_of_one_row_is_trained_on() -> None:
    labels = ["a"] * 20 + ["b"] * 20 + list("cdefgh")
    for seed in range(10):
        split = split_rows(range(46), labels=labels, validation=0.3, seed=seed)
        assert set(range(40, 46)) <= set(split.train.tolist())
        assert len(split.validation) >= 12


def test_groups_keep_shares_and_labels_as_well_as_they_can() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 60, 1200)
    labels = (rng.random(1200) < 0.2 + 0.5 * (groups % 2)).astype(int)
    split = split_rows(range(1200), labels=labels, groups=groups, validation=0.2, test=0.2)
    for part, share in zip(parts(split), (0.6, 0.2, 0.2), strict=True):
        assert len(part) / 1200 == pytest.approx(share, abs=0.02)
        assert labels[part].mean() == pytest.approx(labels.mean(), abs=0.03)


def test_a_huge_group_is_trained_on() -> None:
    groups = ["all"] * 90 + list("abcdefghij")
    split = split_rows(range(100), groups=groups)
    assert set(range(90)) <= set(split.train.tolist())
    assert len(split.validation) > 5


def test_later_rows_are_held_out() -> None:
    times = np.random.default_rng(0).permutation(100).astype(float)
    split = split_rows(range(100), times=times, validation=0.2, test=0.1)
    assert [len(part) for part in parts(split)] == [70, 20, 10]
    assert times[split.train].max() < times[split.validation].min()
    assert times[split.validation].max() < times[split.test].min()


def test_rows_of_one_time_stay_together() -> None:
    times = np.repeat([1, 2, 3], [10, 80, 10])
    split = split_rows(range(100), times=times)
    assert whole(split, 100)
    assert not set(times[split.train]) & set(times[split.validation])
    split = split_rows(range(100), times=times, test=0.2)
    assert [set(times[part].tolist()) for part in parts(split)] == [{1}, {2}, {3}]


@pytest.mark.parametrize(
    "times",
    [
        np.array(["2024-01-31", "2023-12-01", "2024-02-01", "2022-01-01"]),
        np.array(["2024-01-31T10:00:00Z", "2024-01-31T10:00:00+01:00", "2024-01-31T12:00", "2022-01-01"]),
        np.array(["10", "9", "100", "1"]),
        np.array(["2024-01-31", "2023-12-01", "2024-02-01", "2022-01-01"], "datetime64[D]"),
        np.array([date(2024, 1, 31), date(2023, 12, 1), date(2024, 2, 1), date(2022, 1, 1)], object),
        np.array([datetime(2024, 1, day, tzinfo=UTC) for day in (3, 2, 4, 1)], object),
        np.array([3, 2, 4, 1]),
    ],
)
def test_times_are_read_as_times_whatever_they_are_written_as(times: np.ndarray) -> None:
    split = split_rows(range(4), times=times, validation=0.25, test=0.25)
    assert [part.tolist() for part in parts(split)] == [[1, 3], [0], [2]]


@settings(max_examples=60)
@given(st.integers(0, 1000), st.integers(2, 6), st.integers(6, 60), st.integers(2, 4))
def test_folds_are_as_even_as_scikit_learns(seed: int, k: int, rows: int, classes: int) -> None:
    labels = np.random.default_rng(seed).permutation(np.arange(rows) % classes)
    fold = folds(range(rows), k=k, labels=labels, seed=seed)
    expected = StratifiedKFold(k) if rows // classes >= k else None
    counts = np.array([[(labels[fold == f] == c).sum() for c in range(classes)] for f in range(k)])
    assert np.ptp(counts.sum(1)) <= 1
    assert (np.ptp(counts, axis=0) <= 1).all()
    if expected is not None:
        held = [len(test) for _, test in expected.split(np.zeros(rows), labels)]
        assert sorted(counts.sum(1)) == sorted(held)


def test_folds_of_groups_are_as_stratified_as_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 40, 800)
    labels = (rng.random(800) < 0.1 + 0.8 * (groups % 3 == 0)).astype(int)
    fold = folds(range(800), k=5, labels=labels, groups=groups)
    assert all(len(set(fold[groups == group])) == 1 for group in range(40))
    theirs = np.empty(800, int)
    for number, (_, test) in enumerate(StratifiedGroupKFold(5).split(np.zeros(800), labels, groups)):
        theirs[test] = number

    def unevenness(found: np.ndarray) -> float:
        return float(np.std([labels[found == f].sum() for f in range(5)]))

    assert unevenness(fold) <= unevenness(theirs) + 5
    assert np.ptp(np.bincount(fold)) < 40


def test_folds_do_not_depend_on_where_rows_stand() -> None:
    keys = np.array([f"row {i}" for i in range(50)])
    turned = np.random.default_rng(0).permutation(50)
    assert np.array_equal(folds(keys[turned]), folds(keys)[turned])
    assert np.bincount(folds(keys)).tolist() == [10] * 5


def test_what_cannot_be_split_is_named() -> None:
    with pytest.raises(DataError, match="all rows are of one class"):
        split_rows(range(10), labels=["a"] * 10)
    with pytest.raises(DataError, match="all rows are of 1 groups, too few for 2 parts"):
        split_rows(range(10), groups=["a"] * 10)
    with pytest.raises(DataError, match="1 rows cannot be split into 2"):
        split_rows(range(1))
    with pytest.raises(DataError, match="3 rows make no 5 folds"):
        folds(range(3))
    with pytest.raises(DataError, match="2 groups make no 3 folds"):
        folds(range(10), k=3, groups=[0, 1] * 5)
    with pytest.raises(DataError, match="labels have too few rows"):
        split_rows(range(4), labels=list("abcd"))
    with pytest.raises(DataError, match="all rows are of 1 times"):
        split_rows(range(4), times=np.ones(4))
    with pytest.raises(DataError, match="row 2: has no time"):
        split_rows(range(3), times=np.array([1.0, 2.0, np.nan]))
    with pytest.raises(DataError, match="row 1: 'soon' is no time"):
        split_rows(range(2), times=np.array(["2024-01-01", "soon"]))
    with pytest.raises(DataError, match="9 labels are given for 10 keys"):
        split_rows(range(10), labels=["a"] * 9)
    with pytest.raises(CapabilityError, match="not by both"):
        split_rows(range(10), groups=["a"] * 10, times=np.arange(10))
    for validation, test in ((0.0, 0.0), (0.5, 0.5), (-0.1, 0.0), (0.2, -0.1)):
        with pytest.raises(InputError, match="shares"):
            split_rows(range(10), validation=validation, test=test)
    with pytest.raises(InputError, match="1 folds"):
        folds(range(10), k=1)
