"""`give_eyes`: a language model, a tower of pictures and a table of captions to a language model that sees.

out/                 the model: a LLaVA, which stock `transformers` opens (with a resampler, a format of our own)
  run/               the run: settings, metrics, loss curve, states to resume from
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from sensorium.data.media import listed
from sensorium.data.sample import Ledger
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import CapabilityError, DataError, InputError
from sensorium.files import (
    StrPath,
    disk_errors,
    refuse_foreign,
    refuse_unspeakable,
    write_json,
)
from sensorium.objectives.caption import CaptionExamples, CaptionObjective
from sensorium.training.caption_data import (
    Captioned,
    Gallery,
    examples_of,
    fingerprint,
    look_at,
    names_of,
    read_captions,
    split_rows,
)
from sensorium.training.caption_export import export_eyes
from sensorium.training.caption_parts import (
    LearningEyes,
    Vision,
    open_language,
    open_vision,
    put_together,
    with_image_token,
)
from sensorium.training.caption_recipe import CaptionRecipe, load_caption_recipe
from sensorium.training.devices import device_of
from sensorium.training.folder import OURS, open_run, refuse_existing_run
from sensorium.training.loop import Loop
from sensorium.training.optim import build_optimizers
from sensorium.training.state import Progress, load_state
from sensorium.training.train import Run

_LISTED = 3
"""Rows that a note names."""


@dataclass(frozen=True, eq=False)
class _Data:
    """Rows to learn from and to measure by, and what is noted about them."""

    train: list[Captioned]
    validation: list[Captioned]
    ledger: Ledger

    @property
    def fingerprint(self) -> str:
        return f"{fingerprint(self.train)}-{fingerprint(self.validation)}"


def give_eyes(
    language: StrPath,
    pairs: StrPath,
    *,
    out: StrPath,
    vision: StrPath | None = None,
    recipe: CaptionRecipe | StrPath | None = None,
    overrides: Sequence[str] = (),
    validation: StrPath | None = None,
    columns: Mapping[str, str] | None = None,
    resume: bool = False,
    force: bool = False,
    device: str = "auto",
    show_progress: bool | None = None,
) -> Run:
    """Teach a language model to see: a projector brings what a tower says of a picture among its tokens (LLaVA: Liu et
    al. 2023).

    Args:
        language: a decoder like Llama, Mistral, Qwen2 or Qwen3: a folder, a .gguf file, or "default:decoder".
        pairs: a table with a column of pictures' paths and one of texts; one of prompts may be there too.
        out: the model folder to make.
        vision: the folder of a ViT, a CLIP or a SigLIP, or what `sensorium align` made; by default a small tower is
            made anew and trained, which needs far more pictures.
        recipe: settings, or a TOML file of those that are not the defaults.
        overrides: "section.key=value", on top of the recipe.
        validation: such a table to measure by; without it a share of the pictures is held out.
        columns: names of the columns `image`, `caption` and `prompt`, where they are not the usual ones.
        resume: go on with a run of the same settings and data; a new run starts if there is none.
        force: replace the model or the run that stands at `out`; other files there stay.
        device: "auto" takes a GPU if there is one.
        show_progress: None shows a bar if stderr is a terminal.

    Raises:
        InputError: a file is not there; `out` exists, or is not ours to replace; both `resume` and `force`.
        ConfigError: a wrong key or value in the recipe.
        DataError: the table cannot be used, or no picture can be read.
        CapabilityError: the parts are of families that are not put together.
        CheckpointError: a part, or the state to resume, cannot be read.
        TrainingError: the loss is not finite; the run was interrupted.
        DiskError: the disk is full or may not be written.
    """
    if resume and force:
        raise InputError("--resume goes on with a run, --force replaces it", where=str(out), fix="Choose one of them")
    chosen = recipe if isinstance(recipe, CaptionRecipe) else load_caption_recipe(recipe, overrides)
    refuse_unspeakable(chosen.eyes.prompt, where="eyes.prompt")
    out, target = Path(out), device_of(device)
    if force:
        refuse_foreign(out, ours=OURS)
    elif not resume:
        refuse_existing_run(out)
    data = _rows(Path(pairs), validation, columns, chosen)
    goes_on, state = resume and (out / "run" / "run.json").is_file(), None
    if goes_on:  # what does not fit the run is told at once
        state = open_run(out, chosen, data.fingerprint, resume=True, force=False)
    decoder, tokenizer = open_language(language)
    if chosen.eyes.chat and tokenizer.chat_template is None:
        raise CapabilityError(
            "the language model has no chat template, so that it cannot learn to answer in chats",
            where=str(language),
            fix="Set eyes.chat=false, or give a model that chats",
        )
    torch.manual_seed(chosen.run.seed)
    eyes = open_vision(vision, chosen.fresh)
    tokenizer = with_image_token(tokenizer)
    model = put_together(decoder, eyes, tokenizer, chosen).to(target)
    optimizers = build_optimizers(model, chosen.optim)
    pixels = any(parameter.requires_grad for parameter in model.tower.parameters())
    # All that the input can get wrong comes before the folder is made, or an earlier run in it is replaced.
    gallery = look_at(
        [*data.train, *data.validation],
        model, eyes.spec, pixels=pixels, scratch=_standing(out), show_progress=show_progress,
    )  # fmt: skip
    train, held = _examples(data, gallery, model, tokenizer, chosen)
    if not goes_on:
        open_run(out, chosen, data.fingerprint, resume=resume, force=force)
    at = Progress() if state is None else load_state(state, model, optimizers, target)
    length = float(train.sizes.mean())
    loop = Loop(
        recipe=chosen,
        model=model,
        optimizers=optimizers,
        objective=CaptionObjective(pixels=pixels, length=length, share=train.n_tokens / len(train) / length),
        train=train,
        validation=held,
        folder=out / "run",
        device=target,
        at=at,
    )
    with disk_errors(out):
        metrics = loop.run(show_progress=show_progress)
        told = {"language": str(language), "vision": eyes.source, **_told(data, gallery, pairs)}
        write_json(out / "run" / "data.json", told)
        export_eyes(out, model.eval(), tokenizer, chosen, metrics, at, preprocessor=eyes.preprocessor, told=told)
    return Run(out, metrics, at.step, at.tokens, at.seconds, _notes(data, gallery, eyes, model, len(held)))


def _examples(
    data: _Data, gallery: Gallery, model: LearningEyes, tokenizer: Tokenizer, recipe: CaptionRecipe
) -> tuple[CaptionExamples, CaptionExamples]:
    """What is learned from, and what is measured by."""
    train, held = (
        examples_of(
            rows, gallery, tokenizer, recipe,
            image_id=model.config.image_id, features=model.config.features, ledger=data.ledger,
        )
        for rows in (data.train, data.validation)
    )  # fmt: skip
    if not len(train):
        why = data.ledger.problems[0]["reason"] if data.ledger.problems else "no row is left"
        raise DataError(f"there is nothing to learn from: {why}", fix="Give other data, or raise batch.seq_len")
    return train, held


def _standing(out: Path) -> Path:
    """The folder itself or the nearest above it that there is."""
    return next(place for place in (out.absolute(), *out.absolute().parents) if place.is_dir())


def _rows(pairs: Path, validation: StrPath | None, columns: Mapping[str, str] | None, recipe: CaptionRecipe) -> _Data:
    ledger = Ledger()
    rows = read_captions(pairs, ledger, columns=columns)
    if not rows:
        why = f" ({ledger.problems[0]['reason']})" if ledger.problems else ""
        raise DataError(f"no row names a picture and has a text{why}", where=str(pairs), fix="Check its columns")
    if validation is not None:
        return _Data(rows, read_captions(Path(validation), ledger, columns=columns), ledger)
    return _Data(*split_rows(rows, recipe.run.held_out), ledger)


def _told(data: _Data, gallery: Gallery, pairs: StrPath) -> dict[str, object]:
    """What is written down of the data."""
    return {
        "file": Path(pairs).name,
        "fingerprint": data.fingerprint,
        "rows": {"train": len(data.train), "validation": len(data.validation)},
        "pictures": len(gallery.places),
        "unreadable": len(gallery.problems),
        "rows_of_unreadable": sum(row.image in gallery.problems for row in (*data.train, *data.validation)),
        "problems": data.ledger.counts["problems"],
    }


def _notes(data: _Data, gallery: Gallery, eyes: Vision, model: LearningEyes, held: int) -> tuple[str, ...]:
    told, rows = [f"one picture is {model.config.features} tokens"], [*data.train, *data.validation]
    if eyes.fresh:
        told.append("the tower of pictures is new: it has seen no more than these pictures")
    if gallery.problems:
        names = names_of(rows)
        lost = sum(row.image in gallery.problems for row in rows)
        named = listed([(names[path], why) for path, why in gallery.problems.items()])
        told.append(
            f"{_counted(len(gallery.problems), 'picture')} cannot be read, which leaves out {_counted(lost, 'row')} "
            f"({named})"
        )
    problems = data.ledger.counts["problems"]
    if problems:
        named = "; ".join(f"{one['where']}: {one['reason']}" for one in data.ledger.problems[:_LISTED])
        more = f"; and {problems - _LISTED:,} more" if problems > _LISTED else ""
        told.append(f"{_counted(problems, 'row')} {'was' if problems == 1 else 'were'} left out ({named}{more})")
    if not held:
        told.append("no row is left to measure by: nothing says how well it does on pictures that it has not seen")
    return tuple(told)


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
