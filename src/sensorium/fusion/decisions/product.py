"""Product of experts (Hinton 2002): each excludes what it finds unlikely.

If experts erred independently given the class, the posterior would be the product of their probabilities, divided by
the prior once for each expert but one, as every expert has it in already (Kittler et al. 1998). They seldom do, and
the plain product is then far too sure. Here what the k experts present say beyond the prior is added up and scaled by
k^-redundancy: 0 is the independent product, 1 the geometric mean, to which k copies of one expert are one expert. One
alone keeps its own probabilities, whatever the redundancy, which is the one number that is learned.

Of amounts each expert is a Gaussian around what it says, as wide as it was wrong in fitting; their product is the mean
by precision. It has no prior, and nothing else is learned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float64

from sensorium.errors import InputError
from sensorium.fusion.calibration import FLOOR, log_odds, sigmoid, softmax
from sensorium.fusion.decisions.base import Decision, Fitted, Present, Sample, Stack
from sensorium.fusion.measures import log_loss

_GRID = np.linspace(0.0, 1.0, 21)
_SURE = 1e-6
"""The least variance of an expert, as a share of the targets' own: one that was never wrong is not quite believed."""


@dataclass(frozen=True, kw_only=True)
class Product(Decision):
    """Settings.

    Raises:
        InputError: the redundancy is out of range.
    """

    kind: ClassVar[str] = "product"
    redundancy: float | None = None
    """0 to 1, how much experts repeat each other; None: that of least log loss, to 0.05. Of no account for amounts."""

    def __post_init__(self) -> None:
        if self.redundancy is not None and not 0 <= self.redundancy <= 1:
            raise InputError(f"the redundancy of a product is {self.redundancy}", fix="Give a number from 0 to 1")

    def _fit(self, data: Sample) -> FittedProduct:
        if data.problem == "regression":
            return FittedProduct(
                problem=data.problem, names=data.names, prior=data.prior, redundancy=0.0, precisions=_precisions(data)
            )

        def fitted(redundancy: float) -> FittedProduct:
            return FittedProduct(
                problem=data.problem, names=data.names, prior=data.prior, redundancy=redundancy, precisions=()
            )

        if self.redundancy is not None:
            return fitted(float(self.redundancy))
        losses = [
            log_loss(data.problem, data.targets, fitted(float(tried))._fuse(data.values, data.present))
            for tried in _GRID
        ]
        # Of those that are as good, the most careful.
        return fitted(float(_GRID[np.flatnonzero(np.array(losses) <= min(losses) + FLOOR)[-1]]))


@dataclass(frozen=True, kw_only=True)
class FittedProduct(Fitted):
    """The product, ready to fuse."""

    kind: ClassVar[str] = "product"
    redundancy: float
    precisions: tuple[tuple[float, ...], ...]
    """Of regression: 1 / variance of each expert's error in each amount; else empty."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        amounts = self.problem == "regression"
        return {"redundancy": (), **({"precisions": (len(self.names), len(self.prior))} if amounts else {})}

    def _fuse(self, values: Stack, present: Present) -> Float64[np.ndarray, "rows classes"]:
        if self.problem == "regression":
            precise = np.array(self.precisions)[None] * present[:, :, None]
            mean: Float64[np.ndarray, "rows classes"] = (precise * values).sum(1) / precise.sum(1)
            return mean
        prior = np.array(self.prior)
        before = np.log(prior) if self.problem == "classification" else log_odds(prior)
        said = np.log(np.clip(values, FLOOR, 1)) if self.problem == "classification" else log_odds(values)
        beyond = np.where(present[:, :, None], said - before, 0.0).sum(1)
        logits = before + beyond * present.sum(1, keepdims=True) ** -self.redundancy
        return softmax(logits) if self.problem == "classification" else sigmoid(logits)


def _precisions(data: Sample) -> tuple[tuple[float, ...], ...]:
    spread = data.targets.var(0)
    least = _SURE * np.where(spread > 0, spread, 1)
    counts = data.present.sum(0)[:, None]
    squares = ((data.values - data.targets[:, None, :]) ** 2 * data.present[:, :, None]).sum(0)
    # An expert that never answered is taken to be as good as the prior.
    variances = np.where(counts > 0, squares / np.maximum(counts, 1), np.maximum(spread, least))
    return tuple(tuple(map(float, row)) for row in 1 / np.maximum(variances, least))
