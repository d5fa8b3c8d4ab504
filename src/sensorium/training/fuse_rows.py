"""Which rows of a table train, which decisions are fitted to, and which judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from sensorium.data.tables.schema import TableSchema
from sensorium.data.tables.table import Table
from sensorium.data.tables.targets import TargetSpec
from sensorium.errors import DataError
from sensorium.fusion.splits import check_time, folds, split_rows

_LEAST = 4


@dataclass(frozen=True, eq=False)
class Rows:
    """Row numbers.

    Args:
        train: what the model learns from.
        calibration: what decisions are fitted to; none at level `feature`.
        validation: what judges; none where a file of its own does.
    """

    train: Int64[np.ndarray, " _"]
    calibration: Int64[np.ndarray, " _"]
    validation: Int64[np.ndarray, " _"]


def choose_rows(
    table: Table,
    schema: TableSchema,
    target: TargetSpec,
    usable: Bool[np.ndarray, " rows"],
    *,
    held_out: float,
    calibration: float,
    group: str | None = None,
    time: str | None = None,
    seed: int = 0,
) -> Rows:
    """Split a table.

    Rows that are alike in all that is read of them stay together. Classes are stratified; with `group` whole groups
    stay together; with `time` the last rows judge, and those before them fit decisions.

    Args:
        table: all rows.
        schema: what is read of them.
        target: what is predicted.
        usable: rows with a label and some modality.
        held_out: share that judges; 0: none.
        calibration: share of the others that decisions are fitted to; 0: none.
        group, time: columns to split by.
        seed: another one gives another split.

    Raises:
        DataError: there are too few rows.
    """
    chosen = np.flatnonzero(usable)
    if len(chosen) < _LEAST:
        raise DataError(
            f"{len(chosen)} rows can be learned from, which are too few",
            where=table.source,
            fix=f"Give {_LEAST} or more",
        )
    split = partial(
        split_table, table, target=target, label=schema.label, read=[column.name for column in schema.columns],
        group=group, time=time,
    )  # fmt: skip
    train, validation = split(chosen, share=held_out, seed=seed)
    train, fitted = split(train, share=calibration, seed=seed + 1)
    return Rows(train, fitted, validation)


def choose_folds(
    table: Table,
    schema: TableSchema,
    target: TargetSpec,
    rows: Int64[np.ndarray, " rows"],
    *,
    count: int,
    group: str | None = None,
    seed: int = 0,
) -> Int64[np.ndarray, " rows"]:
    """The fold of each training row; what stays together in `choose_rows` does here, too.

    Args:
        table, schema, target, group, seed: as of `choose_rows`.
        rows: those that train.
        count: how many folds.

    Raises:
        DataError: there are too few rows, or they are too much alike.
    """
    columns = [table.columns[column.name] for column in schema.columns]
    labels = table.columns[schema.label]
    try:
        return folds(
            [repr([cells[row] for cells in columns]) for row in rows],
            k=count,
            labels=[str(labels[row]) for row in rows] if target.problem == "classification" else None,
            groups=None if group is None else [str(table.column(group)[row]) for row in rows],
            seed=seed,
        )
    except DataError as error:
        raise DataError(error.problem, where=table.source, fix="Give more rows, or lower learn.folds") from error


def split_table(
    table: Table,
    rows: Int64[np.ndarray, " _"],
    *,
    target: TargetSpec,
    label: str,
    read: Sequence[str],
    share: float,
    group: str | None,
    time: str | None,
    seed: int,
) -> tuple[Int64[np.ndarray, " _"], Int64[np.ndarray, " _"]]:
    """The rows that stay, and a share of them; see `choose_rows`.

    Args:
        table: all rows.
        rows: those to split.
        target, label: what is predicted, and its column.
        read: columns by which rows are alike.
        share: of the rows; 0: none.
        group, time: columns to split by.
        seed: another one gives another split.

    Raises:
        DataError: there are too few rows, or they are too much alike; a cell of `time` is no time.
    """
    if not share:
        return rows, rows[:0]
    columns = [table.columns[name] for name in read]
    keys = [repr([cells[row] for cells in columns]) for row in rows]
    labels = table.columns[label]
    classes = [str(labels[row]) for row in rows] if target.problem == "classification" and time is None else None
    groups = None if group is None else [str(table.column(group)[row]) for row in rows]
    times = None if time is None else _times(table, time, rows)
    by = group or time
    where = table.source if by is None else f"{table.source}, column {by!r}"
    if by is None and len(set(keys)) < 2:
        raise DataError(
            f"{len(rows)} rows are alike in all that is read of them, so that none can be held out",
            where=where,
            fix="Give rows that differ",
        )
    try:
        split = split_rows(keys, labels=classes, groups=groups, times=times, validation=share, seed=seed)
    except DataError as error:
        raise DataError(error.problem, where=where, fix=error.fix) from error
    return rows[split.train], rows[split.validation]


def _times(table: Table, name: str, rows: Int64[np.ndarray, " _"]) -> Shaped[np.ndarray, " _"]:
    cells = table.column(name)
    for row in rows:
        check_time(cells[row], where=f"{table.source}, column {name!r}, row {row + 1}")
    return np.array([cells[row] for row in rows], dtype=object)
