"""Decisions by name: with their default settings, and as they were saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sensorium.errors import InputError, unknown
from sensorium.fusion.decisions.base import Decision, Fitted, damaged
from sensorium.fusion.decisions.calibrated import Calibrated, FittedCalibrated
from sensorium.fusion.decisions.mean import FittedMean, Mean
from sensorium.fusion.decisions.product import FittedProduct, Product
from sensorium.fusion.decisions.selection import FittedSelection, Selection
from sensorium.fusion.decisions.stacking import FittedStacking, Stacking
from sensorium.fusion.decisions.vote import FittedVote, Vote
from sensorium.fusion.decisions.weights import FittedWeights, Weights

_KINDS: tuple[type[Decision], ...] = (Vote, Mean, Weights, Product, Calibrated, Stacking, Selection)
_FITTED: tuple[type[Fitted], ...] = (
    FittedVote, FittedMean, FittedWeights, FittedProduct, FittedCalibrated, FittedStacking, FittedSelection,
)  # fmt: skip
DECISIONS: tuple[str, ...] = tuple(one.kind for one in _KINDS)
"""The kinds, from the plainest on."""


def build_decision(kind: str) -> Decision:
    """A decision with its default settings; for others build its own class.

    Raises:
        InputError: the kind is none of DECISIONS.
    """
    for one in _KINDS:
        if one.kind == kind:
            return one()
    raise InputError(unknown("decision", kind, DECISIONS), fix="Name one of them")


def decisions_for(problem: str) -> tuple[str, ...]:
    """The kinds that have a meaning for a problem."""
    return tuple(one.kind for one in _KINDS if problem in one.problems)


def decision_from_dict(saved: Mapping[str, Any]) -> Fitted:
    """A fitted decision as its `to_dict` saved it.

    Raises:
        CheckpointError: it is damaged, or of an unknown kind.
    """
    for one in _FITTED:
        if saved.get("kind") == one.kind:
            return one.from_dict(saved)
    raise damaged(f"kind is {saved.get('kind')!r}, none of {', '.join(DECISIONS)}")
