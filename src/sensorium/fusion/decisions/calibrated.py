"""The mean of calibrated experts: each gets the temperature at which its probabilities are truest (Guo et al. 2017), so
that none outshouts the others by being too sure of itself. Amounts have no temperature: for them it is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float64

from sensorium.fusion.calibration import apply_temperature, fit_temperature
from sensorium.fusion.decisions.base import Decision, Fitted, Present, Sample, Stack, damaged, weighted_mean
from sensorium.fusion.measures import Problem


@dataclass(frozen=True, kw_only=True)
class Calibrated(Decision):
    """It has no settings."""

    kind: ClassVar[str] = "calibrated"
    problems: ClassVar[tuple[str, ...]] = ("classification", "multi_label")

    def _fit(self, data: Sample) -> FittedCalibrated:
        return FittedCalibrated(
            problem=data.problem, names=data.names, prior=data.prior, temperatures=fit_temperatures(data)
        )


@dataclass(frozen=True, kw_only=True)
class FittedCalibrated(Fitted):
    """The mean of calibrated experts, ready to fuse."""

    kind: ClassVar[str] = "calibrated"
    temperatures: tuple[float, ...]
    """Of `names`; above 1 softens."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        if self.problem == "regression" or min(self.temperatures) <= 0:
            raise damaged(f"temperatures of {self.problem} are {self.temperatures}")
        return {"temperatures": (len(self.names),)}

    def _fuse(self, values: Stack, present: Present) -> Float64[np.ndarray, "rows classes"]:
        return calibrated_mean(values, present, self.temperatures, self.problem)


def fit_temperatures(data: Sample) -> tuple[float, ...]:
    """Each expert's, from the rows that it is present in; 1 of one that is never."""
    return tuple(
        fit_temperature(data.values[here, place], data.targets[here], problem=data.problem) if here.any() else 1.0
        for place, here in enumerate(data.present.T)
    )


def calibrated_mean(
    values: Stack, present: Present, temperatures: tuple[float, ...], problem: Problem
) -> Float64[np.ndarray, "rows classes"]:
    """The mean of those present, each at its temperature; amounts as they are."""
    if problem != "regression":
        cooled = [
            apply_temperature(values[:, place], temperature, problem=problem)
            for place, temperature in enumerate(temperatures)
        ]
        values = np.stack(cooled, axis=1)
    return weighted_mean(values, present, np.ones(len(temperatures)))
