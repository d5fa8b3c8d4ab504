"""How answers are made of what features and experts tell."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sensorium.data.tables.targets import TargetSpec
from sensorium.errors import ConfigError
from sensorium.fusion.compare import Told, compare
from sensorium.fusion.decisions.build import build_decision
from sensorium.fusion.measures import log_loss, measure
from sensorium.fusion.model_decision import Verdict, check_decision, fit_verdict
from tests.fusion.experts import experts

SPEC = TargetSpec("classification", ("a", "b", "c"))


def told(seed: int, *, absent: float = 0.2) -> tuple[Told, np.ndarray]:
    found, targets = experts("classification", seed=seed, absent=absent)
    present = {name: ~np.isnan(one).any(1) for name, one in found.items()}
    fused = np.nan_to_num(np.mean([np.nan_to_num(one, nan=1 / 3) for one in found.values()], axis=0))
    return Told(fused, found, present), np.eye(3)[targets]


def test_an_answer_of_decisions_is_the_fitted_decision_calibrated() -> None:
    calibration, validation = told(0), told(1)
    verdict, tried = fit_verdict(
        "decision", SPEC, prior=np.full(3, 1 / 3), validation=validation, calibration=calibration, decision="stacking"
    )
    fitted = build_decision("stacking").fit(calibration[0].experts, calibration[1].argmax(1), problem="classification")
    some = ~validation[0].empty
    assert np.array_equal(verdict.uncalibrated(validation[0])[some], fitted(validation[0].experts)[some])
    loss = log_loss("classification", validation[1].argmax(1), fitted(validation[0].experts))
    assert tried == {"stacking": pytest.approx(loss, abs=0.02)}
    answers = verdict(validation[0])
    assert np.allclose(answers.sum(1), 1)
    assert np.allclose(answers[~some], 1 / 3)
    assert np.array_equal(answers[some].argmax(1), fitted(validation[0].experts)[some].argmax(1))


@pytest.mark.parametrize("level", ["feature", "decision", "both"])
def test_the_best_way_on_validation_is_taken_and_comes_back_from_json(level: str) -> None:
    validation = told(1)
    verdict, tried = fit_verdict(
        level,
        SPEC,
        prior=np.full(3, 1 / 3),
        validation=validation,
        calibration=told(0),  # type: ignore[arg-type]
    )
    answers = verdict(validation[0])
    main = measure("classification", validation[1].argmax(1), answers)
    assert main["log_loss"] <= min(tried.values()) + 1e-6
    again = Verdict.from_dict(json.loads(json.dumps(verdict.to_dict())))
    assert np.array_equal(again(validation[0]), answers)


def test_a_decision_without_meaning_for_the_problem_is_refused() -> None:
    check_decision("vote")
    check_decision("vote", "classification")
    check_decision("auto", "regression")
    with pytest.raises(ConfigError, match="the decision 'calibrated' has no meaning for regression"):
        check_decision("calibrated", "regression")


def test_an_unknown_decision_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown decision 'stacked'"):
        fit_verdict("decision", SPEC, prior=np.full(3, 1 / 3), validation=told(1), decision="stacked")


def test_systems_are_compared_on_the_rows_that_they_answer() -> None:
    found, targets = told(3)
    compared = compare(found.experts, targets, SPEC)
    assert set(compared) == set(found.experts)
    here = found.present["a"]
    right = (found.experts["a"][here].argmax(1) == targets[here].argmax(1)).mean()
    interval = compared["a"].interval
    assert compared["a"].rows == here.sum()
    assert compared["a"].measures["accuracy"] == pytest.approx(right)
    assert interval is not None
    assert interval.low < right < interval.high
