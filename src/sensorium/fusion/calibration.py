"""Are probabilities true? Temperature scaling, reliability tables, and the errors that sum them up.

Unusual: it works on probabilities, not logits. The logits of a softmax are known from its probabilities but for a
constant, which no temperature heeds, so that any expert can be calibrated, a remote one too. The loss is convex in the
inverse of the temperature; a guarded Newton's method finds its one least point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from sensorium.errors import CapabilityError, DataError, InputError
from sensorium.fusion.measures import Problem, checked_targets, log_loss

FLOOR = 1e-7
"""Experts are fused as if no probability were nearer to 0 (of labels: to 1): a sigmoid in float32 can tell no more from
1, and an expert that gives 0, as a forest of few trees does, would else decide alone."""
_CLASS_FLOOR = 1e-12
"""Of a softmax far smaller probabilities can be trusted, and a temperature needs them; 0 is taken for this much."""
COLDEST, HOTTEST = 0.05, 20.0
"""Bounds of a temperature, so that a few rows that are all right make no certainty."""
_STEPS = 50
_NEAR = 1e-9

Binning = Literal["width", "mass"]


@dataclass(frozen=True, slots=True)
class Bin:
    """One row of a reliability table."""

    low: float
    high: float
    """Confidences above `low`, up to `high`; the first bin holds its `low` too."""
    confidence: float
    """Mean of those in the bin."""
    accuracy: float
    """How often what was said with this confidence is so."""
    count: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far probabilities can be trusted."""

    ece: float
    """Expected calibration error, equal-width bins."""
    ece_equal_mass: float
    brier: float
    nll: float
    """Mean negative log-likelihood in nats."""
    bins: tuple[Bin, ...]
    """Of equal width, without the empty ones."""


def calibration(
    probabilities: Float64[np.ndarray, "rows classes"],
    targets: Shaped[np.ndarray, " ..."],
    *,
    problem: Problem,
    bins: int = 15,
) -> Calibration:
    """All that this module measures, of one system.

    Raises:
        CapabilityError: the problem is regression.
        DataError: there are no rows, or the targets do not fit.
    """
    expected = _expected(probabilities, targets, problem)
    table = reliability(probabilities, targets, problem=problem, bins=bins)
    mass = reliability(probabilities, targets, problem=problem, bins=bins, binning="mass")
    return Calibration(
        ece=_gap(table),
        ece_equal_mass=_gap(mass),
        brier=brier(probabilities, targets, problem=problem),
        nll=log_loss(problem, expected, probabilities),
        bins=table,
    )


def fit_temperature(
    probabilities: Float64[np.ndarray, "rows classes"], targets: Shaped[np.ndarray, " ..."], *, problem: Problem
) -> float:
    """The temperature of least log loss (Guo et al. 2017), between COLDEST and HOTTEST; above 1 softens.

    Args:
        probabilities: of rows that the expert was not trained on.
        targets: class numbers "rows", or labels "rows classes", one temperature for all of them.
        problem: classification or multi_label.

    Raises:
        CapabilityError: the problem is regression.
        DataError: there are no rows, or the targets do not fit.
    """
    expected = _expected(probabilities, targets, problem)
    if problem == "classification":
        logits = np.log(np.clip(probabilities, _CLASS_FLOOR, 1))
        chosen = np.take_along_axis(logits, expected[:, None].astype(np.int64), 1)[:, 0].mean()
    else:
        # A label is a class against another whose logit is 0.
        logits = log_odds(probabilities).reshape(-1, 1)
        chosen = (logits[:, 0] * expected.ravel()).mean()

    def slope(sharpness: float) -> tuple[float, float]:
        """First and second derivative of the loss."""
        weights = softmax(sharpness * logits) if problem == "classification" else sigmoid(sharpness * logits)
        mean = (weights * logits).sum(1)
        return float(mean.mean() - chosen), float(((weights * logits**2).sum(1) - mean**2).mean())

    low, high, sharpness = 1 / HOTTEST, 1 / COLDEST, 1.0
    for _ in range(_STEPS):
        first, second = slope(sharpness)
        if first > 0:
            high = sharpness
        else:
            low = sharpness
        following = sharpness - first / second if second > 0 else low
        if not low < following < high:
            # Newton's step leaves the bracket: halve that, in the logarithm, which soon reaches a bound too.
            following = float(np.sqrt(low * high))
        if abs(following - sharpness) <= _NEAR * sharpness:
            break
        sharpness = following
    return float(np.clip(1 / sharpness, COLDEST, HOTTEST))


def apply_temperature(
    probabilities: Float64[np.ndarray, "rows classes"], temperature: float, *, problem: Problem
) -> Float64[np.ndarray, "rows classes"]:
    """What softmax or sigmoid give of the logits divided by the temperature. Their order stays.

    Raises:
        CapabilityError: the problem is regression.
        InputError: the temperature is not above 0.
    """
    _only_probabilities(problem)
    if not (temperature > 0 and np.isfinite(temperature)):
        raise InputError(f"a temperature is {temperature}", fix="Give a number above 0")
    if problem == "classification":
        return softmax(np.log(np.clip(probabilities, _CLASS_FLOOR, 1)) / temperature)
    return sigmoid(log_odds(probabilities) / temperature)


def reliability(
    probabilities: Float64[np.ndarray, "rows classes"],
    targets: Shaped[np.ndarray, " ..."],
    *,
    problem: Problem,
    bins: int = 15,
    binning: Binning = "width",
) -> tuple[Bin, ...]:
    """The table behind a reliability plot, without empty bins.

    Classification: the probability of the likeliest class, against how often it is right (Guo et al. 2017).
    Multi-label: the probability of each label of each row, against how often it holds.

    Args:
        probabilities: of each class or label.
        targets: as `checked_targets` takes them.
        problem: classification or multi_label.
        bins: how many.
        binning: `width` (default, as Guo et al.): the confidences from 0 to 1 are cut evenly; `mass`: at their
            quantiles, so that bins hold about as many each; equal confidences stay in one bin.

    Raises:
        CapabilityError: the problem is regression.
        InputError: there is no bin.
        DataError: there are no rows, or the targets do not fit.
    """
    expected = _expected(probabilities, targets, problem)
    if bins < 1:
        raise InputError(f"{bins} bins are asked for", fix="Give at least 1")
    if problem == "classification":
        confidence, right = probabilities.max(1), (probabilities.argmax(1) == expected).astype(np.float64)
    else:
        confidence, right = probabilities.ravel(), expected.ravel()
    if binning == "width":
        edges = np.linspace(0.0, 1.0, bins + 1)
    else:
        edges = np.unique(np.quantile(confidence, np.linspace(0.0, 1.0, bins + 1)))
        edges = edges if len(edges) > 1 else np.repeat(edges, 2)
    number = np.searchsorted(edges[1:-1], confidence)
    counts = np.bincount(number, minlength=len(edges) - 1)
    said, held = (np.bincount(number, weights=values, minlength=len(counts)) for values in (confidence, right))
    return tuple(
        Bin(float(edges[i]), float(edges[i + 1]), float(said[i] / count), float(held[i] / count), int(count))
        for i, count in enumerate(counts)
        if count
    )


def expected_calibration_error(
    probabilities: Float64[np.ndarray, "rows classes"],
    targets: Shaped[np.ndarray, " ..."],
    *,
    problem: Problem,
    bins: int = 15,
    binning: Binning = "width",
) -> float:
    """Mean distance of confidence and accuracy over the bins of `reliability`, by their count (Naeini et al. 2015)."""
    return _gap(reliability(probabilities, targets, problem=problem, bins=bins, binning=binning))


def brier(
    probabilities: Float64[np.ndarray, "rows classes"], targets: Shaped[np.ndarray, " ..."], *, problem: Problem
) -> float:
    """Brier's score (1950). Classification: squared distance to the true class, summed over classes, 0 to 2.
    Multi-label: the mean over labels, 0 to 1.

    Raises:
        CapabilityError: the problem is regression.
        DataError: there are no rows, or the targets do not fit.
    """
    expected = _expected(probabilities, targets, problem)
    if problem == "classification":
        truth = np.zeros_like(probabilities)
        truth[np.arange(len(truth)), expected.astype(np.int64)] = 1
        return float(((probabilities - truth) ** 2).sum(1).mean())
    return float(((probabilities - expected) ** 2).mean())


def softmax(logits: Float64[np.ndarray, "*rows classes"]) -> Float64[np.ndarray, "*rows classes"]:
    """Over the last axis."""
    powers: Float64[np.ndarray, "*rows classes"] = np.exp(logits - logits.max(-1, keepdims=True))
    powers /= powers.sum(-1, keepdims=True)
    return powers


def sigmoid(logits: Float64[np.ndarray, " *shape"]) -> Float64[np.ndarray, " *shape"]:
    """Without overflow."""
    small = np.exp(-np.abs(logits))
    found: Float64[np.ndarray, " *shape"] = np.where(logits >= 0, 1.0, small) / (1 + small)
    return found


def log_odds(probabilities: Float64[np.ndarray, " *shape"]) -> Float64[np.ndarray, " *shape"]:
    """Of probabilities, held FLOOR away from 0 and 1."""
    held = np.clip(probabilities, FLOOR, 1 - FLOOR)
    found: Float64[np.ndarray, " *shape"] = np.log(held) - np.log1p(-held)
    return found


def _gap(table: tuple[Bin, ...]) -> float:
    total = sum(one.count for one in table)
    return sum(one.count * abs(one.confidence - one.accuracy) for one in table) / total


def _only_probabilities(problem: Problem) -> None:
    if problem == "regression":
        raise CapabilityError("amounts are no probabilities", fix="Calibrate classification or multi_label")


def _expected(
    probabilities: Float64[np.ndarray, "rows classes"], targets: Shaped[np.ndarray, " ..."], problem: Problem
) -> Int64[np.ndarray, " rows"] | Float64[np.ndarray, "rows classes"]:
    _only_probabilities(problem)
    rows, classes = probabilities.shape
    expected = checked_targets(problem, targets, rows=rows, classes=classes)
    if not rows or not classes:
        raise DataError("there is nothing to calibrate", fix="Give at least one row")
    if np.isnan(probabilities).any():
        row = int(np.argwhere(np.isnan(probabilities))[0][0])
        raise DataError("a probability is NaN", where=f"row {row}", fix="Leave rows without a prediction out")
    return expected
