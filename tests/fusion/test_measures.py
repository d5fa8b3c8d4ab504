"""Measures against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from sensorium.errors import DataError, InputError
from sensorium.fusion.measures import MAIN, average_precisions, check_problem, measure, retrieval
from tests.fusion.experts import experts

seeds = pytest.mark.parametrize("seed", range(5))


@seeds
def test_measures_of_classes_are_scikit_learns(seed: int) -> None:
    predictions, targets = experts("classification", rows=60, classes=5, seed=seed)
    targets[targets == 4] = 0  # A class that is found and never true.
    given_, found = predictions["b"], predictions["b"].argmax(1)
    expected = {
        "accuracy": sk.accuracy_score(targets, found),
        "balanced_accuracy": sk.recall_score(targets, found, labels=np.unique(targets), average="macro"),
        "macro_f1": sk.f1_score(targets, found, average="macro"),
        "log_loss": sk.log_loss(targets, given_, labels=range(5)),
    }
    assert measure("classification", targets, given_) == pytest.approx(expected)


@seeds
def test_measures_of_labels_are_scikit_learns(seed: int) -> None:
    predictions, targets = experts("multi_label", rows=60, classes=4, seed=seed)
    given_ = predictions["b"].round(1)  # With ties.
    found = given_ >= 0.5
    expected = {
        "mean_average_precision": sk.average_precision_score(targets, given_, average="macro"),
        "micro_f1": sk.f1_score(targets, found, average="micro"),
        "macro_f1": sk.f1_score(targets, found, average="macro"),
        "log_loss": np.mean([sk.log_loss(targets[:, i], given_[:, i], labels=[0, 1]) for i in range(4)]),
    }
    assert measure("multi_label", targets, given_) == pytest.approx(expected)


@seeds
def test_measures_of_amounts_are_scikit_learns(seed: int) -> None:
    predictions, targets = experts("regression", rows=60, classes=2, seed=seed)
    expected = {
        "rmse": sk.root_mean_squared_error(targets, predictions["b"]),
        "mae": sk.mean_absolute_error(targets, predictions["b"]),
        "r2": sk.r2_score(targets, predictions["b"]),
    }
    assert measure("regression", targets, predictions["b"]) == pytest.approx(expected)
    one = measure("regression", targets[:, 0], predictions["b"][:, :1])
    assert one["r2"] == pytest.approx(sk.r2_score(targets[:, 0], predictions["b"][:, 0]))


@settings(max_examples=100)
@given(st.integers(0, 10_000), st.integers(1, 30))
def test_average_precision_is_scikit_learns_whatever_the_ties(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    targets, scores = rng.random((rows, 2)) < 0.4, rng.integers(0, 4, (rows, 2)) / 4
    for label, found in enumerate(average_precisions(targets, scores)):
        if targets[:, label].any():
            assert found == pytest.approx(sk.average_precision_score(targets[:, label], scores[:, label]))
        else:
            assert np.isnan(found)


def test_what_occurs_nowhere_counts_in_no_mean() -> None:
    targets, given_ = np.array([[1, 0], [0, 0]]), np.array([[0.9, 0.1], [0.1, 0.2]])
    assert measure("multi_label", targets, given_)["mean_average_precision"] == 1
    assert measure("multi_label", targets, given_)["macro_f1"] == 1
    assert sk.f1_score(targets, given_ >= 0.5, average="macro", zero_division=np.nan) == 1
    assert np.isnan(measure("multi_label", np.zeros((2, 2)), given_)["mean_average_precision"])


def test_amounts_that_are_all_alike_are_explained_wholly_or_not_at_all() -> None:
    flat = np.full((3, 1), 2.0)
    assert measure("regression", flat, flat)["r2"] == sk.r2_score(flat, flat) == 1
    assert measure("regression", flat, flat + 1)["r2"] == sk.r2_score(flat, flat + 1) == 0


@pytest.mark.parametrize("problem", ["classification", "multi_label", "regression"])
def test_the_main_measure_comes_first(problem: str) -> None:
    predictions, targets = experts(problem)
    assert next(iter(measure(problem, targets, predictions["a"]))) == MAIN[problem]  # type: ignore[arg-type]


@seeds
def test_recall_is_scikit_learns_top_k_accuracy_where_one_answer_is_right(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, right = rng.normal(size=(40, 12)), rng.integers(0, 12, 40)
    found = retrieval(scores, np.eye(12, dtype=bool)[right], ks=(1, 3))
    for k in (1, 3):
        assert found[f"recall_at_{k}"] == pytest.approx(sk.top_k_accuracy_score(right, scores, k=k, labels=range(12)))
    # With one right answer the reciprocal rank is the average precision of the ranking.
    expected = sk.label_ranking_average_precision_score(np.eye(12)[right], scores)
    assert found["mrr"] == pytest.approx(expected)


def test_the_best_placed_of_several_right_answers_counts() -> None:
    scores = np.array([[0.9, 0.8, 0.7, 0.1], [0.1, 0.2, 0.3, 0.4]])
    relevant = np.array([[False, True, True, False], [True, False, False, True]])
    assert retrieval(scores, relevant, ks=(1, 2)) == {"recall_at_1": 0.5, "recall_at_2": 1.0, "mrr": 0.75}


def test_scores_that_are_all_alike_find_nothing() -> None:
    found = retrieval(np.zeros((4, 4)), np.eye(4, dtype=bool), ks=(1, 3, 4))
    assert found == {"recall_at_1": 0.0, "recall_at_3": 0.0, "recall_at_4": 1.0, "mrr": 0.25}


def test_what_cannot_be_measured_is_named() -> None:
    with pytest.raises(InputError, match="unknown problem 'clasification'; did you mean 'classification'"):
        check_problem("clasification")
    with pytest.raises(DataError, match="nothing to measure"):
        measure("classification", np.empty(0, np.int64), np.empty((0, 3)))
    with pytest.raises(DataError, match="row 1: a prediction is not finite"):
        measure("classification", np.array([0, 1]), np.array([[0.5, 0.5], [np.nan, np.nan]]))
    with pytest.raises(DataError, match="target of row 1: a label is neither 0 nor 1"):
        measure("multi_label", np.array([[0, 1], [2, 0]]), np.full((2, 2), 0.5))
    with pytest.raises(DataError, match=r"of the type <U1.*class numbers"):
        measure("classification", np.array(["a", "b"]), np.full((2, 2), 0.5))
    with pytest.raises(DataError, match="row 0: a target is not finite"):
        measure("regression", np.array([np.nan, 1.0]), np.ones((2, 1)))
    with pytest.raises(DataError, match="query 1: has no right answer"):
        retrieval(np.zeros((2, 2)), np.array([[True, False], [False, False]]))
    with pytest.raises(DataError, match="query 0: a score is NaN"):
        retrieval(np.full((2, 2), np.nan), np.eye(2, dtype=bool))
    with pytest.raises(DataError, match="nothing to retrieve"):
        retrieval(np.zeros((0, 2)), np.zeros((0, 2), dtype=bool))
    with pytest.raises(InputError, match="recall"):
        retrieval(np.zeros((2, 2)), np.eye(2, dtype=bool), ks=(0,))
