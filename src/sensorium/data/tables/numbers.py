"""Numbers and categories of a table as one matrix: standardised numbers, then the categories' codes.

Unusual: a number that is missing is NaN, a category that is missing or was never seen has a code of its own; both are
the encoder's to learn, none is filled in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32

from sensorium.data.tables.cells import is_missing_number, number_of, text_of
from sensorium.errors import CheckpointError

MISSING, UNSEEN = 0, 1
"""Codes of a category that is missing, or was not there in training."""
_FIRST = 2


@dataclass(frozen=True, slots=True)
class NumbersSpec:
    """How columns become numbers.

    Args:
        numbers: columns with their mean and their standard deviation.
        categories: columns with their values, in the order of their codes.
    """

    numbers: tuple[tuple[str, float, float], ...]
    categories: tuple[tuple[str, tuple[str, ...]], ...]

    @classmethod
    def fit(cls, numeric: Mapping[str, Sequence[Any]], categories: Mapping[str, Sequence[Any]]) -> NumbersSpec:
        """Look at the rows that are learned from."""
        numbers = []
        for name, cells in numeric.items():
            known = np.array([value for cell in cells if (value := number_of(cell)) is not None], np.float64)
            mean, std = (float(known.mean()), float(known.std())) if len(known) else (0.0, 1.0)
            numbers.append((name, mean, std if std > 0 and np.isfinite(std) else 1.0))
        values = tuple(
            (name, tuple(sorted({text for cell in cells if (text := text_of(cell)) is not None})))
            for name, cells in categories.items()
        )
        return cls(tuple(numbers), values)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Codes of each category, those of what is missing and unseen among them."""
        return tuple(len(values) + _FIRST for _, values in self.categories)

    @property
    def width(self) -> int:
        return len(self.numbers) + len(self.categories)

    def encode(
        self, columns: Mapping[str, Sequence[Any]], rows: int
    ) -> tuple[Float32[np.ndarray, "rows width"], Bool[np.ndarray, " rows"]]:
        """The matrix, and in which rows anything of it is known. A column that is not given is missing in all rows."""
        matrix = np.full((rows, self.width), np.nan, np.float32)
        known = np.zeros((rows, self.width), np.bool_)
        for place, (name, mean, std) in enumerate(self.numbers):
            for row, cell in enumerate(columns.get(name, ())):
                value = number_of(cell)
                if value is not None:
                    # Far beyond what was seen a number says no more, and float32 ends.
                    matrix[row, place], known[row, place] = np.clip((value - mean) / std, -1e6, 1e6), True
        for place, (name, values) in enumerate(self.categories, len(self.numbers)):
            codes = {value: code for code, value in enumerate(values, _FIRST)}
            matrix[:, place] = MISSING
            for row, cell in enumerate(columns.get(name, ())):
                text = text_of(cell)
                if text is not None:
                    matrix[row, place], known[row, place] = codes.get(text, UNSEEN), True
        anything: Bool[np.ndarray, " rows"] = np.logical_or.reduce(known, axis=1)
        return matrix, anything

    def strange(self, columns: Mapping[str, Sequence[Any]]) -> list[str]:
        """Lines about cells that `encode` takes for missing or unseen, though they hold something."""
        found = []
        for name, _, _ in self.numbers:
            cells = columns.get(name, ())
            if count := sum(number_of(cell) is None and not is_missing_number(cell) for cell in cells):
                found.append(f"column {name!r}: {_counted(count, 'cell is', 'cells are')} no number")
        for name, values in self.categories:
            known = {None, *values}
            if count := sum(text_of(cell) not in known for cell in columns.get(name, ())):
                found.append(f"column {name!r}: {_counted(count, 'value was', 'values were')} not seen in training")
        return found

    def to_dict(self) -> dict[str, Any]:
        return {
            "numbers": [list(one) for one in self.numbers],
            "categories": [[name, list(values)] for name, values in self.categories],
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> NumbersSpec:
        """The inverse of `to_dict`.

        Raises:
            CheckpointError: it is damaged.
        """
        try:
            numbers = tuple((str(name), float(mean), float(std)) for name, mean, std in saved["numbers"])
            return cls(numbers, tuple((str(name), tuple(map(str, values))) for name, values in saved["categories"]))
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"saved numbers are damaged: {error!r}", fix="Copy the folder anew") from error


def _counted(count: int, one: str, many: str) -> str:
    return f"1 {one}" if count == 1 else f"{count:,} {many}"
