"""The last step of a fused model: from what features and experts tell to one answer, calibrated.

Of the ways that the level allows, the one is kept whose loss on the validation rows is least; its probabilities are
then sharpened or softened by one temperature (Guo et al. 2017), fitted to the same rows. A row that lacks every
modality gets how frequent the classes were in training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float64

from sensorium.data.tables.targets import TargetSpec
from sensorium.errors import CapabilityError, CheckpointError, ConfigError, SensoriumError, unknown
from sensorium.fusion.calibration import apply_temperature, fit_temperature
from sensorium.fusion.compare import Answers, Told
from sensorium.fusion.decisions.base import Fitted
from sensorium.fusion.decisions.build import DECISIONS, build_decision, decision_from_dict, decisions_for
from sensorium.fusion.measures import Problem, checked_targets, log_loss
from sensorium.fusion.model import Level

AUTO = "auto"
Held = tuple[Told, Float64[np.ndarray, "_ _"]]
"""What is told of rows, and their targets."""
_JOINED = ("mean", "selection")
"""How features and decisions are joined at level `both`."""
_LEAST = 10
"""Rows to calibrate by; fewer leave probabilities as they are."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Verdict:
    """How an answer is made.

    Args:
        level: from features, from decisions, or both.
        problem: what is told.
        prior: the answer of rows that lack every modality.
        decision: over the experts; None at level `feature`.
        joint: over `features` and `decisions`; of `both`.
        temperature: that probabilities are calibrated by.
    """

    level: Level
    problem: Problem
    prior: tuple[float, ...]
    decision: Fitted | None = None
    joint: Fitted | None = None
    temperature: float = 1.0

    def __call__(self, told: Told) -> Answers:
        """The answers.

        Raises:
            CapabilityError: nothing is told by features, and the level asks for them.
        """
        found = self.uncalibrated(told)
        if self.problem != "regression" and self.temperature != 1.0:
            found = apply_temperature(found, self.temperature, problem=self.problem)
        found[told.empty] = self.prior
        return found

    def uncalibrated(self, told: Told) -> Answers:
        """The same, before temperature and prior."""
        parts = self.parts(told)
        if self.joint is not None:
            return self.joint(parts)
        return parts["features" if self.level == "feature" else "decisions"].copy()

    def parts(self, told: Told) -> dict[str, Answers]:
        """What features tell, and what the decision makes of the experts, as far as the level has them."""
        parts = dict[str, Answers]()
        if self.level != "decision":
            if told.fused is None:
                raise CapabilityError("the model tells nothing of features together", fix="Take one of level 'feature'")
            parts["features"] = told.fused
        if self.decision is not None:
            parts["decisions"] = self.decision(told.experts)
        return parts

    def to_dict(self) -> dict[str, Any]:
        return {
            "level": self.level,
            "problem": self.problem,
            "prior": list(self.prior),
            "decision": None if self.decision is None else self.decision.to_dict(),
            "joint": None if self.joint is None else self.joint.to_dict(),
            "temperature": self.temperature,
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Verdict:
        """The inverse of `to_dict`.

        Raises:
            CheckpointError: it is damaged.
        """
        try:
            decisions = [
                None if saved[key] is None else decision_from_dict(saved[key]) for key in ("decision", "joint")
            ]
            return cls(
                level=saved["level"], problem=saved["problem"], prior=tuple(map(float, saved["prior"])),
                decision=decisions[0], joint=decisions[1], temperature=float(saved["temperature"]),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"a saved verdict is damaged: {error!r}", fix="Copy the folder anew") from error


def check_decision(decision: str, problem: str | None = None) -> None:
    """Refuse a kind of decision that does not exist or, where the problem is known, has no meaning for it.

    Raises:
        ConfigError: it is none of DECISIONS, nor `auto`; or none for the problem.
    """
    if decision not in (AUTO, *DECISIONS):
        raise ConfigError(unknown("decision", decision, (AUTO, *DECISIONS)), fix="Name one of them")
    if problem is not None and decision not in (AUTO, *(kinds := decisions_for(problem))):
        raise ConfigError(
            f"the decision {decision!r} has no meaning for {problem}", fix=f"Take one of {', '.join((AUTO, *kinds))}"
        )


def fit_verdict(
    level: Level,
    spec: TargetSpec,
    *,
    prior: Float64[np.ndarray, " outputs"],
    validation: Held,
    calibration: Held | None = None,
    decision: str = AUTO,
) -> tuple[Verdict, dict[str, float]]:
    """Choose how answers are made.

    Args:
        level: from what.
        spec: what is told.
        prior: mean of the training targets.
        validation: rows to choose and to calibrate by: what is told of them, and their targets.
        calibration: rows that no expert was trained on, for decisions to be fitted to; `validation` if None.
        decision: one kind, or `auto`.

    Returns:
        The verdict; and the validation loss of each way that was tried.

    Raises:
        ConfigError: there is no such decision, or it has no meaning for the problem.
    """
    check_decision(decision, spec.problem)
    kinds = decisions_for(spec.problem)
    told, targets = validation
    if not len(targets):
        told, targets = calibration if calibration is not None else validation
    fitting = calibration if calibration is not None else validation
    start = Verdict(level=level, problem=spec.problem, prior=tuple(map(float, spec.amounts(prior[None])[0])))
    if level == "feature":
        ways = {"feature": start}
    else:
        ways = _decided(start, spec, fitting, kinds if decision == AUTO else (decision,))
    tried = {name: _loss(way, told, targets, spec) for name, way in ways.items()}
    if level == "both":
        best = ways[min(tried, key=lambda name: tried[name])]
        alone = replace(best, level="feature", decision=None)
        ways = {"feature": alone, "decision": replace(best, level="decision"), **_joint(best, spec, fitting)}
        tried |= {name: _loss(way, told, targets, spec) for name, way in ways.items()}
    chosen = ways[min(ways, key=lambda name: tried[name])]
    return _calibrated(chosen, told, targets, spec), tried


def _decided(start: Verdict, spec: TargetSpec, fitting: Held, kinds: tuple[str, ...]) -> dict[str, Verdict]:
    """A verdict for each kind of decision that can be fitted to the rows at hand."""
    told, targets = fitting
    found, refused = dict[str, Verdict](), list[SensoriumError]()
    for kind in kinds:
        try:
            fitted = build_decision(kind).fit(told.experts, spec.plain(targets), problem=spec.problem)
        except SensoriumError as error:  # too few rows, or a single class among them
            refused.append(error)
            continue
        found[kind] = replace(start, level="decision" if start.level == "decision" else "both", decision=fitted)
    if not found:
        raise refused[0]
    return found


def _joint(verdict: Verdict, spec: TargetSpec, fitting: Held) -> dict[str, Verdict]:
    told, targets = fitting
    parts = verdict.parts(told)
    truth = spec.plain(targets)
    return {
        f"both by {kind}": replace(verdict, joint=build_decision(kind).fit(parts, truth, problem=spec.problem))
        for kind in _JOINED
    }


def _loss(verdict: Verdict, told: Told, targets: Answers, spec: TargetSpec) -> float:
    if verdict.level == "both" and verdict.joint is None:
        verdict = replace(verdict, level="decision")
    found = verdict.uncalibrated(told)
    found[told.empty] = verdict.prior
    rows, outputs = found.shape
    truth = checked_targets(spec.problem, spec.plain(targets), rows=rows, classes=outputs)
    return log_loss(spec.problem, truth, found)


def _calibrated(verdict: Verdict, told: Told, targets: Answers, spec: TargetSpec) -> Verdict:
    kept = ~told.empty
    if spec.problem == "regression" or kept.sum() < _LEAST:
        return verdict
    probabilities, truth = verdict.uncalibrated(told)[kept], spec.plain(targets[kept])
    right = probabilities.argmax(1) == truth if spec.problem == "classification" else (probabilities > 0.5) == truth
    if right.all():  # the best temperature would be that of certainty
        return verdict
    return replace(verdict, temperature=fit_temperature(probabilities, truth, problem=spec.problem))
