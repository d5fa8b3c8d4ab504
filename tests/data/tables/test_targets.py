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
        (["red;big", "red", "big;round", "round", "red;big;round"], "multi_label"),
        (["red, big", "red", "big, round", "round", "round, red"], "multi_label"),
        (["Paris, France", "Lyon, France", "Bonn, Germany", "Kiel, Germany"] * 3, "classification"),
        (["tall, old", "tall, new", "low, old", "low, new"] * 3, "classification"),
        (["1,5", "2,5", "1", "2", "5"] * 3, "classification"),
        (["oh; no", "yes; well, so", "no"] * 3, "classification"),
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


def test_what_parts_labels_is_found_and_what_was_taken_is_told() -> None:
    spec = fit(["red;big", "red", "big;round", "round"])
    assert spec.separator == ";"
    assert spec.names == ("big", "red", "round")
    assert spec.told == "multi_label, 3 labels; several in one text are parted by ';'"
    assert fit(["a", "b"]).told == "classification, 2 classes"
    assert fit([1.5, 2.5]).told == "regression, amounts around 2"


def test_half_a_character_in_a_label_is_replaced() -> None:
    assert fit(["a\ud800", "b"]).names == ("a\ufffd", "b")


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


def test_cells_that_are_no_number_or_were_never_seen_are_counted() -> None:
    spec = NumbersSpec.fit({"age": [1, 2, 3]}, {"city": ["Oslo", "Rome"]})
    cells = {"age": ["old", "", "NA", 4, "3 years"], "city": ["Bonn", "Oslo", None, "Kiel", "Bonn"]}
    assert spec.strange(cells) == [
        "column 'age': 2 cells are no number",
        "column 'city': 3 values were not seen in training",
    ]
    assert spec.strange({"age": ["x"]}) == ["column 'age': 1 cell is no number"]
    assert not spec.strange({"age": [1.5, "NA", None], "city": ["Rome"]})
