"""`fuse`: a table whose columns hold texts, pictures, sounds, clips and numbers becomes one model."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sensorium.data.tables.data import FusedData
from sensorium.data.tables.senses import Numbers
from sensorium.data.tables.table import TableLike
from sensorium.data.tables.targets import TargetSpec
from sensorium.errors import DataError, InputError
from sensorium.files import StrPath, disk_errors, read_json
from sensorium.fusion.compare import tell
from sensorium.fusion.measures import measure
from sensorium.fusion.model import FusedModel
from sensorium.fusion.model_decision import Held, fit_verdict
from sensorium.fusion.table_expert import TableExpert
from sensorium.objectives.fused import FusedObjective
from sensorium.training.devices import device_of
from sensorium.training.folder import OURS, open_run
from sensorium.training.fuse_export import export_fused
from sensorium.training.fuse_folder import SETTINGS, Fused
from sensorium.training.fuse_folds import Expert, clear_folds, out_of_fold
from sensorium.training.fuse_loop import FusedLoop
from sensorium.training.fuse_model import Planned, fused_config, start_model
from sensorium.training.fuse_recipe import FuseRecipe, fuse_recipe
from sensorium.training.fuse_table import Prepared, prepare_table
from sensorium.training.optim import build_optimizers
from sensorium.training.state import Progress, load_state


@dataclass(frozen=True)
class FusedRun:
    """A finished run.

    Args:
        folder: the model.
        metrics: on the validation rows, on which the way to answer and the temperature were chosen, too.
        tried: the validation loss of each way to answer.
        schema: what the columns were taken for.
        steps, rows, seconds: of the training.
        notes: what a reader should know of the data.
    """

    folder: Path
    metrics: dict[str, float]
    tried: dict[str, float]
    schema: dict[str, Any]
    steps: int
    rows: int
    seconds: float
    notes: tuple[str, ...]


def fuse(
    table: TableLike,
    *,
    label: str,
    out: StrPath = "runs/fused",
    level: str | None = None,
    recipe: FuseRecipe | StrPath | None = None,
    overrides: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    problem: str | None = None,
    decision: str | None = None,
    group: str | None = None,
    time: str | None = None,
    validation: TableLike | None = None,
    image_from: StrPath | None = None,
    text_from: StrPath | None = None,
    audio_from: StrPath | None = None,
    resume: bool = False,
    force: bool = False,
    device: str = "auto",
    show_progress: bool | None = None,
) -> FusedRun:
    """Train one model on all columns of a table.

    Args:
        table: a file (CSV, TSV, JSON Lines, JSON, Parquet) or rows. Paths in cells are relative to its folder.
        label: the column to predict.
        out: the folder to make.
        level: `feature` (the default): what the encoders found is fused; `decision`: what each modality tells alone;
            `both`: both, joined.
        recipe: sizes and settings, or a TOML file of them.
        overrides: "section.key=value" on top.
        columns: kinds of columns that are not to be told by their content: numeric, category, text, image, audio,
            video or ignore.
        problem: classification, multi_label or regression; told by the labels by default.
        decision: the kind of decision; the best on validation by default.
        group: rows of one value in this column stay on one side of the split.
        time: rows are split by this column: the last ones judge.
        validation: a table to measure by; else a share is held out.
        image_from, text_from, audio_from: folders of encoders to start from.
        resume: go on with a run of the same table and recipe.
        force: replace what stands at `out`.
        device: "auto" takes a GPU if there is one.
        show_progress: None shows a bar if stderr is a terminal.

    Raises:
        InputError: no such file, column or folder; `out` exists; both `resume` and `force`.
        ConfigError: a wrong setting.
        DataError: the table cannot be learned from; the message says which column, and why.
        CapabilityError: an extra is not installed, or a folder holds another kind of model.
        TrainingError: the loss is not finite; the run was interrupted.
        DiskError: the disk is full or may not be written.
    """
    if resume and force:
        raise InputError("--resume goes on with a run, --force replaces it", where=str(out), fix="Choose one of them")
    if group is not None and time is not None:
        raise InputError("rows are split by --group or by --time, not by both", fix="Choose one of them")
    given: dict[str, Any] = {key: value for key, value in (("level", level), ("problem", problem)) if value is not None}
    if decision is not None:
        given["learn"] = {"decision": decision}
    chosen = fuse_recipe(recipe, overrides, given)
    start = {"image": image_from, "text": text_from, "audio": audio_from}
    out, target_device = Path(out), device_of(device)
    cache = _cache(out, resume=resume, force=force)
    torch.manual_seed(chosen.run.seed)
    ready = prepare_table(
        table, chosen, label=label, columns=columns, group=group, time=time, validation=validation,
        start={kind: folder for kind, folder in start.items() if folder is not None}, cache=cache,
        show_progress=show_progress,
    )  # fmt: skip
    model = _fresh(ready, chosen, target_device)
    if force:
        _clear(out)
    state = open_run(out, chosen, ready.fingerprint, resume=resume, force=force)
    if not resume:
        clear_folds(out / "run")
    loop = _loop(model, ready, chosen, ready.train, ready.validation, out / "run", state, target_device)
    at = loop.at

    def train_fold(rest: FusedData, held: FusedData, folder: Path, at_state: Path | None) -> FusedModel:
        torch.manual_seed(chosen.run.seed)
        apart = _fresh(ready, chosen, target_device)
        _loop(apart, ready, chosen, rest, held, folder, at_state, target_device).run(show_progress=show_progress)
        return apart.eval()

    with disk_errors(out):
        loop.run(show_progress=show_progress)
        calibration: Held | None = None
        if len(ready.folds):
            calibration = out_of_fold(
                ready, train_fold, lambda rest: _expert(ready, chosen, rest), run=out / "run", size=chosen.batch.rows,
                device=target_device, show_progress=show_progress,
            )  # fmt: skip
        fused, metrics, tried = finish(model.eval(), ready, chosen, device=target_device, calibration=calibration)
        provenance = {
            "recipe": chosen.to_dict(), "metrics": metrics, "tried": tried, "notes": list(ready.notes),
            "run": {"steps": at.step, "rows": at.tokens, "seconds": round(at.seconds, 1)},
            "rows": {
                "train": len(ready.train), "calibration": len(ready.calibration), "validation": len(ready.validation)
            },
            "fingerprint": ready.fingerprint,
        }  # fmt: skip
        export_fused(out, fused, provenance)
        if cache is not None:
            shutil.rmtree(cache, ignore_errors=True)
    return FusedRun(out, metrics, tried, ready.schema.to_dict(), at.step, at.tokens, at.seconds, ready.notes)


def _fresh(ready: Prepared, recipe: FuseRecipe, device: torch.device) -> FusedModel:
    config = fused_config(_networks(ready, recipe), recipe, ready.target.outputs)
    return start_model(config, ready.planned).to(device)


def _loop(
    model: FusedModel, ready: Prepared, recipe: FuseRecipe, train: FusedData, validation: FusedData, folder: Path,
    state: Path | None, device: torch.device,
) -> FusedLoop:  # fmt: skip
    """What trains a model on rows, from a state if there is one."""
    learn, optimizers = recipe.learn, build_optimizers(model, recipe.optim)
    at = Progress() if state is None else load_state(state, model, optimizers, device)
    objective = FusedObjective(
        problem=ready.target.problem, level=recipe.level, expert_weight=learn.expert_weight, mixup=learn.mixup,
        label_smoothing=learn.label_smoothing,
        class_weights=ready.target.weights(train.targets[train.rows], learn.class_weights),
    )  # fmt: skip
    return FusedLoop(
        recipe=recipe, model=model, optimizers=optimizers, objective=objective, train=train, validation=validation,
        folder=folder, device=device, at=at, modulation=learn.modulation,
    )  # fmt: skip


def finish(
    model: Any, ready: Prepared, recipe: FuseRecipe, *, device: torch.device, calibration: Held | None = None
) -> tuple[Fused, dict[str, float], dict[str, float]]:
    """Fit what answers beside the networks, choose how answers are made, and measure that.

    Args:
        model: trained, in evaluation mode.
        ready: the table.
        recipe: as it was trained by.
        device: where the model is.
        calibration: what decisions are fitted to, in place of the rows that are put aside for it.

    Returns:
        The whole; its measures on the validation rows; the validation loss of each way that was tried.
    """
    train, target = ready.train, ready.target
    expert = _expert(ready, recipe, train)
    held = {name: _told(model, data, target, expert, recipe, device) for name, data in
            (("validation", ready.validation), ("calibration", ready.calibration)) if len(data)}  # fmt: skip
    if calibration is not None:
        held["calibration"] = calibration
    if not held:
        raise DataError("no row is held out, so that nothing can be measured", fix="Give more rows")
    measured = held.get("validation", held.get("calibration"))
    if measured is None:
        raise DataError("no row is held out, so that nothing can be measured", fix="Give more rows")
    verdict, tried = fit_verdict(
        recipe.level, target, prior=train.targets[train.rows].mean(0), validation=measured,
        calibration=held.get("calibration"), decision=recipe.learn.decision,
    )  # fmt: skip
    told, truth = measured
    metrics = measure(target.problem, target.plain(truth), verdict(told))
    for name, one in told.experts.items():
        here = ~np.isnan(one).any(1)
        if here.any():
            main, value = next(iter(measure(target.problem, target.plain(truth[here]), one[here]).items()))
            metrics[f"{main}/{name}"] = value
    specs = tuple(one.spec for one in ready.planned)
    return Fused(model, ready.schema, target, specs, verdict, expert), metrics, tried


def _told(
    model: Any, data: FusedData, target: TargetSpec, expert: Any, recipe: FuseRecipe, device: torch.device
) -> Held:
    told = tell(model, data.batches(recipe.batch.rows), target, table=expert, device=device)
    return told, data.targets[data.rows]


def _expert(ready: Prepared, recipe: FuseRecipe, data: FusedData) -> Expert:
    """What answers for numbers and categories in decisions, fitted to rows."""
    if recipe.level == "feature":
        return None
    target = ready.target
    for one in ready.planned:
        spec, sense = one.spec, data.senses[one.spec.sense.name]
        if spec.numbers is not None and isinstance(sense, Numbers):
            rows = data.rows[sense.present[data.rows]]
            targets = data.targets[rows]
            amounts = target.amounts(targets)
            fitted = TableExpert.fit(
                sense.matrix[rows], amounts, problem=target.problem, numbers=len(spec.numbers.numbers),
                sizes=spec.numbers.sizes, seed=recipe.run.seed,
            )  # fmt: skip
            return spec.sense.name, fitted
    return None


def _networks(ready: Prepared, recipe: FuseRecipe) -> list[Planned]:
    """The modalities that the model encodes: numbers have a better expert where only decisions are fused."""
    if recipe.level != "decision":
        return ready.planned
    kept = [one for one in ready.planned if one.spec.sense.kind != "numbers"]
    if not kept:
        raise InputError(
            "only numbers and categories are left, and decisions have nothing to join",
            fix="Use --level feature, or give a column of texts, pictures, sounds or clips",
        )
    return kept


def _cache(out: Path, *, resume: bool, force: bool) -> Path | None:
    """Where decoded files are kept, if they are many, until the run is done; nowhere in a folder that is not ours.

    Raises:
        InputError: something stands at `out`. It is told before all files are decoded.
    """
    ours = any((out / name).is_file() for name in OURS)
    if not out.exists() or (out.is_dir() and {path.name for path in out.iterdir()} <= {"run"}):
        return out / "run" / "media"
    if not (resume or force):
        raise InputError(
            "already exists",
            where=str(out),
            fix="Go on with it by --resume, replace it by --force, or choose another --out",
        )
    return out / "run" / "media" if ours else None


def _clear(out: Path) -> None:
    """Remove the encoders' folders that an earlier run made; `open_run` removes the rest."""
    settings = out / SETTINGS
    if not settings.is_file() or not any((out / name).is_file() for name in OURS):
        return
    for one in read_json(settings).get("modalities", {}).values():
        folder = one.get("folder") if isinstance(one, dict) else None
        if isinstance(folder, str) and folder == os.path.basename(folder) and (out / folder / "config.json").is_file():
            shutil.rmtree(out / folder)
    for name in (SETTINGS, "fusion.safetensors"):
        (out / name).unlink(missing_ok=True)
