"""`align`: a table of what belongs together, and towers whose vectors lie close for it.

out/                 the model: a CLIP, a SigLIP or a VisionTextDualEncoder that stock `transformers` opens,
                     or a folder of folders (`families/aligned.py`)
  run/               the run: recipe, metrics, loss curve, states to resume from, large columns decoded
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from sensorium.core.tower import Aligned
from sensorium.data.captions import Captions
from sensorium.data.decoded import Spec
from sensorium.data.sense_pairs import SensePairs, load_pairs, split_pairs, with_partners
from sensorium.data.sense_table import Kind, SenseTable, read_sense_table
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import DataError, InputError
from sensorium.files import StrPath, disk_errors, refuse_foreign, text_hash, write_json
from sensorium.objectives.alignment import Alignment
from sensorium.training.align_export import AlignedFacts, export_aligned
from sensorium.training.align_recipe import AlignRecipe
from sensorium.training.align_towers import (
    GivenTowers,
    build_aligned,
    fresh_tokenizer,
    open_given,
    reading,
    specs_of,
    wants_encoder,
)
from sensorium.training.devices import device_of
from sensorium.training.folder import OURS, open_run
from sensorium.training.loop import Loop
from sensorium.training.optim import build_optimizers
from sensorium.training.sense_runs import undone
from sensorium.training.state import Progress, load_state
from sensorium.training.train import Run
from sensorium.training.typed import read_recipe


def align(
    table: StrPath,
    *,
    out: StrPath,
    recipe: AlignRecipe | StrPath | None = None,
    overrides: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    loss: str | None = None,
    image_from: StrPath | None = None,
    text_from: StrPath | None = None,
    validation: StrPath | None = None,
    resume: bool = False,
    force: bool = False,
    device: str = "auto",
    show_progress: bool | None = None,
) -> Run:
    """Align two senses or more in one space, by what stands in the rows of a table.

    Args:
        table: CSV, TSV, JSON Lines or Parquet, whose columns hold texts and paths of pictures, sounds and clips; the
            paths are relative to the table's folder. Several columns may be of one kind: names in three languages.
        out: the model folder to make.
        recipe: an `AlignRecipe`, or a TOML file of its fields; without one, its defaults.
        overrides: "section.key=value", on top of the recipe.
        columns: the columns to read, and their kinds: {"photo": "image", "caption": "text"}. Without it, all are read
            as what their content is.
        loss: "clip" or "siglip", over the recipe's.
        image_from: start the tower of pictures from this folder: a ViT, or the tower of a CLIP.
        text_from: start the tower of texts, and its tokenizer, from this folder: a BERT, or the tower of a CLIP. With
            the same CLIP for both, that model is trained on.
        validation: a table to measure by; without one, a share of the rows is held out.
        resume: go on with a run of the same recipe and table; a new run starts if there is none.
        force: replace the model or the run that stands at `out`.
        device: "auto" takes a GPU if there is one.
        show_progress: None shows bars if stderr is a terminal.

    Raises:
        InputError: an unknown file, column or kind; `out` exists, or is not ours to replace; both `resume` and `force`.
        ConfigError: a wrong key or value in the recipe.
        DataError: fewer than two senses, or nothing of a column can be read.
        CapabilityError: a given folder holds no such tower, or an extra is not installed.
        CheckpointError: a given folder or the state to resume does not fit.
        TrainingError: the loss is not finite; the run was interrupted.
        DiskError: the disk is full or may not be written.
    """
    if resume and force:
        raise InputError("--resume goes on with a run, --force replaces it", where=str(out), fix="Choose one of them")
    given = [overrides] if isinstance(overrides, str) else list(overrides)
    chosen = read_recipe(AlignRecipe, recipe, [*given, *([] if loss is None else [f'loss="{loss}"'])])
    target, out = device_of(device), Path(out)
    found = read_sense_table(table, columns=columns)
    held = None if validation is None else _like(found, validation)
    towers = open_given(image_from=image_from, text_from=text_from, loss=chosen.loss, kinds=found.kinds)
    fingerprint = text_hash(repr([found.fingerprint, held and held.fingerprint, str(image_from), str(text_from)]))
    existed = out.exists()
    if force:  # what is replaced stays until the new input has proved readable
        refuse_foreign(out, ours=OURS)
    state = None if force else open_run(out, chosen, fingerprint, resume=resume, force=False)
    with undone(out, existed=existed):
        work = _prepare(chosen, found, held, towers, cache=out / "run" / "media", show=show_progress)
        model = work.model.to(target)
        optimizers = build_optimizers(model, chosen.optim)
        if force:
            open_run(out, chosen, fingerprint, resume=False, force=True)
        at = Progress() if state is None else load_state(state, model, optimizers, target)
    loop = Loop(
        recipe=chosen,
        model=model,
        optimizers=optimizers,
        objective=work.objective,
        train=work.train,
        validation=work.validation,
        folder=out / "run",
        device=target,
        at=at,
    )
    with disk_errors(out):
        write_json(out / "run" / "data.json", found.manifest)
        metrics = loop.run(show_progress=show_progress)
        facts = AlignedFacts(
            recipe=chosen.to_dict(),
            metrics=metrics,
            at=at,
            specs=work.specs,
            tokenizer=work.captions.tokenizer if work.captions else None,
            context=work.captions.context if work.captions else None,
            rows={"train": len(work.train), "validation": len(work.validation)},
            fingerprint=fingerprint,
            columns={column.name: column.kind for column in found.columns},
            files=found.manifest["files"],
        )
        export_aligned(out, model.eval(), facts)
    return Run(out, metrics, at.step, at.tokens, at.seconds, work.notes)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Work:
    model: Aligned
    objective: Alignment
    train: SensePairs
    validation: SensePairs
    specs: Mapping[Kind, Spec]
    captions: Captions | None
    notes: tuple[str, ...]


def _prepare(
    recipe: AlignRecipe,
    table: SenseTable,
    held: SenseTable | None,
    given: GivenTowers,
    *,
    cache: Path,
    show: bool | None,
) -> _Work:
    specs = specs_of(recipe, table.kinds, given)
    tokenizer = _tokenizer(recipe, table, given)
    torch.manual_seed(recipe.run.seed)
    model = build_aligned(recipe, table.kinds, given=given, tokenizer=tokenizer, specs=specs)
    captions = None if tokenizer is None else Captions(tokenizer, *reading(model))
    pairs, notes = load_pairs(table, specs=specs, captions=captions, cache=cache, show_progress=show)
    pairs = with_partners(pairs, str(table.path))
    if held is None:
        train, validation = split_pairs(pairs, table, recipe.run.held_out)
        told = [f"{len(validation):,} of {len(pairs):,} rows are held out for validation, chosen by hash"]
    else:
        train = pairs
        others, more = load_pairs(held, specs=specs, captions=captions, cache=cache, show_progress=show)
        validation, told = with_partners(others, str(held.path)), list(more)
    if len(train) < 2:
        raise DataError("fewer than two rows are left to learn from", where=str(table.path), fix="Give more rows")
    left = len(table) - len(pairs)
    told += [f"{left:,} rows have fewer than two senses, and are left out"] if left else []
    return _Work(
        model=model,
        objective=Alignment(
            loss=recipe.loss, specs=specs, captions=captions, augment=recipe.augment, views=recipe.views
        ),
        train=replace(train, augment=True),
        validation=validation,
        specs=specs,
        captions=captions,
        notes=(*table.notes, *notes, *told),
    )


def _tokenizer(recipe: AlignRecipe, table: SenseTable, given: GivenTowers) -> Tokenizer | None:
    if "text" not in table.kinds:
        return None
    if given.tokenizer is not None:
        return given.tokenizer
    return fresh_tokenizer(table, recipe, encoder=wants_encoder(recipe, table.kinds, given))


def _like(table: SenseTable, validation: StrPath) -> SenseTable:
    """The table to measure by, read as the one to learn from."""
    return read_sense_table(validation, columns={column.name: column.kind for column in table.columns})
