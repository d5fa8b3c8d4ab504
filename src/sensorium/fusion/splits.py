"""Who trains and who judges: splits and folds of rows.

Unusual: no generator is drawn from. Rows are ordered by a hash of their key, so that the same table gives the same
split wherever its rows stand, on every machine. Without labels and groups a key's side depends on nothing but itself:
rows that are added later move no other. Rows of one key stay together, or of one group where groups are given, so that
no twin of a training row judges.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
import xxhash
from jaxtyping import Float64, Int64, Shaped, UInt64

from sensorium.errors import CapabilityError, DataError, InputError

Column = Sequence[object] | Shaped[np.ndarray, " _"]
"""One value a row. Values are one if their text is."""
_RANGE = float(2**64)
_LEAST = 1e-9
"""Stands for 0 where one divides by what is due."""


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Row numbers, ascending."""

    train: Int64[np.ndarray, " _"]
    validation: Int64[np.ndarray, " _"]
    test: Int64[np.ndarray, " _"]
    """Empty if none was asked for."""


def split_rows(
    keys: Column,
    *,
    labels: Column | None = None,
    groups: Column | None = None,
    times: Shaped[np.ndarray, " _"] | None = None,
    validation: float = 0.2,
    test: float = 0.0,
    seed: int = 0,
) -> Split:
    """Split rows in two or three; no part that is asked for is empty.

    Args:
        keys: what tells rows apart: a name, a path, a hash of the content; `range(n)` if there is nothing better.
        labels: stratify: each part gets its share of every label, and training at least one row of each.
        groups: rows of one group stay together, whatever their keys; with labels their shares are met as well as whole
            groups allow (each group in turn, large ones first, goes where it is missed most).
        times: numbers, dates, or text that holds such (ISO 8601); the last rows are the test, those before them the
            validation. Rows of one time stay together. Keys and labels then play no part.
        validation: its share of the rows, above 0.
        test: its share.
        seed: another one gives another split.

    Raises:
        InputError: shares are out of range.
        CapabilityError: both groups and times are given.
        DataError: there are too few rows, keys, groups or times for the parts, a single class, or columns of another
            length.
    """
    shares = _shares(validation, test)
    rows = len(keys)
    for name, column in (("labels", labels), ("groups", groups), ("times", times)):
        _same_length(name, column, rows)
    parts = len(shares)
    if rows < parts:
        raise DataError(f"{rows} rows cannot be split into {parts} parts", fix=f"Give at least {parts}")
    if times is not None:
        if groups is not None:
            raise CapabilityError("rows are split by group or by time, not by both", fix="Leave one of them out")
        return _as_split(_by_time(times, shares))
    units = _Units.of(keys if groups is None else groups, seed)
    what = "keys" if groups is None else "groups"
    if units.count < parts:
        raise DataError(
            f"all rows are of {units.count} {what}, too few for {parts} parts",
            fix=f"Give rows of at least {parts} {what}, or split by something else",
        )
    classes = None if labels is None else _classes(labels)
    if classes is None and groups is None:
        return _as_split(_by_hash(units, shares))
    if classes is None or units.count < rows:
        return _as_split(_greedy(units, np.zeros(rows, np.int64) if classes is None else classes, shares)[units.of_row])
    return _as_split(_stratified(units, classes, shares))


def folds(
    keys: Column,
    *,
    k: int = 5,
    labels: Column | None = None,
    groups: Column | None = None,
    seed: int = 0,
) -> Int64[np.ndarray, " _"]:
    """The fold, 0 to k - 1, that each row is held out in, as out-of-fold predictions need.

    Folds differ by at most one row in size, and with labels by at most one row of each label; with groups (or keys
    that repeat) as little as whole groups allow.

    Args:
        keys: as of `split_rows`.
        k: how many folds.
        labels: stratify by them.
        groups: rows of one group stay in one fold.
        seed: another one gives other folds.

    Raises:
        InputError: there are fewer than 2 folds.
        DataError: there are fewer rows, keys or groups than folds, a single class, or columns of another length.
    """
    if k < 2:
        raise InputError(f"{k} folds are asked for", fix="Ask for 2 or more")
    rows = len(keys)
    _same_length("labels", labels, rows)
    _same_length("groups", groups, rows)
    units = _Units.of(keys if groups is None else groups, seed)
    if units.count < k:
        what = "groups" if groups is not None else "rows" if units.count == rows else "different keys"
        raise DataError(f"{units.count} {what} make no {k} folds", fix=f"Give more, or ask for {units.count} folds")
    classes = np.zeros(rows, np.int64) if labels is None else _classes(labels)
    if units.count < rows:
        fold: Int64[np.ndarray, " _"] = _greedy(units, classes, np.full(k, 1 / k))[units.of_row]
        return fold
    found: Int64[np.ndarray, " _"] = np.empty(rows, np.int64)
    found[np.lexsort((units.hashes[units.of_row], classes))] = np.arange(rows) % k
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Units:
    """What stays together, in the order of hashes."""

    hashes: UInt64[np.ndarray, " units"]
    of_row: Int64[np.ndarray, " rows"]

    @property
    def count(self) -> int:
        return len(self.hashes)

    @classmethod
    def of(cls, column: Column, seed: int) -> _Units:
        numbers = dict[str, int]()
        of_row = np.array([numbers.setdefault(str(value), len(numbers)) for value in column], np.int64)
        hashes = np.array(
            [xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"), seed=seed) for text in numbers], np.uint64
        )
        order = np.argsort(hashes, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        return cls(hashes[order], place[of_row] if len(of_row) else of_row)


def _by_hash(units: _Units, shares: Float64[np.ndarray, " parts"]) -> Int64[np.ndarray, " rows"]:
    """The part of each row by where its key's hash lies; training has the greatest hashes."""
    limits = np.cumsum(shares[::-1])[:-1]  # Held-out parts first, so that a larger share only adds to them.
    part = len(shares) - 1 - np.searchsorted(limits, units.hashes.astype(np.float64) / _RANGE, side="right")
    if len(np.unique(part)) < len(shares):
        # Few rows: their order alone decides.
        part = np.repeat(np.arange(len(shares))[::-1], _counts(units.count, shares)[::-1])
    found: Int64[np.ndarray, " rows"] = part[units.of_row].astype(np.int64)
    return found


def _stratified(
    units: _Units, classes: Int64[np.ndarray, " rows"], shares: Float64[np.ndarray, " parts"]
) -> Int64[np.ndarray, " rows"]:
    """The part of each row, each a unit of its own. What rounding leaves over is carried to the next label."""
    part = np.zeros(len(classes), np.int64)
    order = np.lexsort((units.hashes[units.of_row], classes))
    due = np.zeros(len(shares))
    for rows in np.split(order, np.flatnonzero(np.diff(classes[order])) + 1):
        due += len(rows) * shares
        start = 0
        for held in range(len(shares) - 1, 0, -1):
            count = int(np.clip(round(due[held]), 0, len(rows) - 1 - start))
            part[rows[start : start + count]] = held
            due[held] -= count
            start += count
    for held in range(1, len(shares)):
        if not (part == held).any():
            # So few rows that all shares were rounded away: of a label that training has two of, one moves.
            left = np.bincount(classes[part == 0], minlength=int(classes.max()) + 1)
            movable = order[(part[order] == 0) & (left[classes[order]] > 1)]
            if not len(movable):
                raise DataError(
                    "the labels have too few rows to judge by any of them",
                    fix="Give more rows a label, or split without labels",
                )
            part[movable[0]] = held
    return part


def _greedy(
    units: _Units, classes: Int64[np.ndarray, " rows"], shares: Float64[np.ndarray, " parts"]
) -> Int64[np.ndarray, " units"]:
    """The part of each unit: large ones first, each where its classes are missed most, by share of what is due."""
    table = np.zeros((units.count, int(classes.max()) + 1))
    np.add.at(table, (units.of_row, classes), 1)
    due = shares[:, None] * table.sum(0)
    missing, total = due.copy(), due.sum(1)
    part = np.empty(units.count, np.int64)
    empty = np.ones(len(shares), np.bool_)
    for place, unit in enumerate(np.argsort(-table.sum(1), kind="stable")):
        # What the choice adds to the squares of what is missed, relative to what is due.
        costs = (table[unit] * (table[unit] - 2 * missing) / np.maximum(due, _LEAST)).sum(1).round(9)
        if units.count - place <= empty.sum():
            costs[~empty] = np.inf
        chosen = int(np.lexsort((-total, costs))[0])
        part[unit] = chosen
        missing[chosen] -= table[unit]
        total[chosen] -= table[unit].sum()
        empty[chosen] = False
    return part


def _by_time(times: Shaped[np.ndarray, " rows"], shares: Float64[np.ndarray, " parts"]) -> Int64[np.ndarray, " rows"]:
    if times.dtype.kind not in "biufmM":
        times = np.array([_moment(value, f"row {row}") for row, value in enumerate(times.tolist())])
    unknown = np.isnat(times) if times.dtype.kind in "mM" else np.isnan(times)
    if unknown.any():
        raise DataError("has no time", where=f"row {int(unknown.argmax())}", fix="Leave rows without a time out")
    moments, of_row, counts = np.unique(times, return_inverse=True, return_counts=True)
    parts = len(shares)
    if len(moments) < parts:
        raise DataError(
            f"all rows are of {len(moments)} times, too few for {parts} parts", fix="Split by something else"
        )
    # Each bound lies after the moment whose end is nearest to what is due, and leaves a moment for every part.
    ends, bound = np.cumsum(counts), 0
    part = np.zeros(len(moments), np.int64)
    for held, due in enumerate(np.cumsum(shares)[:-1] * len(times), 1):
        bound = int(np.clip(np.abs(ends - due).argmin() + 1, bound + 1, len(moments) - parts + held))
        part[bound:] = held
    return part[of_row]


def check_time(value: object, *, where: str) -> None:
    """Refuse what rows cannot be split by.

    Raises:
        DataError: it is no number, no date, and no text that holds one; or NaN.
    """
    if math.isnan(_moment(value, where)):
        raise DataError("has no time", where=where, fix="Leave rows without a time out")


def _moment(value: object, where: str) -> float:
    """Seconds, or a number as it stands; a date without a zone is taken for UTC."""
    try:
        if isinstance(value, str):
            try:
                return float(value)
            except ValueError:
                value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        if isinstance(value, date):
            return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()
        return float(value)  # type: ignore[arg-type]  # What is no number raises.
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{value!r} is no time", where=where, fix="Write dates as 2024-12-31, or give numbers"
        ) from error


def _counts(n: int, shares: Float64[np.ndarray, " parts"]) -> Int64[np.ndarray, " parts"]:
    """Whole numbers that sum to n, none 0, the first as what the others leave."""
    counts = np.maximum(1, np.round(n * shares)).astype(np.int64)
    while counts[1:].sum() > n - 1:
        counts[1 + counts[1:].argmax()] -= 1
    counts[0] = n - counts[1:].sum()
    return counts


def _shares(validation: float, test: float) -> Float64[np.ndarray, " parts"]:
    if not (0 < validation < 1 and 0 <= test < 1 and validation + test < 1):
        raise InputError(
            f"shares of {validation} for validation and {test} for test", fix="Give shares that leave some to train on"
        )
    return np.array([1 - validation - test, validation, *([test] if test else [])])


def _classes(labels: Column) -> Int64[np.ndarray, " _"]:
    numbers = np.unique(np.array([str(label) for label in labels]), return_inverse=True)[1]
    if not numbers.any():
        raise DataError("all rows are of one class", fix="Give rows of at least two, or another label")
    return numbers.astype(np.int64)


def _same_length(name: str, column: Column | None, rows: int) -> None:
    if column is not None and len(column) != rows:
        raise DataError(f"{len(column)} {name} are given for {rows} keys", fix="Give one a row")


def _as_split(part: Int64[np.ndarray, " _"]) -> Split:
    return Split(*(np.flatnonzero(part == number) for number in range(3)))
