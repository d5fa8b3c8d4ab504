"""The expert of numbers and categories: gradient-boosted trees, or a linear model where rows are few.

scikit-learn fits them (`HistGradientBoosting*`: after LightGBM, Ke et al. 2017); what they have learned is kept as
plain arrays and read here by NumPy, with the same answers. So a saved model is read without scikit-learn, and
runs no code.

Unusual: a category's code is taken for a number by the trees, whose splits single out what matters; the linear model
gets it one-hot, and a missing number as the mean with a mark.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int64, Shaped

from sensorium.errors import CheckpointError, require
from sensorium.fusion.calibration import sigmoid, softmax
from sensorium.fusion.measures import Problem

FEW = 300
"""Rows below which the model is linear."""
_ITERATIONS, _LEAVES, _RATE = 100, 15, 0.1
Matrix = Float[np.ndarray, "rows width"]


@dataclass(frozen=True, eq=False)
class TableExpert:
    """What was learned of numbers and categories.

    Args:
        kind: `trees` or `linear`.
        problem: what is told.
        numbers: how many columns are numbers; the others are codes of categories.
        sizes: how many codes each category has.
        arrays: `trees`: see `_trees`; `linear`: `weights` "outputs inputs" and `bias` "outputs".
    """

    kind: str
    problem: Problem
    numbers: int
    sizes: tuple[int, ...]
    arrays: dict[str, Shaped[np.ndarray, ...]]

    @classmethod
    def fit(
        cls,
        matrix: Matrix,
        targets: Float[np.ndarray, "rows outputs"],
        *,
        problem: Problem,
        numbers: int,
        sizes: tuple[int, ...],
        seed: int = 0,
    ) -> TableExpert:
        """Learn.

        Args:
            matrix: see `NumbersSpec.encode`.
            targets: weights over classes, 0 and 1 of each label, or amounts.
            problem: what they are.
            numbers, sizes: see above.
            seed: of the trees.

        Raises:
            CapabilityError: scikit-learn is not installed.
        """
        kind = "linear" if len(matrix) < FEW else "trees"
        made = cls(kind, problem, numbers, sizes, {})
        fitted = [made._fit_one(matrix, one, seed) for one in made._tasks(targets)]
        if kind == "linear":
            arrays = {
                "weights": np.concatenate([weights for weights, _ in fitted]),
                "bias": np.concatenate([bias for _, bias in fitted]),
            }
        else:
            arrays = _trees(fitted, targets.shape[1])
        return cls(kind, problem, numbers, sizes, arrays)

    def __call__(self, matrix: Matrix) -> Float64[np.ndarray, "rows outputs"]:
        """Probabilities of classes or labels, or amounts."""
        raw = self._linear(matrix) if self.kind == "linear" else self._grown(matrix)
        match self.problem:
            case "classification":
                return softmax(raw)
            case "multi_label":
                return sigmoid(raw)
            case "regression":
                return raw

    def _tasks(self, targets: Float[np.ndarray, "rows outputs"]) -> list[Shaped[np.ndarray, ...]]:
        if self.problem == "classification":
            return [targets.argmax(1)]
        return [targets[:, place] for place in range(targets.shape[1])]

    def _fit_one(self, matrix: Matrix, targets: Shaped[np.ndarray, ...], seed: int) -> Any:
        """One model of scikit-learn; of labels and amounts there is one each."""
        if self.kind == "linear":
            return self._fit_linear(matrix, targets)
        ensemble = require("sklearn.ensemble", extra="fusion", purpose="learning from numbers")
        settings = {
            "max_iter": _ITERATIONS, "max_leaf_nodes": _LEAVES, "learning_rate": _RATE, "early_stopping": False,
            "random_state": seed,
        }  # fmt: skip
        if self.problem == "regression":
            return ensemble.HistGradientBoostingRegressor(**settings).fit(matrix, targets)
        if len(np.unique(targets)) < 2:  # a label that all rows have, or none
            return float(np.clip(targets.mean(), 1e-3, 1 - 1e-3))
        return ensemble.HistGradientBoostingClassifier(**settings).fit(matrix, targets)

    def _fit_linear(self, matrix: Matrix, targets: Shaped[np.ndarray, ...]) -> tuple[Any, Any]:
        linear = require("sklearn.linear_model", extra="fusion", purpose="learning from numbers")
        wide = self._wide(matrix)
        if self.problem == "regression":
            ridge = linear.Ridge().fit(wide, targets)
            return ridge.coef_[None], np.array([ridge.intercept_])
        known = np.unique(targets)
        if len(known) < 2:
            share = float(np.clip(targets.mean(), 1e-3, 1 - 1e-3))
            return np.zeros((1, wide.shape[1])), np.array([np.log(share / (1 - share))])
        model = linear.LogisticRegression(max_iter=1000).fit(wide, targets)
        if self.problem == "multi_label":
            return model.coef_, model.intercept_
        if len(model.classes_) == 2:
            return np.concatenate((0 * model.coef_, model.coef_)), np.concatenate(
                (0 * model.intercept_, model.intercept_)
            )
        return model.coef_, model.intercept_

    def _linear(self, matrix: Matrix) -> Float64[np.ndarray, "rows outputs"]:
        found: Float64[np.ndarray, "rows outputs"] = self._wide(matrix) @ self.arrays["weights"].T + self.arrays["bias"]
        return found

    def _wide(self, matrix: Matrix) -> Float64[np.ndarray, "rows inputs"]:
        """Numbers, marks of missing ones, and categories one-hot."""
        plain = matrix[:, : self.numbers].astype(np.float64)
        missing = np.isnan(plain)
        codes = matrix[:, self.numbers :].astype(np.int64)
        hot = [np.eye(size)[codes[:, place]] for place, size in enumerate(self.sizes)]
        return np.concatenate((np.clip(np.where(missing, 0.0, plain), -10, 10), missing, *hot), axis=1)

    def _grown(self, matrix: Matrix) -> Float64[np.ndarray, "rows outputs"]:
        """The sum of all trees' leaves. All rows step down one tree together."""
        nodes, x = self.arrays, matrix.astype(np.float64)
        raw: Float64[np.ndarray, "rows outputs"] = np.tile(nodes["baseline"], (len(x), 1))
        rows = np.arange(len(x))
        for root, output in zip(nodes["roots"], nodes["outputs"], strict=True):
            at: Int64[np.ndarray, " rows"] = np.full(len(x), root)
            while True:
                inner = ~nodes["leaf"][at]
                if not inner.any():
                    break
                here, value = at[inner], x[rows[inner], nodes["feature"][at[inner]]]
                left = np.where(np.isnan(value), nodes["missing_left"][here], value <= nodes["threshold"][here])
                at[inner] = np.where(left, nodes["left"][here], nodes["right"][here])
            raw[:, output] += nodes["value"][at]
        return raw

    def to_dict(self) -> dict[str, Any]:
        """All but the arrays, ready for JSON."""
        return {"kind": self.kind, "problem": self.problem, "numbers": self.numbers, "sizes": list(self.sizes)}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any], arrays: dict[str, Shaped[np.ndarray, ...]]) -> TableExpert:
        """The inverse of `to_dict`.

        Raises:
            CheckpointError: it is damaged.
        """
        needed = {"linear": {"weights", "bias"}, "trees": set(_FIELDS) | {"baseline", "roots", "outputs"}}
        if needed.get(saved.get("kind", "")) != arrays.keys():
            raise CheckpointError("the saved expert of numbers is damaged", fix="Copy the folder anew")
        try:
            return cls(saved["kind"], saved["problem"], int(saved["numbers"]), tuple(map(int, saved["sizes"])), arrays)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"the saved expert of numbers is damaged: {error!r}", fix="Copy it anew") from error


_FIELDS: dict[str, str] = {
    "feature": "feature_idx", "threshold": "num_threshold", "left": "left", "right": "right", "value": "value",
    "leaf": "is_leaf", "missing_left": "missing_go_to_left",
}  # fmt: skip


def _trees(models: list[Any], outputs: int) -> dict[str, Shaped[np.ndarray, ...]]:
    """All nodes of all trees in one row of arrays; where each tree begins, and the output that it adds to."""
    baseline = np.zeros(outputs)
    roots, adds, parts = list[int](), list[int](), list[Any]()
    start = 0
    for place, model in enumerate(models):
        if isinstance(model, float):
            baseline[place] = np.log(model / (1 - model))
            continue
        given = np.asarray(model._baseline_prediction, np.float64).ravel()
        # Of two classes scikit-learn tells one score, that of the second.
        first = outputs - len(given) if len(models) == 1 else place
        baseline[first : first + len(given)] = given
        for round_ in model._predictors:
            for output, tree in enumerate(round_):
                nodes = tree.nodes.copy()
                nodes["left"] += start
                nodes["right"] += start
                roots.append(start)
                adds.append(first + output)
                parts.append(nodes)
                start += len(nodes)
    joined = {
        name: np.concatenate([part[theirs] for part in parts] or [np.empty(0)]) for name, theirs in _FIELDS.items()
    }
    kinds = {"leaf": np.bool_, "missing_left": np.bool_, "threshold": np.float64, "value": np.float64}
    arrays: dict[str, Shaped[np.ndarray, ...]] = {
        name: np.ascontiguousarray(value).astype(kinds.get(name, np.int64)) for name, value in joined.items()
    }
    return arrays | {"baseline": baseline, "roots": np.array(roots, np.int64), "outputs": np.array(adds, np.int64)}
