"""Each modality alone, features fused in several ways, decisions fused in several ways: on one table, one split.

The rows that judge are put aside first. Which fused system is named the best is decided on the validation rows; it is
held against the modality that is the best alone on the rows that judge, which favours that one: so fusion is said to
help only where it beats every modality alone. A system that has nothing to say of a row, because its modality is
missing there, answers how frequent the classes are. Of a table of one modality only that is measured: there is nothing
to fuse.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Shaped

from sensorium.data.tables.columns import type_columns
from sensorium.data.tables.table import Table, TableLike, read_table
from sensorium.data.tables.targets import TargetSpec
from sensorium.errors import InputError, SensoriumError, unknown
from sensorium.files import StrPath, refuse_existing
from sensorium.fusion.calibration import Calibration, apply_temperature, calibration, fit_temperature
from sensorium.fusion.compare import Answers, Told, tell
from sensorium.fusion.decisions.build import build_decision, decisions_for
from sensorium.fusion.features.base import KINDS as FEATURE_KINDS
from sensorium.fusion.measures import LOWER_IS_BETTER, MAIN, checked_targets, measure, row_losses
from sensorium.fusion.model_decision import AUTO
from sensorium.fusion.shapley import Contributions
from sensorium.fusion.statistics import (
    Interval,
    bootstrap_difference,
    bootstrap_mean,
    mcnemar,
    permutation_test,
)
from sensorium.progress import heading
from sensorium.tasks.fused import FusedHandle
from sensorium.tasks.fused_subsets import Noisy, evaluate_noise, evaluate_subsets, worth
from sensorium.training.fuse import fuse
from sensorium.training.fuse_recipe import FuseRecipe, fuse_recipe
from sensorium.training.fuse_rows import split_table
from sensorium.training.fuse_table import prepare_table

COMPARED = ("concat", "gated", "low_rank", "bottleneck")
"""Ways to fuse features that are compared by default."""
MODULATED = "concat, modulated"
_SURE = 0.05
"""The largest p of a difference that is called one."""
Level = Literal["alone", "feature", "decision"]
Scores = Float64[np.ndarray, " rows"]


@dataclass(frozen=True, eq=False)
class System:
    """One way to tell the label, judged.

    Args:
        name: what it is.
        level: one modality alone, features fused, or decisions fused.
        measures: on the rows that judge, the main one first.
        interval: of the mean of `scores`.
        scores: of each row: whether it is right; of amounts the absolute error, below zero; of several labels the
            log-likelihood.
        answers: what it told.
        validation: the main measure on the validation rows, by which systems are chosen.
        calibration: of probabilities, on the rows that judge.
    """

    name: str
    level: Level
    measures: dict[str, float]
    interval: Interval
    scores: Scores
    answers: Answers
    validation: float
    calibration: Calibration | None


@dataclass(frozen=True, eq=False)
class FusionComparison:
    """What came of a comparison.

    Args:
        label: the column that is told.
        target: its classes.
        test: the rows that judged.
        systems: all of them, the best on validation first.
        alone: the best of one modality, on the rows that judge.
        fused: the best fused one, on the validation rows; `alone` where nothing was fused.
        gain: mean score of the fused one above the one alone, paired by row.
        p: of the hypothesis that they are alike.
        modulation: mean score that gradient modulation adds to `concat`; None if it was not tried.
        handle: the best model of fused features, of which the next two are.
        contributions: what each modality is worth to it.
        noise: how it fares when one modality is worse.
        shares: by modality, share of the gradient in the course of training.
        notes: what a reader should know of the data.
    """

    label: str
    target: TargetSpec
    test: Table
    truth: Shaped[np.ndarray, " ..."]
    systems: tuple[System, ...]
    alone: System
    fused: System
    gain: Interval
    p: float
    modulation: Interval | None
    handle: FusedHandle
    contributions: Contributions
    noise: tuple[Noisy, ...]
    shares: dict[str, list[tuple[int, float]]]
    notes: tuple[str, ...]

    @property
    def unfused(self) -> bool:
        """Whether nothing was fused: there is one modality only, or neither features nor decisions could be."""
        return self.fused is self.alone

    @property
    def helps(self) -> bool:
        """Whether fusion is better than every modality alone beyond chance."""
        return self.gain.low > 0 and self.p < _SURE


def compare_fusion(
    table: TableLike,
    *,
    label: str,
    out: StrPath = "runs/compared",
    kinds: Sequence[str] = COMPARED,
    modulation: bool = True,
    recipe: FuseRecipe | StrPath | None = None,
    overrides: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    problem: str | None = None,
    group: str | None = None,
    time: str | None = None,
    judge: float = 0.2,
    force: bool = False,
    device: str = "auto",
    show_progress: bool | None = None,
) -> FusionComparison:
    """Compare modalities alone with features and decisions fused; the models stay in `out`.

    Args:
        table, label, columns, problem, recipe, overrides, group, time, device, show_progress: see `training.fuse`.
        out: the folder to make, with a model for each training.
        kinds: ways to fuse features, of `fusion.features`; one training each. Of a table of one modality none.
        modulation: also train the first of them with gradient modulation (OGM-GE).
        judge: share of the rows that judge.
        force: replace what stands at `out`.

    Raises:
        InputError: an unknown kind; only numbers and categories are left; else as `training.fuse.fuse`.
        DataError: there are too few rows; else as `training.fuse.fuse`.
    """
    chosen = fuse_recipe(recipe, overrides, {} if problem is None else {"problem": problem})
    kinds = tuple(dict.fromkeys(kinds))
    if wrong := [kind for kind in kinds if kind not in FEATURE_KINDS]:
        raise InputError(unknown("kind of fusion", wrong[0], FEATURE_KINDS), fix="Name some of these")
    if chosen.learn.folds:
        raise InputError("learn.folds is set, and decisions are compared without folds", fix="Leave it out")
    if chosen.learn.decision != AUTO:
        raise InputError("learn.decision is set, and all kinds of decision are compared", fix="Leave it out")
    out = Path(out)
    refuse_existing(out, force=force)
    whole = read_table(table)
    _refuse_numbers(whole, label, columns, apart=[name for name in (group, time) if name is not None])
    learn, test = _apart(whole, label, chosen, group=group, time=time, judge=judge)
    options = {"label": label, "columns": columns, "group": group, "time": time, "device": device,
               "show_progress": show_progress, "force": force}  # fmt: skip

    def train(name: str, **changes: dict[str, object] | str) -> FusedHandle:
        heading(f"{name}", show=show_progress)
        place = out / name.replace(", ", "-")
        fuse(learn, out=place, recipe=fuse_recipe(chosen, (), changes), **options)  # type: ignore[arg-type]
        return FusedHandle.open(place, device=device)

    experts = train("experts", level="decision")
    ready = prepare_table(
        learn, experts_recipe := fuse_recipe(chosen, (), {"level": "decision"}), label=label, columns=columns,
        group=group, time=time, show_progress=False,
    )  # fmt: skip
    judged = experts.read(test, labelled=True)[0]
    judge_rows = _Judge(experts.fused.target, judged.targets[judged.rows], _groups(test, group, judged.rows))
    asked = partial(
        tell, experts.fused.model, spec=experts.fused.target, table=experts.fused.expert, device=experts.device
    )
    held = {name: (asked(data.batches(experts_recipe.batch.rows)), data.targets[data.rows])
            for name, data in (("calibration", ready.calibration), ("validation", ready.validation))}  # fmt: skip
    told = asked(judged.batches(experts_recipe.batch.rows))
    prior = experts.fused.verdict.prior
    systems, handles = _alone(told, held, judge_rows, prior), dict[str, FusedHandle]()
    ways = list[tuple[str, str, float]]()
    if len(told.experts) > 1:
        systems += _decided(told, held, judge_rows, prior)
        ways = [(kind, kind, 0.0) for kind in kinds] + ([(MODULATED, kinds[0], 0.3)] if modulation and kinds else [])
    for name, kind, alpha in ways:
        handle = train(
            name, level="feature", fusion={"kind": kind},
            learn={"modulation": alpha} if alpha else {"modulation": chosen.learn.modulation},
        )  # fmt: skip
        handles[name] = handle
        answers = handle.answers(handle.read(test, labelled=True)[0])
        on_validation = _main(handle.fused.target, held["validation"][1], handle.answers(ready.validation))
        systems.append(judge_rows.system(f"features: {name}", "feature", answers, on_validation))
    return _concluded(label, test, systems, handles, judge_rows, experts, out, ready.notes)


def _concluded(
    label: str, test: Table, systems: list[System], handles: dict[str, FusedHandle], judge: _Judge,
    experts: FusedHandle, out: Path, notes: tuple[str, ...],
) -> FusionComparison:  # fmt: skip
    better = -1.0 if MAIN[judge.target.problem] in LOWER_IS_BETTER else 1.0
    ordered = sorted(systems, key=lambda one: -better * one.validation)
    alone = max((one for one in systems if one.level == "alone"), key=lambda one: one.interval.value)
    fused = next((one for one in ordered if one.level != "alone"), alone)
    by_name = {one.name: one for one in systems}
    best = next((one for one in ordered if one.level == "feature"), None)
    name = "" if best is None else best.name.removeprefix("features: ")
    handle = handles.get(name, experts)
    plain, changed = by_name.get(f"features: {next(iter(handles), '')}"), by_name.get(f"features: {MODULATED}")
    found = evaluate_subsets(handle, test)
    return FusionComparison(
        label=label, target=judge.target, test=test, truth=judge.truth, systems=tuple(ordered), alone=alone,
        fused=fused, gain=judge.difference(fused, alone), p=judge.p(fused, alone),
        modulation=judge.difference(changed, plain) if plain is not None and changed is not None else None,
        handle=handle, contributions=worth(found, judge.target.problem),
        noise=tuple(evaluate_noise(handle, test)), shares=_shares(out / name.replace(", ", "-")),
        notes=notes,
    )  # fmt: skip


def _apart(
    table: Table, label: str, recipe: FuseRecipe, *, group: str | None, time: str | None, judge: float
) -> tuple[Table, Table]:
    """The rows to learn from, and those that judge, by the same rule as validation rows are held out."""
    cells = table.column(label)
    target = TargetSpec.fit(cells, problem=recipe.problem, where=f"{table.source}, column {label!r}", name=label)
    learn, test = split_table(
        table, np.flatnonzero(target.known(cells)), target=target, label=label,
        read=[name for name in table.columns if name != label], share=judge, group=group, time=time,
        seed=recipe.run.seed + 17,
    )  # fmt: skip
    return table.take(learn), table.take(test)


def _refuse_numbers(table: Table, label: str, columns: Mapping[str, str] | None, apart: Sequence[str]) -> None:
    schema = type_columns(table, label=label, overrides=columns, apart=apart)
    if all(sense.kind == "numbers" for sense in schema.senses):
        raise InputError(
            "only numbers and categories are left, which are one modality: there is nothing to compare",
            where=table.source,
            fix="Train on them without --compare, or give a column of texts, pictures, sounds or clips",
        )


def _groups(table: Table, group: str | None, rows: Shaped[np.ndarray, " _"]) -> Shaped[np.ndarray, " _"] | None:
    return None if group is None else np.array([str(table.column(group)[row]) for row in rows])


@dataclass(frozen=True, eq=False)
class _Judge:
    """The rows that judge, and how."""

    target: TargetSpec
    targets: Answers
    groups: Shaped[np.ndarray, " _"] | None

    @property
    def truth(self) -> Shaped[np.ndarray, " ..."]:
        return self.target.plain(self.targets)

    def system(self, name: str, level: Level, answers: Answers, validation: float) -> System:
        problem, truth = self.target.problem, self.truth
        if problem == "classification":
            scores = (answers.argmax(1) == truth).astype(np.float64)
        elif problem == "regression":
            scores = -np.abs(answers - truth.reshape(answers.shape)).mean(1)
        else:
            rows, outputs = answers.shape
            scores = -row_losses(problem, checked_targets(problem, truth, rows=rows, classes=outputs), answers)
        return System(
            name=name, level=level, measures=measure(problem, truth, answers),
            interval=bootstrap_mean(scores, groups=self.groups), scores=scores, answers=answers,
            validation=validation,
            calibration=None if problem == "regression" else calibration(answers, truth, problem=problem),
        )  # fmt: skip

    def difference(self, first: System, second: System) -> Interval:
        return bootstrap_difference(first.scores, second.scores, groups=self.groups)

    def p(self, first: System, second: System) -> float:
        """By McNemar's test; by permutation of whole groups, and where scores are no yes and no."""
        if self.target.problem == "classification" and self.groups is None:
            return mcnemar(_right(first), _right(second)).p
        return permutation_test(first.scores, second.scores, groups=self.groups)


def _right(system: System) -> Bool[np.ndarray, " rows"]:
    found: Bool[np.ndarray, " rows"] = system.scores > 0
    return found


def _main(target: TargetSpec, targets: Answers, answers: Answers) -> float:
    return next(iter(measure(target.problem, target.plain(targets), answers).values()))


def _filled(answers: Answers, prior: tuple[float, ...]) -> Answers:
    """What is not told is how frequent the classes are."""
    return np.where(np.isnan(answers).any(1, keepdims=True), np.array(prior)[None], answers)


def _calibrated(
    answers: Answers,
    told: Float64[np.ndarray, "held outputs"],
    targets: Float64[np.ndarray, "held outputs"],
    target: TargetSpec,
) -> Answers:
    """With a temperature fitted to what was told of other rows."""
    here = ~np.isnan(told).any(1)
    if target.problem == "regression" or here.sum() < 10:
        return answers
    temperature = fit_temperature(told[here], target.plain(targets[here]), problem=target.problem)
    return np.where(
        np.isnan(answers),
        answers,
        apply_temperature(np.nan_to_num(answers, nan=0.5), temperature, problem=target.problem),
    )


def _alone(told: Told, held: dict[str, tuple[Told, Answers]], judge: _Judge, prior: tuple[float, ...]) -> list[System]:
    found = []
    asked, targets = held["validation"]
    for name, answers in told.experts.items():
        before = asked.experts[name]
        calibrated = _calibrated(answers, before, targets, judge.target)
        found.append(
            judge.system(
                f"{name} alone", "alone", _filled(calibrated, prior),
                _main(judge.target, targets, _filled(before, prior)),
            )
        )  # fmt: skip
    return found


def _decided(
    told: Told, held: dict[str, tuple[Told, Answers]], judge: _Judge, prior: tuple[float, ...]
) -> list[System]:
    """Every kind of decision that can be fitted to the calibration rows."""
    (fitting, truth), (asked, targets) = held["calibration"], held["validation"]
    found = []
    for kind in decisions_for(judge.target.problem):
        try:
            fitted = build_decision(kind).fit(fitting.experts, judge.target.plain(truth), problem=judge.target.problem)
        except SensoriumError:  # too few rows, or a single class among them
            continue
        before = _filled(fitted(asked.experts), prior)
        answers = _calibrated(fitted(told.experts), before, targets, judge.target)
        on_validation = _main(judge.target, targets, before)
        found.append(judge.system(f"decisions: {kind}", "decision", _filled(answers, prior), on_validation))
    return found


def _shares(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The gradient shares that a run recorded: by modality, of each step that was told of."""
    from sensorium.training.record import read_metrics

    found: dict[str, list[tuple[int, float]]] = {}
    for row in read_metrics(folder / "run" / "metrics.jsonl"):
        for key, value in row.items():
            if key.startswith("gradient_share/"):
                found.setdefault(key.removeprefix("gradient_share/"), []).append((int(row["step"]), float(value)))
    return found
