"""A table made ready for a fused model: typed, split, tokenised and decoded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64

from sensorium.data.decoded import ClipSpec
from sensorium.data.ragged import fingerprint
from sensorium.data.tables.cells import is_missing
from sensorium.data.tables.columns import type_columns
from sensorium.data.tables.data import FusedData
from sensorium.data.tables.schema import TableSchema
from sensorium.data.tables.specs import read_senses
from sensorium.data.tables.table import Table, TableLike, read_table
from sensorium.data.tables.targets import TargetSpec
from sensorium.errors import DataError, InputError
from sensorium.files import StrPath
from sensorium.fusion.model_decision import check_decision
from sensorium.training.fuse_model import Planned, check_starts, plan_modality
from sensorium.training.fuse_recipe import FuseRecipe
from sensorium.training.fuse_rows import Rows, choose_folds, choose_rows


@dataclass(frozen=True, eq=False)
class Prepared:
    """A table that is ready to be learned from.

    Args:
        schema, target, planned: what is read and told, and the encoders.
        train, calibration, validation: the rows.
        folds: of each row of `train`; empty if there are none.
        fingerprint: of all that is learned from.
        notes: what a reader should know.
    """

    schema: TableSchema
    target: TargetSpec
    planned: list[Planned]
    train: FusedData
    calibration: FusedData
    validation: FusedData
    folds: Int64[np.ndarray, " _"]
    fingerprint: str
    notes: tuple[str, ...]


def prepare_table(
    given: TableLike,
    recipe: FuseRecipe,
    *,
    label: str,
    columns: Mapping[str, str] | None = None,
    group: str | None = None,
    time: str | None = None,
    validation: TableLike | None = None,
    start: Mapping[str, StrPath] | None = None,
    cache: Path | None = None,
    show_progress: bool | None = None,
) -> Prepared:
    """Read, type and split a table, and decode what its cells name. Arguments and errors are those of
    `training.fuse.fuse`."""
    if recipe.learn.folds and time is not None:
        raise InputError("folds are not split by time", fix="Leave out --time or learn.folds")
    table = read_table(given)
    apart = [name for name in (group, time) if name is not None]
    schema = type_columns(table, label=label, overrides=columns, apart=apart, sound_tracks=recipe.clip.sound)
    check_starts(schema, start or {})
    where = f"{table.source}, column {label!r}"
    cells = table.column(label)
    target = TargetSpec.fit(cells, problem=recipe.problem, where=where, name=label)
    check_decision(recipe.learn.decision, target.problem)
    known, some = target.known(cells), _some(table, schema)
    count = recipe.learn.folds
    fits = recipe.level != "feature" and not count
    rows = choose_rows(
        table, schema, target, known & some, held_out=0.0 if validation is not None else recipe.run.held_out,
        calibration=recipe.learn.calibration if fits else 0.0, group=group, time=time, seed=recipe.run.seed,
    )  # fmt: skip
    parts = rows.train[:0]
    if count:
        parts = choose_folds(table, schema, target, rows.train, count=count, group=group, seed=recipe.run.seed)
    learned = table.take(rows.train)
    planned = _share_clips([plan_modality(sense, learned, schema, recipe, start or {}) for sense in schema.senses])
    specs = [one.spec for one in planned]
    senses, notes = read_senses(specs, table, some=True, cache=cache, show_progress=show_progress)
    unheard = [name for name, sense in senses.items() if not sense.present[rows.train].any()]
    if len(unheard) == len(senses):
        raise DataError("no row that is learned from holds anything", where=table.source, fix="Give more rows")
    planned = [one for one in planned if one.spec.sense.name not in unheard]
    senses = {name: sense for name, sense in senses.items() if name not in unheard}
    targets = np.zeros((table.rows, target.outputs))
    targets[known] = target.encode([cell for cell, here in zip(cells, known, strict=True) if here], where=where)
    train = FusedData(senses, targets, rows.train, recipe.augment if recipe.learn.augment else None)
    measured, more, prints = _validation(train, rows, validation, planned, target, label, cache, show_progress)
    told = [
        f"the label {label!r} is taken for {target.told}", *table.notes, *_left_out(schema),
        *_count(int((~known).sum()), "rows have no label, and are left out"),
        *_count(int((known & ~some).sum()), "rows hold nothing but a label, and are left out"), *notes,
        *(f"{name!r} is there in no row that is learned from, and is left out" for name in unheard), *more,
    ]  # fmt: skip
    return Prepared(
        schema=schema, target=target, planned=planned, train=train, calibration=train.select(rows.calibration),
        validation=measured, folds=parts, notes=tuple(told),
        fingerprint=fingerprint((table.fingerprint, *prints, *(senses[name].present for name in sorted(senses)))),
    )  # fmt: skip


def _validation(
    train: FusedData, rows: Rows, given: TableLike | None, planned: list[Planned], target: TargetSpec, label: str,
    cache: Path | None, show: bool | None,
) -> tuple[FusedData, list[str], list[str]]:  # fmt: skip
    """The rows that judge: of the table, or a table of their own."""
    if given is None:
        return train.select(rows.validation), [], []
    table = read_table(given)
    where = f"{table.source}, column {label!r}"
    cells = table.column(label)
    known = target.known(cells)
    if not known.any():
        raise DataError("no row has a label", where=where, fix="Give rows with one")
    specs = [one.spec for one in planned]
    senses, notes = read_senses(specs, table, some=False, cache=cache, show_progress=show)
    targets = np.zeros((table.rows, target.outputs))
    targets[known] = target.encode([cell for cell, here in zip(cells, known, strict=True) if here], where=where)
    data = FusedData(senses, targets, np.flatnonzero(known))
    return data, [*table.notes, *notes], [table.fingerprint]


def _share_clips(planned: list[Planned]) -> list[Planned]:
    """Clips whose sound is heard are decoded once, for their frames and their sound."""
    clips = {one.spec.sense.columns: one.spec.clip for one in planned if one.spec.sense.kind == "video"}
    mels = {one.spec.sense.columns: one.spec.mel for one in planned if one.spec.sense.track}
    shared = dict[tuple[str, ...], ClipSpec]()
    for columns, clip in clips.items():
        if clip is not None:
            shared[columns] = replace(clip, sound=mels.get(columns))
    return [
        replace(one, spec=replace(one.spec, clip=shared[one.spec.sense.columns])) if one.spec.clip is not None else one
        for one in planned
    ]


def _some(table: Table, schema: TableSchema) -> Bool[np.ndarray, " rows"]:
    """Rows in which a column that is read holds something."""
    read = [table.columns[column.name] for column in schema.columns]
    return np.array([not all(is_missing(cells[row]) for cells in read) for row in range(table.rows)], np.bool_)


def _left_out(schema: TableSchema) -> list[str]:
    return [f"column {name!r} is left out: {why}" for name, why in schema.left_out.items()]


def _count(number: int, told: str) -> list[str]:
    return [f"{number:,} {told}"] if number else []
