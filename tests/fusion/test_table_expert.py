"""What NumPy reads of scikit-learn's models is what scikit-learn tells."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from sensorium.errors import CheckpointError
from sensorium.fusion.table_expert import TableExpert

SETTINGS = {"max_iter": 100, "max_leaf_nodes": 15, "learning_rate": 0.1, "early_stopping": False, "random_state": 0}


def data(rows: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(classes)
    x = rng.normal(size=(rows, 3)).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    x = np.column_stack((x, rng.integers(0, 5, rows))).astype(np.float32)
    score = np.nan_to_num(x[:, 0]) + (x[:, 3] > 2) + 0.3 * rng.normal(size=rows)
    return x, np.digitize(score, np.quantile(score, np.arange(1, classes) / classes))


@pytest.mark.parametrize("classes", [2, 3])
def test_trees_of_classes(classes: int) -> None:
    x, y = data(400, classes)
    expert = TableExpert.fit(x, np.eye(classes)[y], problem="classification", numbers=3, sizes=(5,))
    expected = HistGradientBoostingClassifier(**SETTINGS).fit(x, y).predict_proba(x)
    assert expert.kind == "trees"
    assert np.abs(expert(x) - expected).max() < 1e-12


def test_trees_of_amounts_and_labels() -> None:
    x, y = data(400, 5)
    expert = TableExpert.fit(x, y[:, None].astype(float), problem="regression", numbers=3, sizes=(5,))
    expected = HistGradientBoostingRegressor(**SETTINGS).fit(x, y.astype(float)).predict(x)
    assert np.abs(expert(x)[:, 0] - expected).max() < 1e-12
    labels = np.column_stack((y > 1, y > 3, np.ones_like(y))).astype(float)
    several = TableExpert.fit(x, labels, problem="multi_label", numbers=3, sizes=(5,))
    expected = HistGradientBoostingClassifier(**SETTINGS).fit(x, labels[:, 1]).predict_proba(x)[:, 1]
    assert np.abs(several(x)[:, 1] - expected).max() < 1e-12
    assert (several(x)[:, 2] > 0.99).all(), "a label that all rows have"


@pytest.mark.parametrize(("problem", "classes"), [("classification", 2), ("classification", 3), ("regression", 4)])
def test_few_rows_are_learned_by_a_line_and_a_saved_expert_answers_alike(problem: str, classes: int) -> None:
    x, y = data(100, classes)
    targets = y[:, None].astype(float) if problem == "regression" else np.eye(classes)[y]
    expert = TableExpert.fit(x, targets, problem=problem, numbers=3, sizes=(5,))  # type: ignore[arg-type]
    found = expert(x)
    right = np.abs(found[:, 0] - y).mean() < 0.8 if problem == "regression" else (found.argmax(1) == y).mean() > 0.7
    assert expert.kind == "linear"
    assert right
    again = TableExpert.from_dict(json.loads(json.dumps(expert.to_dict())), expert.arrays)
    assert np.array_equal(again(x), found)
    with pytest.raises(CheckpointError, match="damaged"):
        TableExpert.from_dict(expert.to_dict(), {})
