"""What all decisions share: how experts' answers are read and checked, and what is done where they are absent.

A decision is settings; its `fit` gives a fitted decision, which fuses. An expert that is absent from a row gives NaN
there; those present decide, as if there had never been another. Where none is present the answer is the training
prior. Unusual: a prior counts one row more than there was, spread over all classes, so that a class that no training
row has stays possible. `absent_rows` tells where it was used.
"""

from __future__ import annotations

import dataclasses
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64, Shaped

from sensorium.errors import CapabilityError, CheckpointError, DataError, closest
from sensorium.fusion.measures import PROBLEMS, Problem, check_problem, checked_targets

Predictions = Mapping[str, Float[np.ndarray, "_ _"]]
"""Of each expert, by name, "rows classes": probabilities (classification: rows sum to 1; multi_label: each label's
own) or, of regression, amounts. All NaN where the expert is absent. The order of names is of no account."""
Stack = Float64[np.ndarray, "rows experts classes"]
Present = Bool[np.ndarray, "rows experts"]
_SUM_OFF = 1e-2
"""Sums of probabilities may be off by so much, as those of half precision are; they are put right."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """What a decision is fitted to: the rows in which an expert is present."""

    problem: Problem
    names: tuple[str, ...]
    values: Stack
    """0 where the expert is absent."""
    present: Present
    targets: Int64[np.ndarray, " rows"] | Float64[np.ndarray, "rows classes"]
    prior: tuple[float, ...]
    """Of all rows: how frequent classes or labels are; means of amounts."""


@dataclass(frozen=True, kw_only=True)
class Fitted(ABC):
    """A decision that can be asked. Equal by value; `to_dict` is ready for JSON."""

    kind: ClassVar[str]
    problem: Problem
    names: tuple[str, ...]
    """The experts, sorted."""
    prior: tuple[float, ...]
    """The answer where no expert is present."""

    def __call__(self, predictions: Predictions) -> Float64[np.ndarray, "rows classes"]:
        """Fuse the answers of experts.

        Args:
            predictions: of experts known from fitting; one that is not named is absent from all rows.

        Raises:
            DataError: an expert is unknown, shapes differ, or values are no probabilities or not finite.
        """
        values, present = stacked(predictions, self.names, self.problem, len(self.prior))
        fused = np.tile(np.array(self.prior), (len(values), 1))
        some = present.any(1)
        if some.any():
            fused[some] = self._fuse(values[some], present[some])
        return fused

    @abstractmethod
    def _fuse(self, values: Stack, present: Present) -> Float64[np.ndarray, "rows classes"]:
        """Fuse rows that have an expert each. Values are 0 where one is absent."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each field that holds numbers, besides the prior."""
        return {}

    def to_dict(self) -> dict[str, Any]:
        saved: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return {"kind": self.kind, **saved}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Fitted:
        """The inverse of `to_dict`.

        Raises:
            CheckpointError: keys are missing or foreign, or values are of another kind or shape.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        if saved.get("kind") != cls.kind or set(saved) != names | {"kind"}:
            raise damaged(f"holds the keys {', '.join(sorted(map(str, saved)))}")
        if saved["problem"] not in PROBLEMS:
            raise damaged(f"problem is {saved['problem']!r}")
        listed = saved["names"]
        if not isinstance(listed, list) or not listed or not all(isinstance(name, str) for name in listed):
            raise damaged("names are no list of texts")
        if listed != sorted(set(listed)):
            raise damaged("names are not sorted")
        _numbers("prior", saved["prior"], None)
        try:
            made = cls(**{name: _frozen(saved[name]) for name in names})
            shapes = made.shapes()
        except (TypeError, ValueError) as error:
            raise damaged(str(error)) from error
        for name, shape in shapes.items():
            _numbers(name, saved[name], shape)
        return made


class Decision(ABC):
    """Settings of a method; subclasses are frozen dataclasses."""

    kind: ClassVar[str]
    problems: ClassVar[tuple[str, ...]] = PROBLEMS

    def fit(self, predictions: Predictions, targets: Shaped[np.ndarray, " ..."], *, problem: Problem) -> Fitted:
        """Learn what there is to learn.

        Args:
            predictions: of rows that the experts were not trained on (a validation split, or out-of-fold), as the
                experts will be far surer, and far more alike, of rows that they know.
            targets: classification: class numbers "rows"; multi_label: 0 and 1, "rows classes"; regression: amounts
                "rows classes".
            problem: what is predicted.

        Raises:
            CapabilityError: the method has no meaning for this problem.
            DataError: there is no expert or no row, all experts are absent from all rows, shapes differ, or values
                are no probabilities or not finite.
        """
        check_problem(problem)
        if problem not in self.problems:
            raise CapabilityError(
                f"a decision of the kind {self.kind!r} has no meaning for {problem}",
                fix="Use 'mean', 'weights' or 'stacking'",
            )
        return self._fit(sample(predictions, targets, problem))

    @abstractmethod
    def _fit(self, data: Sample) -> Fitted: ...


def sample(predictions: Predictions, targets: Shaped[np.ndarray, " ..."], problem: Problem) -> Sample:
    """Read and check what a decision is fitted to. Raises what `Decision.fit` says."""
    names = tuple(sorted(predictions))
    if not names:
        raise DataError("there is no expert", fix="Give the predictions of at least one")
    values, present = stacked(predictions, names, problem, predictions[names[0]].shape[1])
    rows, _, classes = values.shape
    expected = checked_targets(problem, targets, rows=rows, classes=classes)
    if not present.any():
        raise DataError("no row has a prediction of any expert", fix="Give rows that at least one expert answers")
    some = present.any(1)
    return Sample(
        problem=problem,
        names=names,
        values=values[some],
        present=present[some],
        targets=expected[some],
        prior=_prior(problem, expected, classes),
    )


def stacked(predictions: Predictions, names: tuple[str, ...], problem: Problem, classes: int) -> tuple[Stack, Present]:
    """Experts' answers in one array, in the order of `names`, and where they are present.

    Raises:
        DataError: an expert is not among `names`, shapes differ, a row is NaN in part, a value is infinite, or of
            probabilities out of 0 to 1, or a class's row sums to something else than 1.
    """
    foreign = sorted(set(predictions) - set(names))
    if foreign:
        guess = closest(foreign[0], names)
        hint = f"; did you mean {guess!r}?" if guess else ""
        raise DataError(f"{foreign[0]!r} is no expert of this decision{hint}", fix=f"Known: {', '.join(names)}")
    if not predictions:
        raise DataError("there is no expert", fix="Give the predictions of at least one; NaN where it is absent")
    first = min(predictions)
    rows = len(predictions[first])
    values, present = np.zeros((rows, len(names), classes)), np.zeros((rows, len(names)), np.bool_)
    for place, name in enumerate(names):
        if name not in predictions:
            continue
        given = predictions[name]
        if given.shape != (rows, classes):
            raise DataError(
                f"predictions have the shape {given.shape}, not {(rows, classes)}",
                where=f"expert {name!r}",
                fix="Give the same rows and classes of every expert",
            )
        here: Bool[np.ndarray, " _"] = np.isnan(given).sum(1) < classes
        values[here, place], present[:, place] = _checked(given, here, problem, name), here
    return values, present


def absent_rows(predictions: Predictions) -> Bool[np.ndarray, " _"]:
    """The rows in which no expert is present: they get the prior, and should be counted in what is told."""
    absent: Bool[np.ndarray, " _"] = np.logical_and.reduce([np.isnan(one).all(1) for one in predictions.values()])
    return absent


def weighted_mean(
    values: Stack, present: Present, weights: Float64[np.ndarray, " experts"]
) -> Float64[np.ndarray, "rows classes"]:
    """The mean of those present by their weights; of rows whose experts weigh nothing, the plain mean."""
    weighs = present * weights
    weighs = np.where(weighs.sum(1, keepdims=True) > 0, weighs, present)
    # Divided first: fractions of the smallest weights would lose their digits.
    found: Float64[np.ndarray, "rows classes"] = np.einsum("re,rec->rc", weighs / weighs.sum(1, keepdims=True), values)
    return found


def damaged(problem: str) -> CheckpointError:
    """A saved decision that cannot be read."""
    return CheckpointError(f"a saved decision is damaged: {problem}", fix="Save it anew")


def _checked(given: Float[np.ndarray, "_ _"], here: Bool[np.ndarray, " _"], problem: Problem, name: str) -> Any:
    """The present rows, in float64; probabilities within bounds and of the right sum."""
    found = given[here].astype(np.float64)

    def refuse(wrong: Bool[np.ndarray, " _"], what: str, fix: str) -> None:
        if wrong.any():
            row = int(np.flatnonzero(here)[int(wrong.argmax())])
            raise DataError(what, where=f"expert {name!r}, row {row}", fix=fix)

    refuse(~np.isfinite(found).all(1), "some values are not finite", "Make the whole row NaN where it is absent")
    if problem == "regression":
        return found
    refuse(((found < -_SUM_OFF) | (found > 1 + _SUM_OFF)).any(1), "values are no probabilities", "Apply the softmax")
    found = np.clip(found, 0.0, 1.0)
    if problem == "classification":
        total = found.sum(1, keepdims=True)
        refuse(abs(total[:, 0] - 1) > _SUM_OFF, "probabilities do not sum to 1", "Apply the softmax")
        found /= total
    return found


def _prior(
    problem: Problem, targets: Int64[np.ndarray, " rows"] | Float64[np.ndarray, "rows classes"], classes: int
) -> tuple[float, ...]:
    if problem == "regression":
        return tuple(map(float, targets.mean(0)))
    rows = len(targets)
    if problem == "multi_label":
        return tuple(map(float, (targets.sum(0) + 0.5) / (rows + 1)))
    counts = np.bincount(targets.astype(np.int64), minlength=classes)
    return tuple(map(float, (counts + 1 / classes) / (rows + 1)))


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _numbers(name: str, value: Any, shape: tuple[int, ...] | None) -> None:
    try:
        array = np.array(value)
    except ValueError as error:
        raise damaged(f"{name} is ragged") from error
    if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise damaged(f"{name} holds what is no number")
    if array.shape != shape and not (shape is None and array.ndim == 1 and array.size):
        raise damaged(f"{name} has the shape {array.shape}, not {shape}")
