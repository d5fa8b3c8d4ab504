"""What is predicted: one class, several labels or an amount a row; its names, weights and how it is told by numbers."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Float64, Shaped

from sensorium.data.tables.cells import is_missing, number_of, words_of
from sensorium.errors import CheckpointError, DataError, InputError, unknown

Problem = Literal["classification", "multi_label", "regression"]
PROBLEMS: tuple[Problem, ...] = get_args(Problem)
SEPARATORS = "|;,"
_PARTED = 0.8
"""Of the cells with a separator, the share whose parts are all found elsewhere, alone or in other company."""
_FEW = 20
"""Numbers with more values than so many, or with fractions, are amounts."""


@dataclass(frozen=True, slots=True)
class TargetSpec:
    """How labels become numbers.

    Args:
        problem: one class, any number of labels, or one amount a row.
        names: of the classes or labels in their order; of an amount its column.
        separator: between several labels in one text.
        mean, std: of the amounts that were learned from; a model tells them in units of these.
    """

    problem: Problem
    names: tuple[str, ...]
    separator: str | None = None
    mean: float = 0.0
    std: float = 1.0

    @classmethod
    def fit(cls, cells: Sequence[Any], *, problem: str, where: str, name: str) -> TargetSpec:
        """Look at the labels.

        Args:
            cells: the column; missing ones are passed over.
            problem: one of PROBLEMS, or `auto`.
            where: what to call the column in errors.
            name: of the column.

        Raises:
            InputError: there is no such problem.
            DataError: no cell holds a label, all hold the same, or they do not fit the problem.
        """
        if problem not in ("auto", *PROBLEMS):
            raise InputError(unknown("problem", problem, ("auto", *PROBLEMS)), fix="Name one of them")
        held = [cell for cell in cells if not is_missing(cell)]
        if not held:
            raise DataError("no row has a label", where=where, fix="Give rows with one, or name another column")
        kind, separator = _guess(held) if problem == "auto" else (problem, None)
        if kind == "regression":
            return cls._amounts(held, where, name)
        if kind == "multi_label":
            separator = separator or _separator(held)
            names = _in_order({label for cell in held for label in _labels(cell, separator)})
            if len(names) < 1:
                raise DataError("no row has a label", where=where, fix="Give rows with some")
            return cls("multi_label", names, separator)
        names = _in_order({_class(cell, where) for cell in held})
        if len(names) < 2:
            raise DataError(
                f"every label is {names[0]!r}: there is nothing to tell apart", where=where, fix="Give rows of others"
            )
        if len(names) > max(_FEW, len(held) // 2):
            raise DataError(
                f"{len(names)} labels in {len(held)} rows leave nothing to learn from",
                where=where,
                fix="Is it the right column? Amounts are learned by --problem regression",
            )
        return cls("classification", names)

    @classmethod
    def _amounts(cls, held: Sequence[Any], where: str, name: str) -> TargetSpec:
        values = [number_of(cell) for cell in held]
        wrong = next((cell for cell, value in zip(held, values, strict=True) if value is None), None)
        if wrong is not None:
            raise DataError(f"{wrong!r} is no amount", where=where, fix="Mend it, or use --problem classification")
        known = np.array(values, np.float64)
        if np.ptp(known) == 0:
            raise DataError(f"every amount is {known[0]:g}", where=where, fix="Give rows of others")
        return cls("regression", (name,), mean=float(known.mean()), std=float(known.std()))

    @property
    def told(self) -> str:
        """What the label was taken for, in words."""
        if self.problem == "regression":
            return f"regression, amounts around {self.mean:.4g}"
        if self.problem == "classification":
            return f"classification, {len(self.names)} classes"
        return f"multi_label, {len(self.names)} labels; several in one text are parted by {self.separator!r}"

    @property
    def outputs(self) -> int:
        """Numbers that a model tells of a row."""
        return len(self.names)

    def known(self, cells: Sequence[Any]) -> Bool[np.ndarray, " rows"]:
        """Where there is a label; of several labels an empty text, too, says that there are none."""
        if self.problem == "multi_label":
            return np.array([cell is not None for cell in cells], np.bool_)
        return np.array([not is_missing(cell) for cell in cells], np.bool_)

    def encode(self, cells: Sequence[Any], *, where: str) -> Float64[np.ndarray, "rows outputs"]:
        """Labels as weights over classes (one is 1), as 0 and 1 of each label, or as amounts in units of `std`.

        Raises:
            DataError: a label is missing, or none of `names`.
        """
        if self.problem == "regression":
            amounts = [number_of(cell) for cell in cells]
            if None in amounts:
                raise DataError(f"{cells[amounts.index(None)]!r} is no amount", where=where, fix="Mend the row")
            found: Float64[np.ndarray, "rows 1"] = (np.array(amounts, np.float64)[:, None] - self.mean) / self.std
            return found
        number = {name: place for place, name in enumerate(self.names)}
        targets = np.zeros((len(cells), len(self.names)))
        for row, cell in enumerate(cells):
            labels = _labels(cell, self.separator) if self.problem == "multi_label" else [_class(cell, where)]
            for label in labels:
                if label not in number:
                    raise DataError(
                        f"the label {label!r} is none of the training data's ({', '.join(self.names[:20])})",
                        where=where,
                        fix="Remove the row, or add such rows to the training data",
                    )
                targets[row, number[label]] = 1
        return targets

    def plain(self, targets: Float[np.ndarray, "rows outputs"]) -> Shaped[np.ndarray, ...]:
        """What `fusion.measures` takes for targets: class numbers, 0 and 1, or amounts."""
        if self.problem == "classification":
            return np.asarray(targets.argmax(1), np.int64)
        return self.amounts(targets) if self.problem == "regression" else np.asarray(targets, np.float64)

    def amounts(self, values: Float[np.ndarray, "rows outputs"]) -> Float64[np.ndarray, "rows outputs"]:
        """What a model tells, in the column's own units; probabilities stay."""
        if self.problem != "regression":
            return np.asarray(values, np.float64)
        return np.asarray(values, np.float64) * self.std + self.mean

    def weights(self, targets: Float64[np.ndarray, "rows outputs"], kind: str) -> tuple[float, ...] | None:
        """What each class weighs in the loss: by the inverse of its frequency (`balanced`), 1 on average over rows."""
        if kind == "none" or self.problem != "classification":
            return None
        counts = targets.sum(0)
        return tuple(float(len(targets) / (len(counts) * max(count, 1.0))) for count in counts)

    def to_dict(self) -> dict[str, Any]:
        return {
            "problem": self.problem, "names": list(self.names), "separator": self.separator, "mean": self.mean,
            "std": self.std,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> TargetSpec:
        """The inverse of `to_dict`.

        Raises:
            CheckpointError: it is damaged.
        """
        try:
            made = cls(
                saved["problem"], tuple(map(str, saved["names"])), saved["separator"], float(saved["mean"]),
                float(saved["std"]),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"saved labels are damaged: {error!r}", fix="Copy the folder anew") from error
        if made.problem not in PROBLEMS or not made.names or not (made.std > 0 and math.isfinite(made.mean)):
            raise CheckpointError("saved labels are damaged", fix="Copy the folder anew")
        return made


def _guess(held: Sequence[Any]) -> tuple[Problem, str | None]:
    """The problem; of several labels in one text also what parts them."""
    if any(isinstance(cell, list | tuple) for cell in held):
        return "multi_label", None
    values = [number_of(cell) for cell in held]
    if all(value is not None for value in values):
        numbers = {value for value in values if value is not None}
        whole = all(value.is_integer() for value in numbers)
        return ("classification" if whole and len(numbers) <= _FEW else "regression"), None
    texts = [text for cell in held if (text := words_of(cell)) is not None]
    parts = Counter(part.strip() for text in texts for part in text.split("|"))
    joined = sum("|" in text for text in texts)
    if joined > len(texts) // 10 and max(parts.values()) > 1:
        return "multi_label", "|"
    separator = next((mark for mark in SEPARATORS[1:] if _is_parted(texts, mark)), None)
    return ("classification" if separator is None else "multi_label"), separator


def _is_parted(texts: Sequence[str], mark: str) -> bool:
    """Whether cells are sets of labels, rather than names with a mark in them (`Paris, France`; `1,5`).

    Sets differ in size, and what is in one of them is elsewhere alone or in other company.
    """
    cells = [frozenset(part for piece in text.split(mark) if (part := piece.strip())) for text in texts]
    joined = [cell for cell, text in zip(cells, texts, strict=True) if mark in text]
    if len(joined) <= len(texts) // 10 or len({len(cell) for cell in cells}) < 2:
        return False
    company = Counter(part for cell in set(cells) for part in cell)
    if all(number_of(part) is not None for part in company) and mark == ",":
        return False
    return sum(all(company[part] > 1 for part in cell) for cell in joined) >= _PARTED * len(joined)


def _separator(held: Sequence[Any]) -> str:
    """The one that most cells hold."""
    counts = {mark: sum(isinstance(cell, str) and mark in cell for cell in held) for mark in SEPARATORS}
    return max(SEPARATORS, key=lambda mark: counts[mark])


def _labels(cell: Any, separator: str | None) -> list[str]:
    """The labels of one cell; a cell that is empty has none."""
    if is_missing(cell):
        return []
    parts = list(cell) if isinstance(cell, list | tuple) else str(cell).split(separator or "|")
    return [text for part in parts if (text := words_of(part)) is not None]


def _class(cell: Any, where: str) -> str:
    text = None if isinstance(cell, list | tuple | dict) else words_of(cell)
    if text is None:
        raise DataError(f"{cell!r} is no class", where=where, fix="Give each row one, or use --problem multi_label")
    return text


def _in_order(labels: set[str]) -> tuple[str, ...]:
    """By number, if all are whole numbers."""
    numbers = all(re.fullmatch(r"-?\d+", label) for label in labels)
    return tuple(sorted(labels, key=lambda label: (int(label) if numbers else 0, label)))
