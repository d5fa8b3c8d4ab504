"""Labels: classes, several labels, amounts."""

from __future__ import annotations

import numpy as np
import pytest

from sensorium.data.tables.numbers import MISSING, UNSEEN, NumbersSpec
from sensorium.data.tables.targets import TargetSpec
from sensorium.errors import DataError, InputError


def fit(cells: list[object], problem: str = "auto") -> TargetSpec:
    return TargetSpec.fit(cells, problem=problem, where="t.csv, column 'y'", name="y")


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        (["a", "b", "a"], "classification"),
        (["0", "1", "10", "2"], "classification"),
        ([True, False], "classification"),
        ([1.5, 2.5, 3.0], "regression"),
        ([str(i) for i in range(40)], "regression"),
        (["a|b", "a", "b|c"], "multi_label"),
        ([["a"], [], ["a", "b"]], "multi_label"),
    ],
)
def test_the_problem_is_told_by_the_labels(cells: list[object], problem: str) -> None:
    assert fit(cells).problem == problem


def test_classes_are_in_order_and_become_weights() -> None:
    spec = fit(["10", "2", "2", None])
    assert spec.names == ("2", "10")
    assert spec.known(["2", None, ""]).tolist() == [True, False, False]
    targets = spec.encode(["10", 2.0], where="here")
    assert targets.tolist() == [[0, 1], [1, 0]]
    assert spec.plain(targets).tolist() == [1, 0]
    weights = spec.weights(spec.encode(["2", "2", "2", "10"], where="here"), "balanced")
    assert weights is not None
    assert np.allclose(weights, [4 / 6, 4 / 2])


def test_several_labels_of_one_cell() -> None:
    spec = fit(["red; big", "red", ""], "multi_label")
    assert spec.names == ("big", "red")
    assert spec.separator == ";"
    assert spec.encode(["big;red", "", "red"], where="here").tolist() == [[1, 1], [0, 0], [0, 1]]


def test_amounts_are_told_in_deviations_and_come_back() -> None:
    spec = fit([10.0, 20.0, 30.0], "regression")
    targets = spec.encode(["10", 30], where="here")
    assert np.allclose(spec.amounts(targets)[:, 0], [10, 30])
    assert np.isclose(spec.std, np.std([10, 20, 30]))


def test_labels_that_teach_nothing_are_refused() -> None:
    with pytest.raises(DataError, match="every label is 'a'"):
        fit(["a", "a", None])
    with pytest.raises(DataError, match="no row has a label"):
        fit([None, ""])
    with pytest.raises(DataError, match="leave nothing to learn from"):
        fit([f"n{i}" for i in range(50)])
    with pytest.raises(DataError, match="'b' is no amount"):
        fit([1.0, "b"], "regression")
    with pytest.raises(DataError, match="every amount is 3"):
        fit([3, 3.0], "regression")
    with pytest.raises(InputError, match="unknown problem 'classify'"):
        fit(["a", "b"], "classify")
    with pytest.raises(DataError, match="'c' is none of the training data's"):
        fit(["a", "b"]).encode(["c"], where="here")


@pytest.mark.parametrize("cells", [["a", "b"], ["a|b", "b"], [1.5, 2.25]])
def test_labels_come_back_from_json(cells: list[object]) -> None:
    spec = fit(cells)
    assert TargetSpec.from_dict(spec.to_dict()) == spec


def test_numbers_are_standardised_and_what_is_not_known_is_marked() -> None:
    spec = NumbersSpec.fit({"size": [1, 2, 3, None]}, {"place": ["in", "out", None]})
    matrix, known = spec.encode({"size": ["2", "NA", 1e300], "place": ["out", "elsewhere", None]}, 3)
    assert matrix[0].tolist() == [0.0, 3.0]
    assert np.isnan(matrix[1, 0])
    assert matrix[1, 1] == UNSEEN
    assert np.isfinite(matrix[2, 0])
    assert matrix[2, 1] == MISSING
    assert known.tolist() == [True, True, True]
    assert not spec.encode({}, 2)[1].any(), "columns that are not there are missing"
    assert NumbersSpec.from_dict(spec.to_dict()) == spec
    assert spec.sizes == (4,)
