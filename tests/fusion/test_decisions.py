"""What every decision keeps to, whatever its kind."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sensorium.errors import CapabilityError, CheckpointError, DataError, InputError
from sensorium.fusion.decisions.base import Fitted, absent_rows
from sensorium.fusion.decisions.build import DECISIONS, build_decision, decision_from_dict, decisions_for
from sensorium.fusion.decisions.product import Product
from sensorium.fusion.measures import PROBLEMS, checked_targets, log_loss
from tests.fusion.experts import experts

CASES = [(kind, problem) for problem in PROBLEMS for kind in decisions_for(problem)]
every_case = pytest.mark.parametrize(("kind", "problem"), CASES)


def fitted(kind: str, problem: str, **options: float) -> tuple[Fitted, dict[str, np.ndarray], np.ndarray]:
    predictions, targets = experts(problem, **options)  # type: ignore[arg-type]
    return build_decision(kind).fit(predictions, targets, problem=problem), predictions, targets  # type: ignore[arg-type]


def probable(fused: np.ndarray, problem: str) -> bool:
    if problem == "regression":
        return bool(np.isfinite(fused).all())
    inside = bool(((fused >= 0) & (fused <= 1)).all())
    return inside and (problem == "multi_label" or np.allclose(fused.sum(1), 1))


def test_there_are_seven_kinds_and_only_calibration_has_no_meaning_for_amounts() -> None:
    assert DECISIONS == ("vote", "mean", "weights", "product", "calibrated", "stacking", "selection")
    assert decisions_for("classification") == decisions_for("multi_label") == DECISIONS
    assert set(DECISIONS) - set(decisions_for("regression")) == {"calibrated"}
    with pytest.raises(CapabilityError, match="has no meaning for regression"):
        fitted("calibrated", "regression")
    with pytest.raises(InputError, match="did you mean 'stacking'"):
        build_decision("staking")


@every_case
def test_nan_never_leaks_and_probabilities_stay_probabilities(kind: str, problem: str) -> None:
    decision, predictions, _ = fitted(kind, problem, absent=0.5)
    fused = decision(predictions)
    assert absent_rows(predictions).any()
    assert probable(fused, problem)
    assert np.allclose(fused[absent_rows(predictions)], decision.prior)


@every_case
def test_the_order_of_experts_is_of_no_account(kind: str, problem: str) -> None:
    decision, predictions, targets = fitted(kind, problem, absent=0.2)
    turned = dict(reversed(predictions.items()))
    assert build_decision(kind).fit(turned, targets, problem=problem) == decision  # type: ignore[arg-type]
    assert np.array_equal(decision(turned), decision(predictions))


@every_case
def test_a_rows_answer_does_not_depend_on_other_rows(kind: str, problem: str) -> None:
    decision, predictions, _ = fitted(kind, problem, absent=0.3)
    part = {name: given[7:9] for name, given in predictions.items()}
    assert np.allclose(decision(part), decision(predictions)[7:9], atol=1e-12)
    assert decision({name: given[:0] for name, given in predictions.items()}).shape == (0, 3)


@every_case
def test_a_decision_comes_back_from_json_as_it_was(kind: str, problem: str) -> None:
    decision, predictions, _ = fitted(kind, problem, absent=0.2)
    again = decision_from_dict(json.loads(json.dumps(decision.to_dict())))
    assert again == decision
    assert decision_from_dict(decision.to_dict()) == decision
    assert np.array_equal(again(predictions), decision(predictions))


@every_case
def test_one_expert_alone_is_heard_as_it_is_or_calibrated(kind: str, problem: str) -> None:
    decision, predictions, _ = fitted(kind, problem)
    alone = {name: given if name == "b" else np.full_like(given, np.nan) for name, given in predictions.items()}
    fused = decision(alone)
    assert np.array_equal(decision({"b": predictions["b"]}), fused)
    if kind in ("calibrated", "stacking"):
        assert (np.argsort(fused, 1) == np.argsort(predictions["b"], 1)).all()
    else:
        assert np.allclose(fused, predictions["b"], atol=1e-6)


@every_case
def test_fused_experts_are_better_than_the_mean_of_their_losses(kind: str, problem: str) -> None:
    decision, _, _ = fitted(kind, problem)
    fresh, targets = experts(problem, seed=1)
    expected = checked_targets(problem, targets, rows=300, classes=3)  # type: ignore[arg-type]
    losses = [log_loss(problem, expected, given) for given in fresh.values()]  # type: ignore[arg-type]
    assert log_loss(problem, expected, decision(fresh)) < np.mean(losses)  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "problem"), [case for case in CASES if case[0] in ("mean", "weights", "selection")])
def test_copies_of_one_expert_are_that_expert(kind: str, problem: str) -> None:
    given, targets = experts(problem, n=1)
    copies = dict.fromkeys("xyz", given["a"])
    decision = build_decision(kind).fit(copies, targets, problem=problem)  # type: ignore[arg-type]
    assert np.allclose(decision(copies), given["a"], atol=1e-12)


@pytest.mark.parametrize("problem", ["classification", "multi_label"])
def test_copies_in_a_wholly_redundant_product_are_one_expert(problem: str) -> None:
    given, targets = experts(problem, n=1)
    copies = dict.fromkeys("xyz", given["a"])
    decision = Product(redundancy=1.0).fit(copies, targets, problem=problem)  # type: ignore[arg-type]
    assert np.allclose(decision(copies), given["a"], atol=1e-6)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=st.sampled_from([kind for kind in DECISIONS if kind != "stacking"]),
    seed=st.integers(0, 10_000),
    rows=st.integers(1, 12),
    classes=st.integers(1, 4),
    n=st.integers(1, 4),
    absent=st.floats(0, 0.8),
    hard=st.booleans(),
)
def test_few_rows_of_any_kind_are_fused(
    kind: str, seed: int, rows: int, classes: int, n: int, absent: float, hard: bool
) -> None:
    for problem in ("classification", "multi_label"):
        predictions, targets = experts(problem, rows=rows, classes=classes, n=n, seed=seed, absent=absent)
        if hard:  # Probabilities of 0 and 1, a whole number of experts wrong.
            for given_ in predictions.values():
                there = ~np.isnan(given_).all(1)
                sure = np.eye(classes)[given_[there].argmax(1)] if problem == "classification" else given_[there] > 0.5
                given_[there] = sure
        if absent_rows(predictions).all():
            continue
        decision = build_decision(kind).fit(predictions, targets, problem=problem)  # type: ignore[arg-type]
        assert probable(decision(predictions), problem)


def test_the_prior_is_the_classes_frequency_with_one_row_spread_over_all() -> None:
    predictions, _ = experts("classification", rows=4, classes=3)
    decision = build_decision("mean").fit(predictions, np.array([0, 0, 0, 1]), problem="classification")
    assert decision.prior == pytest.approx(((3 + 1 / 3) / 5, (1 + 1 / 3) / 5, (1 / 3) / 5))


def test_half_precision_sums_are_put_right() -> None:
    predictions, targets = experts("classification")
    half = {name: given.astype(np.float16) for name, given in predictions.items()}
    fused = build_decision("mean").fit(half, targets, problem="classification")(half)
    assert fused.dtype == np.float64
    assert np.allclose(fused.sum(1), 1, atol=1e-12)


def test_what_cannot_be_fused_is_named() -> None:
    decision, predictions, targets = fitted("mean", "classification")
    with pytest.raises(DataError, match=r"'bb' is no expert of this decision; did you mean 'b'\?"):
        decision({"a": predictions["a"], "bb": predictions["b"]})
    with pytest.raises(DataError, match="no expert"):
        decision({})
    with pytest.raises(DataError, match=r"expert 'b': predictions have the shape \(10, 3\), not \(300, 3\)"):
        decision({"a": predictions["a"], "b": predictions["b"][:10]})
    for value, problem in ((np.nan, "not finite"), (np.inf, "not finite"), (3.0, "no probabilities"), (0.9, "sum")):
        broken = np.array([[0.2, 0.3, 0.5], [0.2, 0.3, value]])
        with pytest.raises(DataError, match=f"expert 'a', row 1: .*{problem}"):
            decision({"a": broken})
    with pytest.raises(DataError, match=r"\(10,\)"):
        build_decision("mean").fit(predictions, targets[:10], problem="classification")
    with pytest.raises(DataError, match="target of row 0: 3 is no class number"):
        build_decision("mean").fit(predictions, np.full(300, 3), problem="classification")
    nobody = {name: np.full_like(given, np.nan) for name, given in predictions.items()}
    with pytest.raises(DataError, match="no row has a prediction"):
        build_decision("mean").fit(nobody, targets, problem="classification")


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "votes"},
        {"prior": [0.5, None]},
        {"prior": []},
        {"prior": "0.5"},
        {"names": ["b", "a", "c"]},
        {"names": []},
        {"names": 3},
        {"problem": "ranking"},
        {"weights": [1.0]},
        {"weights": [1.0, 2.0, float("nan")]},
        {"weights": [[1.0], [2.0, 3.0], 1.0]},
        {"more": 1},
    ],
)
def test_a_damaged_saved_decision_is_refused(change: dict[str, object]) -> None:
    saved = fitted("weights", "classification")[0].to_dict()
    with pytest.raises(CheckpointError, match="damaged"):
        decision_from_dict(saved | change)


@pytest.mark.parametrize(
    "change",
    [
        {"temperatures": [1.0, 0.0, 1.0]},
        {"levels": [1, 2]},
        {"levels": [2]},
        {"models": []},
        {"scale": [1.0]},
        {"tied": True},
        {"tied": 0},
    ],
)
def test_a_damaged_stack_is_refused(change: dict[str, object]) -> None:
    saved = fitted("stacking", "classification")[0].to_dict()
    with pytest.raises(CheckpointError, match="damaged"):
        decision_from_dict(saved | change)
