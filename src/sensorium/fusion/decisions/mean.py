"""The mean of those present: all experts alike (the sum rule of Kittler et al. 1998). Nothing but the prior is learned,
and it is hard to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float64

from sensorium.fusion.decisions.base import Decision, Fitted, Present, Sample, Stack, weighted_mean


@dataclass(frozen=True, kw_only=True)
class Mean(Decision):
    """It has no settings."""

    kind: ClassVar[str] = "mean"

    def _fit(self, data: Sample) -> FittedMean:
        return FittedMean(problem=data.problem, names=data.names, prior=data.prior)


@dataclass(frozen=True, kw_only=True)
class FittedMean(Fitted):
    """The mean, ready to fuse."""

    kind: ClassVar[str] = "mean"

    def _fuse(self, values: Stack, present: Present) -> Float64[np.ndarray, "rows classes"]:
        return weighted_mean(values, present, np.ones(len(self.names)))
