"""A mean with learned weights: the convex combination of least log loss, or of least squared error.

The weights are one set for all rows; where experts are absent, those of the others are scaled up to sum to 1, in
fitting as in use. They are found by exponentiated gradient steps (Kivinen & Warmuth 1997), which never leave the
simplex, each halved until it lowers the loss enough. A few numbers need no millions of rows: of more, a fixed draw is
looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from jaxtyping import Float64

from sensorium.fusion.calibration import FLOOR
from sensorium.fusion.decisions.base import Decision, Fitted, Present, Sample, Stack, weighted_mean

Vector = Float64[np.ndarray, " experts"]
_STEPS = 500
_MOST = 50_000
"""Rows (of labels: rows and labels; of amounts: rows and amounts) that are looked at."""
_GAIN = 1e-8
"""Steps that lower the loss by no more than this share are the last."""
_GAP = 1e-7
"""No other weights can lower a convex loss by more; where experts are absent it is not quite convex."""


@dataclass(frozen=True, kw_only=True)
class Weights(Decision):
    """It has no settings."""

    kind: ClassVar[str] = "weights"

    def _fit(self, data: Sample) -> FittedWeights:
        data = _drawn(data)
        loss = _squares(data) if data.problem == "regression" else _likelihood(data)
        found = on_simplex(loss, len(data.names))
        return FittedWeights(
            problem=data.problem, names=data.names, prior=data.prior, weights=tuple(map(float, found))
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class FittedWeights(Fitted):
    """The weighted mean, ready to fuse."""

    kind: ClassVar[str] = "weights"
    weights: tuple[float, ...]
    """Of `names`, summing to 1."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"weights": (len(self.names),)}

    def _fuse(self, values: Stack, present: Present) -> Float64[np.ndarray, "rows classes"]:
        return weighted_mean(values, present, np.array(self.weights))


def on_simplex(loss: Callable[[Vector], tuple[float, Vector]], n: int) -> Vector:
    """The n weights, none negative and summing to 1, of least loss.

    Args:
        loss: from weights to the loss and its gradient.
        n: how many.
    """
    weights = np.full(n, 1 / n)
    value, gradient = loss(weights)
    step = 1.0
    for _ in range(_STEPS):
        if gradient @ weights - gradient.min() <= _GAP:
            break
        while True:
            trial = weights * np.exp(-step * (gradient - gradient.min()))
            trial /= trial.sum()
            with np.errstate(divide="ignore", invalid="ignore"):  # too far a step leaves a row without any weight:
                new, slope = loss(trial)  # its loss is infinite or not a number, and neither is accepted
            if new <= value + 0.5 * gradient @ (trial - weights):
                break
            step /= 2
            if step < _GAP:
                return weights
        gain = value - new
        weights, value, gradient = trial, new, slope
        if gain <= _GAIN * abs(value):
            break
        step *= 2
    return weights


def _drawn(data: Sample) -> Sample:
    rows, each = len(data.targets), 1 if data.problem == "classification" else len(data.prior)
    if rows * each <= _MOST:
        return data
    chosen = np.sort(np.random.default_rng(0).choice(rows, max(1, _MOST // each), replace=False))
    return replace(data, values=data.values[chosen], present=data.present[chosen], targets=data.targets[chosen])


def _likelihood(data: Sample) -> Callable[[Vector], tuple[float, Vector]]:
    """Negative log-probability of the targets; of labels, each row and label counts as one."""
    if data.problem == "classification":
        said = np.take_along_axis(data.values, data.targets[:, None, None].astype(np.int64), 2)[:, :, 0]
        present = data.present
    else:
        labels = data.targets[:, None, :]
        said = np.where(labels > 0, data.values, 1 - data.values).transpose(0, 2, 1).reshape(-1, len(data.names))
        present = np.repeat(data.present, data.values.shape[2], axis=0)
    said = np.clip(said, FLOOR, 1) * present

    def loss(weights: Vector) -> tuple[float, Vector]:
        likely, total = said @ weights, present @ weights
        gradient = ((1 / total) @ present - (1 / likely) @ said) / len(said)
        return float((np.log(total) - np.log(likely)).mean()), gradient

    return loss


def _squares(data: Sample) -> Callable[[Vector], tuple[float, Vector]]:
    """Squared error, each amount in units of its own spread."""
    spread = data.targets.std(0)
    off = (data.values - data.targets[:, None, :]) / np.where(spread > 0, spread, 1)
    off *= data.present[:, :, None]

    def loss(weights: Vector) -> tuple[float, Vector]:
        total = (data.present @ weights)[:, None]
        error = np.einsum("ret,e->rt", off, weights) / total
        each = (off - error[:, None, :] * data.present[:, :, None]) * (2 * error / total)[:, None, :]
        return float((error**2).mean()), each.mean((0, 2))

    return loss
