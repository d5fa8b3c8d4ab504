"""How good predictions are: classes, several labels at once, amounts, and what is retrieved.

Unusual: it needs NumPy alone, and scikit-learn is what the tests compare it with. A class or label that occurs neither
among the targets nor among what is found has no F1, and counts in no mean; likewise the average precision of a label
that no row has. A measure of nothing but such ones is NaN, never 0. In retrieval a tie counts against the system, so
that scores that are all alike find nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64, Shaped

from sensorium.errors import DataError, InputError, unknown

Problem = Literal["classification", "multi_label", "regression"]
"""One class a row; any number of labels a row; one or several amounts a row."""
PROBLEMS: tuple[str, ...] = get_args(Problem)
MAIN: dict[str, str] = {"classification": "accuracy", "multi_label": "mean_average_precision", "regression": "rmse"}
"""The measure that `measure` names first, of each problem."""
LOWER_IS_BETTER = frozenset({"log_loss", "mae", "rmse", "brier", "ece"})
"""Names of measures that are better when they are smaller; all others are better when they are greater."""
_TINY = float(np.finfo(np.float64).eps)
"""Log loss takes a probability of less for this much, as scikit-learn does."""


def check_problem(problem: str) -> None:
    """Refuse a word that names no problem.

    Raises:
        InputError: it is none of PROBLEMS.
    """
    if problem not in PROBLEMS:
        raise InputError(unknown("problem", problem, PROBLEMS), fix="Name one of them")


def checked_targets(
    problem: Problem, targets: Shaped[np.ndarray, " ..."], *, rows: int, classes: int
) -> Int64[np.ndarray, " rows"] | Float64[np.ndarray, "rows classes"]:
    """The targets in the form that all formulas here take: class numbers, or one number a row and label or amount.

    Args:
        problem: what is predicted.
        targets: classification: class numbers "rows"; multi_label: 0 and 1, or booleans, "rows classes"; regression:
            amounts "rows classes", or "rows" where there is one amount.
        rows: how many there must be.
        classes: how many classes, labels or amounts are predicted.

    Raises:
        InputError: the problem is unknown.
        DataError: their shape does not fit, or a value is no class, neither 0 nor 1, or not finite.
    """
    check_problem(problem)
    targets = np.asarray(targets)
    if problem == "regression" and targets.ndim == 1 and classes == 1:
        targets = targets[:, None]
    shape = (rows,) if problem == "classification" else (rows, classes)
    if targets.shape != shape:
        raise DataError(
            f"targets of {problem} have the shape {targets.shape}, the predictions need {shape}",
            fix="Give one class number a row" if problem == "classification" else "Give one number a row and column",
        )
    if targets.dtype.kind not in "biuf":
        raise DataError(f"targets are of the type {targets.dtype}", fix="Give numbers: turn names into class numbers")
    if not np.isfinite(targets).all():
        row = int(np.argwhere(~np.isfinite(targets))[0][0])
        raise DataError("a target is not finite", where=f"row {row}", fix="Leave rows without a target out")
    if problem == "classification":
        numbers = targets.astype(np.int64)
        wrong = (numbers != targets) | (numbers < 0) | (numbers >= classes)
        if wrong.any():
            row = int(wrong.argmax())
            raise DataError(
                f"{targets[row]} is no class number",
                where=f"target of row {row}",
                fix=f"Classes are counted from 0 to {classes - 1}",
            )
        return numbers
    if problem == "multi_label" and not np.isin(targets, (0, 1)).all():
        row = int(np.argwhere(~np.isin(targets, (0, 1)))[0][0])
        raise DataError("a label is neither 0 nor 1", where=f"target of row {row}", fix="Give 1 where a label holds")
    return targets.astype(np.float64)


def measure(
    problem: Problem, targets: Shaped[np.ndarray, " ..."], predictions: Float[np.ndarray, "rows classes"]
) -> dict[str, float]:
    """Every measure of a problem by name, MAIN's first.

    Classification: accuracy, balanced_accuracy, macro_f1, log_loss (nats). Multi-label, a label being found from a
    probability of 1/2 on: mean_average_precision, micro_f1, macro_f1, log_loss (nats a label). Regression: rmse, mae,
    r2; of several amounts the mean of each one's own.

    Args:
        problem: what is predicted.
        targets: as `checked_targets` takes them.
        predictions: probabilities, or amounts.

    Raises:
        InputError: the problem is unknown.
        DataError: there are no rows, a prediction is not finite, or the targets do not fit.
    """
    rows, classes = predictions.shape
    expected = checked_targets(problem, targets, rows=rows, classes=classes)
    if not rows or not classes:
        raise DataError("there is nothing to measure", fix="Give at least one row")
    if not np.isfinite(predictions).all():
        row = int(np.argwhere(~np.isfinite(predictions))[0][0])
        raise DataError("a prediction is not finite", where=f"row {row}", fix="Fuse the experts, or leave the row out")
    predictions = predictions.astype(np.float64)
    if problem == "regression":
        return _amounts(expected, predictions)
    loss = log_loss(problem, expected, predictions)
    if problem == "multi_label":
        micro, macro = _label_f1(expected > 0, predictions >= 0.5)
        precision = average_precisions(expected > 0, predictions)
        return {
            "mean_average_precision": _mean(precision),
            "micro_f1": micro,
            "macro_f1": macro,
            "log_loss": loss,
        }
    table = _confusions(expected, predictions.argmax(1), classes)
    right, true, found = np.diag(table), table.sum(1), table.sum(0)
    return {
        "accuracy": float(right.sum() / rows),
        "balanced_accuracy": float((right[true > 0] / true[true > 0]).mean()),
        "macro_f1": _mean(_f1(right, true + found)),
        "log_loss": loss,
    }


def row_losses(
    problem: Problem,
    targets: Int64[np.ndarray, " rows"] | Float64[np.ndarray, "rows classes"],
    predictions: Float64[np.ndarray, "rows classes"],
) -> Float64[np.ndarray, " rows"]:
    """The loss of every row: negative log-probability in nats (multi-label: the mean over labels), or squared error
    (the mean over amounts). Targets are as `checked_targets` gives them."""
    losses: Float64[np.ndarray, " rows"]
    if problem == "regression":
        losses = ((predictions - targets) ** 2).mean(1)
    elif problem == "classification":
        # As scikit-learn: rows that do not quite sum to 1 are put right first.
        chosen = np.take_along_axis(predictions, targets[:, None].astype(np.int64), 1)[:, 0] / predictions.sum(1)
        losses = -np.log(np.clip(chosen, _TINY, 1.0))
    else:
        losses = -np.log(np.clip(np.where(targets > 0, predictions, 1 - predictions), _TINY, 1.0)).mean(1)
    return losses


def log_loss(
    problem: Problem,
    targets: Int64[np.ndarray, " rows"] | Float64[np.ndarray, "rows classes"],
    predictions: Float64[np.ndarray, "rows classes"],
) -> float:
    """Mean negative log-likelihood in nats (of regression: the mean squared error)."""
    return float(row_losses(problem, targets, predictions).mean())


def average_precisions(
    targets: Bool[np.ndarray, "rows classes"], scores: Float[np.ndarray, "rows classes"]
) -> Float64[np.ndarray, " classes"]:
    """Average precision of every label: the mean, over the rows that have it, of the precision at their score; rows of
    one score are taken together. NaN for a label that no row has."""
    found = np.full(targets.shape[1], np.nan)
    for label in range(targets.shape[1]):
        positives = targets[:, label].sum()
        if not positives:
            continue
        order = np.argsort(-scores[:, label], kind="stable")
        right = np.cumsum(targets[order, label])
        ends = np.append(np.flatnonzero(np.diff(scores[order, label])), len(order) - 1)
        found[label] = (np.diff(right[ends], prepend=0) * right[ends] / (ends + 1)).sum() / positives
    return found


def retrieval(
    scores: Float[np.ndarray, "queries candidates"],
    relevant: Bool[np.ndarray, "queries candidates"],
    *,
    ks: Sequence[int] = (1, 5, 10),
) -> dict[str, float]:
    """Recall at k and mean reciprocal rank of the best-placed right answer of each query.

    `recall_at_k` is the share of queries with a right answer among the first k, as in the literature on image and text
    (Karpathy & Fei-Fei 2015). The first k in `ks` is the main measure; `mrr` comes last.

    Args:
        scores: greater is better.
        relevant: which candidates are right; one or more a query.
        ks: how many answers are looked at.

    Raises:
        InputError: a k is below 1, or there is none.
        DataError: shapes differ, there is no query, a score is NaN, or a query has no right answer.
    """
    if not ks or min(ks) < 1:
        raise InputError(f"recall is asked at {list(ks)}", fix="Give numbers from 1 on")
    ranks = first_ranks(scores, relevant)
    return {**{f"recall_at_{k}": float((ranks <= k).mean()) for k in ks}, "mrr": float((1 / ranks).mean())}


def first_ranks(
    scores: Float[np.ndarray, "queries candidates"], relevant: Bool[np.ndarray, "queries candidates"]
) -> Int64[np.ndarray, " queries"]:
    """Rank of the best-placed right answer of each query, counted from 1; wrong answers of its score come before it.

    Raises:
        DataError: there is no query, a score is NaN, or a query has no right answer.
    """
    if not scores.size:
        raise DataError("there is nothing to retrieve", fix="Give at least one query and one candidate")
    if np.isnan(scores).any():
        row = int(np.argwhere(np.isnan(scores))[0][0])
        raise DataError("a score is NaN", where=f"query {row}", fix="Leave queries and candidates without features out")
    if not relevant.any(1).all():
        raise DataError(
            "has no right answer among the candidates",
            where=f"query {int(relevant.any(1).argmin())}",
            fix="Leave it out, or add its answer",
        )
    best = np.where(relevant, scores, -np.inf).max(1, keepdims=True)
    ranks: Int64[np.ndarray, " queries"] = 1 + ((scores >= best) & ~relevant).sum(1)
    return ranks


def _confusions(
    expected: Int64[np.ndarray, " rows"], found: Int64[np.ndarray, " rows"], classes: int
) -> Int64[np.ndarray, "classes classes"]:
    return np.bincount(expected * classes + found, minlength=classes**2).reshape(classes, classes)


def _label_f1(
    expected: Bool[np.ndarray, "rows classes"], found: Bool[np.ndarray, "rows classes"]
) -> tuple[float, float]:
    """Micro and macro."""
    right, occur = (expected & found).sum(0), expected.sum(0) + found.sum(0)
    return _mean(_f1(right.sum(keepdims=True), occur.sum(keepdims=True))), _mean(_f1(right, occur))


def _f1(right: Int64[np.ndarray, " n"], occur: Int64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """NaN for what occurs nowhere."""
    return np.where(occur > 0, 2 * right / np.maximum(occur, 1), np.nan)


def _mean(values: Float64[np.ndarray, " n"]) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def _amounts(targets: Float64[np.ndarray, "rows n"], found: Float64[np.ndarray, "rows n"]) -> dict[str, float]:
    error = found - targets
    squared, spread = (error**2).sum(0), ((targets - targets.mean(0)) ** 2).sum(0)
    # As scikit-learn: targets that are all alike are explained wholly or not at all.
    flat = np.where(squared == 0, 1.0, 0.0)
    r2 = np.where(spread > 0, 1 - squared / np.where(spread > 0, spread, 1), flat)
    return {
        "rmse": float(np.sqrt((error**2).mean(0)).mean()),
        "mae": float(np.abs(error).mean()),
        "r2": float(r2.mean()),
    }
