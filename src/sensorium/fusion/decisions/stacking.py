"""Stacking (Wolpert 1992): a model that learns from the experts' answers. Logistic regression on what they say beyond
the prior, in log-probabilities, and on who is present; of amounts, ridge regression.

Unusual: there is one model for every number of experts present, since an expert among four must be weighed otherwise
than one of two. The model of k learns from rows that have k and more, each with a choice of k left, all choices as
often; so the loss of an expert is learned from complete rows too. A row with one expert, or with more than were seen
together often enough, gets the mean of calibrated experts. Classes see every class of every expert, as long as rows
are many times more than these; else there is one weight an expert, for all its classes (a logarithmic opinion pool).
A label or an amount sees its own alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float64, Int64

from sensorium.errors import InputError, require
from sensorium.fusion.calibration import FLOOR, log_odds, sigmoid, softmax
from sensorium.fusion.decisions.base import Decision, Fitted, Present, Sample, Stack, damaged
from sensorium.fusion.decisions.calibrated import calibrated_mean, fit_temperatures
from sensorium.fusion.measures import Problem

_FEWEST = 10
"""Rows that a model of k experts needs."""
_ITERATIONS = 1000
_ROWS_EACH = 20
"""So many rows each class of each expert needs, to be weighed by itself."""
_NEWTON = 50
_STILL = 1e-9

Coefficients = Float64[np.ndarray, "_ _"]
"""Outputs by features."""


@dataclass(frozen=True, kw_only=True)
class Stacking(Decision):
    """Settings. Fitting classes and labels needs scikit-learn; a fitted one does not.

    Raises:
        InputError: the strength is not above 0.
    """

    kind: ClassVar[str] = "stacking"
    strength: float = 1.0
    """Inverse of the L2 penalty, scikit-learn's C: smaller keeps nearer to the prior."""

    def __post_init__(self) -> None:
        if not self.strength > 0:
            raise InputError(f"the strength of stacking is {self.strength}", fix="Give a number above 0")

    def _fit(self, data: Sample) -> FittedStacking:
        spread = data.targets.std(0) if data.problem == "regression" else np.ones(len(data.prior))
        scale = tuple(map(float, np.where(spread > 0, spread, 1)))
        tied = data.problem == "classification" and len(data.targets) < _ROWS_EACH * len(data.names) * len(scale)
        levels, models = list[int](), list[Coefficients]()
        for k in range(2, len(data.names) + 1):
            chosen = data.present.sum(1) >= k
            if chosen.sum() >= _FEWEST:
                present = _masked(data.present[chosen], k)
                features = _features(data.values[chosen], present, data.prior, scale, data.problem)
                levels.append(k)
                models.append(self._model(features, data, data.targets[chosen], scale, tied))
        return FittedStacking(
            problem=data.problem,
            names=data.names,
            prior=data.prior,
            scale=scale,
            temperatures=(1.0,) * len(data.names) if data.problem == "regression" else fit_temperatures(data),
            tied=tied,
            levels=tuple(levels),
            models=tuple(tuple(tuple(map(float, row)) for row in model) for model in models),
        )

    def _model(
        self, features: Float64[np.ndarray, "rows blocks features"], data: Sample, targets: Any, scale: Any, tied: bool
    ) -> Coefficients:
        if tied:
            return _pool(_each(features, len(data.names)), np.log(data.prior), targets, self.strength)[None]
        if data.problem == "classification":
            return _logistic(features[:, 0], targets, len(data.prior), self.strength)
        columns = range(len(data.prior))
        if data.problem == "multi_label":
            return np.concatenate(
                [_logistic(features[:, i], targets[:, i].astype(np.int64), 2, self.strength)[1:] for i in columns]
            )
        centred = (targets - np.array(data.prior)) / np.array(scale)
        return np.stack([_ridge(features[:, i], centred[:, i], self.strength) for i in columns])


@dataclass(frozen=True, kw_only=True)
class FittedStacking(Fitted):
    """The stack, ready to fuse."""

    kind: ClassVar[str] = "stacking"
    scale: tuple[float, ...]
    """Unit of each amount; 1 of probabilities."""
    temperatures: tuple[float, ...]
    """Of the experts, for rows that no model serves."""
    tied: bool
    """Whether an expert has one weight for all classes."""
    levels: tuple[int, ...]
    """The numbers of experts present that have a model."""
    models: tuple[tuple[tuple[float, ...], ...], ...]
    """Coefficients, "levels outputs features": of what each expert says, of who is present, and a constant; tied
    ones "levels 1 experts"."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        n, outputs = len(self.names), len(self.prior)
        if min(self.temperatures) <= 0 or min(self.scale) <= 0:
            raise damaged("temperatures or scales are not above 0")
        if type(self.tied) is not bool or (self.tied and self.problem != "classification"):
            raise damaged(f"tied is {self.tied!r}")
        if any(type(k) is not int for k in self.levels) or not set(self.levels) <= set(range(2, n + 1)):
            raise damaged(f"levels are {self.levels}")
        said = n * outputs if self.problem == "classification" else n
        one = (1, n) if self.tied else (outputs, said + n + 1)
        models = {"models": (len(self.levels), *one)} if self.levels else {}
        return {"scale": (outputs,), "temperatures": (n,), **models}

    def _fuse(self, values: Stack, present: Present) -> Float64[np.ndarray, "rows classes"]:
        fused = calibrated_mean(values, present, self.temperatures, self.problem)
        prior, counts = np.array(self.prior), present.sum(1)
        for k, model in zip(self.levels, self.models, strict=True):
            chosen = counts == k
            if not chosen.any():
                continue
            features = _features(values[chosen], present[chosen], self.prior, self.scale, self.problem)
            if self.tied:
                fused[chosen] = softmax(np.log(prior) + _each(features, len(self.names)) @ np.array(model)[0])
            elif self.problem == "classification":
                fused[chosen] = softmax(features[:, 0] @ np.array(model).T)
            else:
                found = np.einsum("rof,of->ro", features, np.array(model))
                amounts = self.problem == "regression"
                fused[chosen] = prior + np.array(self.scale) * found if amounts else sigmoid(found)
        return fused


def _masked(present: Present, k: int) -> Present:
    """k of those present in each row (each has as many): every choice of k as often, in an order that is drawn once
    and for all, as rows whose classes take turns must not meet one choice each."""
    rng = np.random.default_rng(0)
    masked = np.zeros_like(present)
    counts = present.sum(1)
    for count in np.unique(counts):
        rows = np.flatnonzero(counts == count)
        where = np.argsort(~present[rows], axis=1, kind="stable")[:, :count]
        choices = np.array(list(combinations(range(count), k)))
        turn = choices[rng.permutation(len(rows)) % comb(int(count), k)]
        masked[rows[:, None], np.take_along_axis(where, turn, axis=1)] = True
    return masked


def _features(
    values: Stack, present: Present, prior: tuple[float, ...], scale: tuple[float, ...], problem: Problem
) -> Float64[np.ndarray, "rows blocks features"]:
    """What each expert says beyond the prior (0 of one that is absent), who is present, and 1. Classes share one
    output's features."""
    before = np.array(prior)
    if problem == "regression":
        said = (values - before) / np.array(scale)
    elif problem == "classification":
        said = np.log(np.clip(values, FLOOR, 1)) - np.log(before)
    else:
        said = log_odds(values) - log_odds(before)
    rows, experts, classes = values.shape
    said = np.where(present[:, :, None], said, 0.0)
    own = said.reshape(rows, 1, -1) if problem == "classification" else said.transpose(0, 2, 1)
    outputs = 1 if problem == "classification" else classes
    who = np.broadcast_to(present[:, None, :].astype(np.float64), (rows, outputs, experts))
    return np.concatenate([own, who, np.ones((rows, outputs, 1))], axis=2)


def _logistic(
    features: Float64[np.ndarray, "rows features"], targets: Any, classes: int, strength: float
) -> Float64[np.ndarray, "classes features"]:
    """Multinomial logistic regression; its last feature is the constant. A class that no row has is given a part of
    a row that says nothing, as the prior is, so that it stays possible."""
    linear: Any = require("sklearn.linear_model", extra="fusion", purpose="stacking")
    unseen = np.setdiff1d(np.arange(classes), targets)
    nothing = np.zeros((len(unseen), features.shape[1] - 1))
    model = linear.LogisticRegression(C=strength, max_iter=_ITERATIONS)
    model.fit(
        np.concatenate([features[:, :-1], nothing]),
        np.concatenate([targets, unseen]),
        sample_weight=np.concatenate([np.ones(len(targets)), np.full(len(unseen), 1 / classes)]),
    )
    found = np.concatenate([model.coef_, model.intercept_[:, None]], axis=1)
    return np.concatenate([np.zeros_like(found), found]) if classes == 2 else found


def _each(
    features: Float64[np.ndarray, "rows 1 features"], experts: int
) -> Float64[np.ndarray, "rows classes {experts}"]:
    """What each expert says of each class, alone."""
    said = features[:, 0, : -experts - 1]
    return said.reshape(len(said), experts, -1).transpose(0, 2, 1)


def _pool(
    said: Float64[np.ndarray, "rows classes experts"],
    before: Float64[np.ndarray, " classes"],
    targets: Int64[np.ndarray, " rows"],
    strength: float,
) -> Float64[np.ndarray, " experts"]:
    """One weight an expert, of least log loss, by Newton's method. The penalty draws them to an even share of 1."""
    even = np.full(said.shape[2], 1 / said.shape[2])
    weights = even.copy()
    chosen = said[np.arange(len(said)), targets].sum(0)

    def loss(tried: Float64[np.ndarray, " experts"]) -> float:
        likely = np.log(softmax(before + said @ tried)[np.arange(len(said)), targets] + _STILL**2)
        return float(((tried - even) ** 2).sum() / (2 * strength) - likely.sum())

    for _ in range(_NEWTON):
        likely = softmax(before + said @ weights)
        mean = np.einsum("rc,rce->re", likely, said)
        slope = mean.sum(0) - chosen + (weights - even) / strength
        curve = np.einsum("rc,rce,rcf->ef", likely, said, said, optimize=True) - mean.T @ mean
        move = np.linalg.solve(curve + np.eye(len(even)) / strength, slope)
        value = loss(weights)
        while loss(weights - move) > value and np.abs(move).max() > _STILL:
            move /= 2
        weights = weights - move
        if np.abs(move).max() <= _STILL:
            break
    return weights


def _ridge(
    features: Float64[np.ndarray, "rows features"], targets: Float64[np.ndarray, " rows"], strength: float
) -> Float64[np.ndarray, " features"]:
    """Its last feature is the constant, which is not penalised."""
    penalty = np.full(features.shape[1], 1 / strength)
    penalty[-1] = 0.0
    found: Float64[np.ndarray, " features"] = np.linalg.solve(
        features.T @ features + np.diag(penalty), features.T @ targets
    )
    return found
