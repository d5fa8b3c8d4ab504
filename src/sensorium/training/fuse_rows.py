"""Which rows of a table train, which decisions are fitted to, and which judge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64

from sensorium.data.tables.schema import TableSchema
from sensorium.data.tables.table import Table
from sensorium.data.tables.targets import TargetSpec
from sensorium.errors import DataError
from sensorium.fusion.splits import split_rows

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
    train, validation = _split(table, schema, target, chosen, held_out, group, time, seed)
    train, fitted = _split(table, schema, target, train, calibration, group, time, seed + 1)
    return Rows(train, fitted, validation)


def _split(
    table: Table,
    schema: TableSchema,
    target: TargetSpec,
    rows: Int64[np.ndarray, " _"],
    share: float,
    group: str | None,
    time: str | None,
    seed: int,
) -> tuple[Int64[np.ndarray, " _"], Int64[np.ndarray, " _"]]:
    """The rows that stay, and a share of them."""
    if not share:
        return rows, rows[:0]
    read = [table.columns[column.name] for column in schema.columns]
    keys = [repr([cells[row] for cells in read]) for row in rows]
    labels = table.columns[schema.label]
    classes = [str(labels[row]) for row in rows] if target.problem == "classification" and time is None else None
    groups = None if group is None else [str(table.columns[group][row]) for row in rows]
    times = None
    if time is not None:
        times = np.array([table.columns[time][row] for row in rows], dtype=object)
    split = split_rows(keys, labels=classes, groups=groups, times=times, validation=share, seed=seed)
    return rows[split.train], rows[split.validation]
