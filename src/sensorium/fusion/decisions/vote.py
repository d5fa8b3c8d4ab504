"""Majority vote; of amounts, the median.

Each expert votes for its likeliest class, or for the labels of which it gives 1/2 and more. Unusual: the answer is
still probabilities. To the votes is added the mean of the probabilities, as one voter more. It can only break ties: a
class that is a vote ahead would be overtaken by a mean of 1 against 0, and then all had voted for the other. Who is
torn between two likeliest classes abstains. A single expert has no one to vote with: its own probabilities stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float64

from sensorium.fusion.decisions.base import Decision, Fitted, Present, Sample, Stack, weighted_mean


@dataclass(frozen=True, kw_only=True)
class Vote(Decision):
    """It has no settings."""

    kind: ClassVar[str] = "vote"

    def _fit(self, data: Sample) -> FittedVote:
        return FittedVote(problem=data.problem, names=data.names, prior=data.prior)


@dataclass(frozen=True, kw_only=True)
class FittedVote(Fitted):
    """The vote, ready to fuse."""

    kind: ClassVar[str] = "vote"

    def _fuse(self, values: Stack, present: Present) -> Float64[np.ndarray, "rows classes"]:
        if self.problem == "regression":
            return np.nanmedian(np.where(present[:, :, None], values, np.nan), axis=1)
        mean = weighted_mean(values, present, np.ones(len(self.names)))
        if self.problem == "multi_label":
            votes = ((values >= 0.5) & present[:, :, None]).sum(1)
            voters = present.sum(1, keepdims=True)
        else:
            top = values == values.max(2, keepdims=True)
            votes = (top & (present & (top.sum(2) == 1))[:, :, None]).sum(1)
            voters = votes.sum(1, keepdims=True)
        return np.where(present.sum(1, keepdims=True) == 1, mean, (votes + mean) / (voters + 1))
