"""Greedy ensemble selection (Caruana et al. 2004): a bag of experts, with repeats, grown one at a time.

Each round puts in the expert that makes the mean of the bag best; the best bag of all rounds is kept, and how often an
expert is in it is its weight. It works for losses that have no gradient, and tends to leave useless experts out. A row
that only such are present in gets their mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float64

from sensorium.errors import CapabilityError, InputError
from sensorium.fusion.decisions.base import Decision, Fitted, Present, Sample, Stack, weighted_mean
from sensorium.fusion.measures import log_loss


@dataclass(frozen=True, kw_only=True)
class Selection(Decision):
    """Settings.

    Raises:
        InputError: there is no round.
    """

    kind: ClassVar[str] = "selection"
    rounds: int = 30
    """How large the bag may become."""
    by: Literal["loss", "accuracy"] = "loss"
    """What is made best: log loss (of amounts the squared error, each amount in units of its spread), or the share of
    right classes or labels, where the loss breaks ties."""

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise InputError(f"an ensemble is selected in {self.rounds} rounds", fix="Give at least 1")

    def _fit(self, data: Sample) -> FittedSelection:
        if self.by == "accuracy" and data.problem == "regression":
            raise CapabilityError("amounts have no accuracy", fix="Select by 'loss'")
        n = len(data.names)
        bag, best, kept = np.zeros(n), (np.inf, np.inf), np.zeros(n)
        for _ in range(self.rounds):
            tried = [_badness(data, bag + one, self.by) for one in np.eye(n)]
            least = min(range(n), key=tried.__getitem__)
            bag[least] += 1
            if tried[least] < best:
                best, kept = tried[least], bag.copy()
        weights = tuple(map(float, kept / kept.sum()))
        return FittedSelection(problem=data.problem, names=data.names, prior=data.prior, weights=weights)


@dataclass(frozen=True, kw_only=True)
class FittedSelection(Fitted):
    """The bag, ready to fuse."""

    kind: ClassVar[str] = "selection"
    weights: tuple[float, ...]
    """Of `names`: the expert's share of the bag."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"weights": (len(self.names),)}

    def _fuse(self, values: Stack, present: Present) -> Float64[np.ndarray, "rows classes"]:
        return weighted_mean(values, present, np.array(self.weights))


def _badness(data: Sample, weights: Float64[np.ndarray, " experts"], by: str) -> tuple[float, float]:
    fused = weighted_mean(data.values, data.present, weights)
    if data.problem == "regression":
        spread = data.targets.std(0)
        spread = np.where(spread > 0, spread, 1)
        loss = log_loss(data.problem, data.targets / spread, fused / spread)
    else:
        loss = log_loss(data.problem, data.targets, fused)
    if by == "loss":
        return loss, 0.0
    if data.problem == "classification":
        return float((fused.argmax(1) != data.targets).mean()), loss
    return float(((fused >= 0.5) != (data.targets > 0)).mean()), loss
