"""Calibration against scikit-learn, SciPy, and Guo et al.'s formula written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from sensorium.errors import CapabilityError, DataError, InputError
from sensorium.fusion.calibration import (
    COLDEST,
    HOTTEST,
    apply_temperature,
    brier,
    calibration,
    expected_calibration_error,
    fit_temperature,
    reliability,
)
from tests.fusion.experts import experts, sigmoid, softmax


@pytest.mark.parametrize("sharpness", [0.2, 1.0, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_temperature_of_classes_is_scipys_optimum(sharpness: float, seed: int) -> None:
    predictions, targets = experts("classification", seed=seed)
    logits = sharpness * np.log(predictions["b"]).clip(-8, 0)
    found = fit_temperature(softmax(logits), targets, problem="classification")
    best = minimize_scalar(
        lambda t: log_loss(targets, softmax(logits / t)), bounds=(COLDEST, HOTTEST), method="bounded"
    )
    assert found == pytest.approx(best.x, rel=1e-3)
    assert np.allclose(apply_temperature(softmax(logits), found, problem="classification"), softmax(logits / found))


@pytest.mark.parametrize("sharpness", [0.2, 1.0, 3.0])
def test_the_temperature_of_labels_is_scipys_optimum(sharpness: float) -> None:
    predictions, targets = experts("multi_label")
    logits = sharpness * np.log(predictions["b"] / (1 - predictions["b"])).clip(-4, 4)
    found = fit_temperature(sigmoid(logits), targets, problem="multi_label")

    def loss(temperature: float) -> float:
        return float(np.logaddexp(0, -np.where(targets > 0, 1, -1) * logits / temperature).mean())

    best = minimize_scalar(loss, bounds=(COLDEST, HOTTEST), method="bounded")
    assert found == pytest.approx(best.x, rel=1e-3)
    assert np.allclose(apply_temperature(sigmoid(logits), found, problem="multi_label"), sigmoid(logits / found))


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 6), st.floats(0.01, 50))
def test_a_temperature_keeps_its_bounds_and_never_worsens_the_loss(seed: int, rows: int, sharpness: float) -> None:
    rng = np.random.default_rng(seed)
    probabilities, targets = softmax(rng.normal(size=(rows, 3)) * sharpness), rng.integers(0, 3, rows)
    found = fit_temperature(probabilities, targets, problem="classification")
    assert COLDEST <= found <= HOTTEST
    cooled = [
        log_loss(targets, apply_temperature(probabilities, t, problem="classification"), labels=range(3))
        for t in (found, 1.0)
    ]
    assert cooled[0] <= cooled[1] + 1e-9


def test_rows_that_are_all_right_or_all_wrong_reach_a_bound() -> None:
    probabilities = np.array([[0.6, 0.4], [0.3, 0.7]])
    assert fit_temperature(probabilities, np.array([0, 1]), problem="classification") == pytest.approx(COLDEST)
    assert fit_temperature(probabilities, np.array([1, 0]), problem="classification") == pytest.approx(HOTTEST)
    even = np.full((2, 2), 0.5)
    assert np.isfinite(fit_temperature(even, np.array([0, 1]), problem="classification"))


def naive_ece(probabilities: np.ndarray, targets: np.ndarray, bins: int) -> float:
    """Guo et al. 2017, equation 3, with bins ((m - 1)/M, m/M]."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == targets
    total = 0.0
    for m in range(1, bins + 1):
        inside = (confidence > (m - 1) / bins) & (confidence <= m / bins)
        if inside.any():
            total += inside.sum() / len(targets) * abs(right[inside].mean() - confidence[inside].mean())
    return total


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_the_calibration_error_of_classes_is_guos(bins: int) -> None:
    predictions, targets = experts("classification", rows=500)
    found = expected_calibration_error(predictions["c"], targets, problem="classification", bins=bins)
    assert found == pytest.approx(naive_ece(predictions["c"], targets, bins))


@pytest.mark.parametrize(("binning", "strategy"), [("width", "uniform"), ("mass", "quantile")])
def test_the_table_of_labels_is_scikit_learns_curve(binning: str, strategy: str) -> None:
    predictions, targets = experts("multi_label", rows=200)
    table = reliability(predictions["b"], targets, problem="multi_label", bins=10, binning=binning)  # type: ignore[arg-type]
    held, said = calibration_curve(targets.ravel(), predictions["b"].ravel(), n_bins=10, strategy=strategy)
    assert [one.accuracy for one in table] == pytest.approx(held)
    assert [one.confidence for one in table] == pytest.approx(said)
    assert sum(one.count for one in table) == targets.size
    if binning == "mass":
        assert len({one.count for one in table}) == 1


def test_equal_confidences_stay_in_one_bin() -> None:
    probabilities, targets = np.tile([0.8, 0.2], (10, 1)), np.repeat([0, 1], [8, 2])
    (only,) = reliability(probabilities, targets, problem="classification", binning="mass")
    assert (only.count, only.accuracy) == (10, 0.8)
    assert expected_calibration_error(probabilities, targets, problem="classification") == pytest.approx(0)


def test_brier_is_scikit_learns() -> None:
    predictions, targets = experts("classification")
    truth = np.eye(3)[targets]
    expected = sum(brier_score_loss(truth[:, i], predictions["b"][:, i]) for i in range(3))
    assert brier(predictions["b"], targets, problem="classification") == pytest.approx(expected)
    predictions, targets = experts("multi_label")
    expected = brier_score_loss(targets.ravel(), predictions["b"].ravel())
    assert brier(predictions["b"], targets, problem="multi_label") == pytest.approx(expected)


def test_the_summary_holds_what_its_parts_say() -> None:
    predictions, targets = experts("classification")
    found = calibration(predictions["a"], targets, problem="classification")
    assert found.ece == expected_calibration_error(predictions["a"], targets, problem="classification")
    assert found.nll == pytest.approx(log_loss(targets, predictions["a"]))
    assert found.bins == reliability(predictions["a"], targets, problem="classification")
    assert found.ece_equal_mass > 0


def test_calibration_mends_an_expert_that_is_too_sure() -> None:
    predictions, targets = experts("classification", rows=2000)
    loud = softmax(4 * np.log(predictions["a"]))
    temperature = fit_temperature(loud[:1000], targets[:1000], problem="classification")
    fresh = apply_temperature(loud[1000:], temperature, problem="classification")
    before, after = (calibration(one, targets[1000:], problem="classification") for one in (loud[1000:], fresh))
    assert after.ece < before.ece / 2
    assert after.nll < before.nll


def test_what_cannot_be_calibrated_is_named() -> None:
    with pytest.raises(CapabilityError, match="no probabilities"):
        calibration(np.ones((2, 1)), np.ones(2), problem="regression")
    with pytest.raises(DataError, match="row 0: a probability is NaN"):
        brier(np.full((2, 2), np.nan), np.array([0, 1]), problem="classification")
    with pytest.raises(DataError, match="nothing to calibrate"):
        fit_temperature(np.empty((0, 2)), np.empty(0, np.int64), problem="classification")
    with pytest.raises(InputError, match="temperature is 0"):
        apply_temperature(np.full((1, 2), 0.5), 0.0, problem="classification")
    with pytest.raises(InputError, match="0 bins"):
        reliability(np.full((1, 2), 0.5), np.array([0]), problem="classification", bins=0)
