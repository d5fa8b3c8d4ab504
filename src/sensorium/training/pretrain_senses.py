"""`pretrain`: pictures, sounds or clips without labels to an encoder, by masked modelling (He et al. 2022).

The encoder is saved as a ViT that stock `transformers` opens; of sounds, a ViT of spectrograms with one channel; of
clips, a ViT of their frames. `align` and `fuse` start from it.
"""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

import torch

from sensorium import __version__
from sensorium.core.count_senses import sense_parameters
from sensorium.core.fresh import fresh_std, initialise_senses
from sensorium.data.decoded import ClipSpec, Spec
from sensorium.data.sense_pairs import load_pairs, split_pairs
from sensorium.data.sense_table import Kind, SenseColumn, SenseTable, held_by, kind_by_name, read_sense_table
from sensorium.errors import ConfigError, DataError, InputError
from sensorium.families import vit
from sensorium.families.senses import write_senses
from sensorium.files import StrPath, read_errors, refuse_foreign, write_json, write_text
from sensorium.modalities.mel import MelSpec
from sensorium.modalities.pixels import ImageSpec
from sensorium.objectives.masked_patches import MaskedAutoencoder, MaskedConfig, MaskedPatches, masked_autoencoder
from sensorium.training.align_recipe import (
    AudioRecipe,
    ImageRecipe,
    RowsRecipe,
    SizeRecipe,
    VideoRecipe,
    check_above_0,
    check_patch,
    check_run,
    check_size,
)
from sensorium.training.devices import device_of
from sensorium.training.folder import OURS, open_run
from sensorium.training.loop import Loop
from sensorium.training.optim import build_optimizers
from sensorium.training.recipe import OptimRecipe, RunRecipe, ScheduleRecipe
from sensorium.training.sense_runs import finished, undone
from sensorium.training.state import Progress, load_state
from sensorium.training.train import Run
from sensorium.training.typed import read_recipe


@dataclass(frozen=True, kw_only=True)
class DecoderRecipe:
    """What predicts the hidden patches; it is thrown away afterwards."""

    dim: int = 64
    layers: int = 2
    heads: int = 4


@dataclass(frozen=True, kw_only=True)
class PretrainRecipe:
    """A pre-training, but for its data; every field has a default."""

    description: str = "An encoder, pre-trained by masked patches."
    hidden: float = 0.75
    """Share of the patches that is hidden."""
    augment: Literal["none", "light", "strong"] = "light"
    image: ImageRecipe = field(default_factory=ImageRecipe)
    audio: AudioRecipe = field(default_factory=AudioRecipe)
    video: VideoRecipe = field(default_factory=VideoRecipe)
    decoder: DecoderRecipe = field(default_factory=DecoderRecipe)
    batch: RowsRecipe = field(default_factory=RowsRecipe)
    optim: OptimRecipe = field(default_factory=lambda: OptimRecipe(lr=1e-3, beta2=0.95, weight_decay=0.05))
    schedule: ScheduleRecipe = field(default_factory=lambda: ScheduleRecipe(warmup=0.05))
    run: RunRecipe = field(default_factory=lambda: RunRecipe(epochs=50.0, eval_tokens=2000))

    def __post_init__(self) -> None:
        for name in ("image", "audio", "video"):
            check_size(name, getattr(self, name))
        check_above_0(
            ("decoder.dim", self.decoder.dim), ("decoder.layers", self.decoder.layers),
            ("decoder.heads", self.decoder.heads), ("batch.rows", self.batch.rows),
            ("batch.accumulate", self.batch.accumulate),
        )  # fmt: skip
        check_patch("image", self.image.patch, self.image.size)
        check_patch("video", self.video.patch, self.video.size)
        check_patch("audio", self.audio.patch, self.audio.mels)
        check_run(self.run)
        if self.decoder.dim % self.decoder.heads:
            raise ConfigError(f"decoder.dim={self.decoder.dim} is not a multiple of decoder.heads")

    @property
    def title(self) -> str:
        return "masked patches"

    @property
    def budget(self) -> int:
        return self.batch.rows

    @property
    def accumulate(self) -> int:
        return self.batch.accumulate

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def pretrain(
    data: StrPath,
    *,
    out: StrPath,
    kind: str | None = None,
    recipe: PretrainRecipe | StrPath | None = None,
    overrides: Sequence[str] = (),
    resume: bool = False,
    force: bool = False,
    device: str = "auto",
    show_progress: bool | None = None,
) -> Run:
    """Pre-train an encoder of pictures, sounds or clips, without labels.

    Args:
        data: a folder of files, or a table with a column of their paths.
        out: the model folder to make.
        kind: "image", "audio" or "video"; by default what most of the files are.
        recipe: a `PretrainRecipe`, or a TOML file of its fields; without one, its defaults.
        overrides: "section.key=value", on top of the recipe.
        resume: go on with a run of the same recipe and files; a new run starts if there is none.
        force: replace the model or the run that stands at `out`.
        device: "auto" takes a GPU if there is one.
        show_progress: None shows bars if stderr is a terminal.

    Raises:
        InputError: there is no such file, folder or kind; `out` exists, or is not ours to replace.
        ConfigError: a wrong key or value in the recipe.
        DataError: there are no such files, or none can be read.
        CapabilityError: the extra `audio` or `video` is not installed.
        TrainingError: the loss is not finite; the run was interrupted.
        DiskError: the disk is full or may not be written.
    """
    if resume and force:
        raise InputError("--resume goes on with a run, --force replaces it", where=str(out), fix="Choose one of them")
    chosen = read_recipe(PretrainRecipe, recipe, overrides)
    target, out = device_of(device), Path(out)
    table = _table(Path(data), kind)
    sense = table.columns[0].kind
    spec, config = _spec(chosen, sense), _config(chosen, sense)
    existed = out.exists()
    if force:  # what is replaced stays until the new input has proved readable
        refuse_foreign(out, ours=OURS)
    state = None if force else open_run(out, chosen, table.fingerprint, resume=resume, force=False)
    with undone(out, existed=existed):
        pairs, notes = load_pairs(
            table, specs={sense: spec}, captions=None, cache=out / "run" / "media", show_progress=show_progress
        )
        pairs = replace(pairs, rows=pairs.rows[pairs.senses() >= 1])
        train, validation = split_pairs(pairs, table, chosen.run.held_out)
        torch.manual_seed(chosen.run.seed)
        model = MaskedAutoencoder(config)
        initialise_senses(model, std=fresh_std(chosen.decoder.dim))
        initialise_senses(model.encoder, std=fresh_std(config.encoder.tower.stack.dim))
        model = model.to(target)
        optimizers = build_optimizers(model, chosen.optim)
        if force:
            open_run(out, chosen, table.fingerprint, resume=False, force=True)
        at = Progress() if state is None else load_state(state, model, optimizers, target)
    loop = Loop(
        recipe=chosen,
        model=model,
        optimizers=optimizers,
        objective=MaskedPatches(config, kind=sense, spec=spec, augment=chosen.augment),
        train=replace(train, augment=True),
        validation=validation,
        folder=out / "run",
        device=target,
        at=at,
    )
    metrics = loop.run(show_progress=show_progress)
    _export(out, model.eval(), spec, chosen, metrics, at, rows=len(train))
    told = f"{len(validation):,} of {len(pairs):,} files are held out for validation, chosen by hash"
    return Run(out, metrics, at.step, at.tokens, at.seconds, (*table.notes, *notes, told))


def _table(data: Path, kind: str | None) -> SenseTable:
    """The files, as a table of one column."""
    if kind not in (None, "image", "audio", "video"):
        raise InputError(f"kind {kind!r} is not one of image, audio, video")
    if data.is_dir():
        return _files(data, kind)
    with read_errors(data):
        if not data.exists():
            raise InputError("no such file or folder", where=str(data), fix="Name a folder of files, or a table")
    table = read_sense_table(data, least=1)
    columns = [column for column in table.columns if column.kind != "text" and kind in (None, column.kind)]
    if not columns:
        raise DataError(f"no column holds paths of {kind or 'file'}s", where=str(data), fix="Give another table")
    chosen = tuple(column for column in columns if column.kind == columns[0].kind)
    others = [f"{column.name!r} ({column.kind})" for column in columns if column not in chosen]
    told = f"only the {columns[0].kind}s are learned from, not column {', '.join(others)}: --kind says another"
    return replace(table, columns=chosen, notes=(*table.notes, told) if others else table.notes)


def _files(folder: Path, kind: str | None) -> SenseTable:
    """What a folder holds of a kind; also what only its name says is of it, to be told as what cannot be read."""
    found: list[tuple[str, Kind | None, Kind | None]] = []
    with read_errors(folder):
        for place, folders, names in os.walk(folder):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                path = Path(place) / name
                if not name.startswith(".") and path.is_file():
                    found.append((str(path.relative_to(folder)), held_by(path), kind_by_name(path)))
    counts = Counter(held for _, held, _ in found)
    chosen = kind or max(("image", "audio", "video"), key=lambda name: counts[cast("Kind", name)])
    if counts[cast("Kind", chosen)] < 2:
        raise DataError(f"fewer than two files of the kind {chosen}", where=str(folder), fix="Name another folder")
    cells = tuple(path for path, held, named in found if chosen in (held, named))
    column = SenseColumn(name="file", kind=cast("Kind", chosen), cells=cells)
    return SenseTable(path=folder / "table", columns=(column,), notes=(), manifest={"files": []})


def _spec(recipe: PretrainRecipe, kind: Kind) -> Spec:
    if kind == "image":
        return ImageSpec(resize=(recipe.image.size, recipe.image.size))
    if kind == "audio":
        return MelSpec(mels=recipe.audio.mels, seconds=recipe.audio.seconds)
    return ClipSpec(frames=recipe.video.frames, size=recipe.video.size)


def _config(recipe: PretrainRecipe, kind: Kind) -> MaskedConfig:
    sizes: SizeRecipe = {"image": recipe.image, "audio": recipe.audio, "video": recipe.video}[kind]
    blocks: dict[str, Any] = {
        "dim": sizes.dim, "layers": sizes.layers, "heads": sizes.heads, "feedforward": sizes.feedforward,
    }  # fmt: skip
    if kind == "audio":
        frames = MelSpec(mels=recipe.audio.mels, seconds=recipe.audio.seconds).frames(0)
        blocks |= {"size": (recipe.audio.mels, frames), "patch": (recipe.audio.patch,) * 2, "channels": 1}
    else:
        shape = recipe.image if kind == "image" else recipe.video
        blocks |= {"size": (shape.size, shape.size), "patch": (shape.patch, shape.patch)}
    return masked_autoencoder(vit.sized(**blocks), hidden=recipe.hidden, **dataclasses.asdict(recipe.decoder))


def _export(
    out: Path,
    model: MaskedAutoencoder,
    spec: Spec,
    recipe: PretrainRecipe,
    metrics: dict[str, float],
    at: Progress,
    *,
    rows: int,
) -> None:
    with finished(out) as part:
        preprocessor = spec if isinstance(spec, ImageSpec) else None
        if isinstance(spec, ClipSpec):
            preprocessor = ImageSpec(resize=(spec.size, spec.size))
        write_senses(part, model.encoder, preprocessor=None if preprocessor is None else preprocessor.to_dict())
        told: dict[str, Any] = {
            "sensorium": __version__,
            "kind": "pretrained",
            "parameters": sense_parameters(model.encoder.config),
            "recipe": recipe.to_dict(),
            "spec": {"kind": type(spec).__name__, **dataclasses.asdict(spec)},
            "metrics": metrics,
            "run": {"steps": at.step, "rows": at.tokens, "seconds": round(at.seconds, 1)},
        }
        write_json(part / "sensorium.json", told)
        write_text(part / "README.md", _card(out.resolve().name, told, rows))


def _card(name: str, told: dict[str, Any], rows: int) -> str:
    numbers = "\n".join(f"| {key.replace('_', ' ')} | {value:.4f} |" for key, value in told["metrics"].items())
    return f"""---
library_name: transformers
pipeline_tag: image-feature-extraction
---

# {name}

{told["recipe"]["description"]}

A ViT of {told["parameters"]:,} parameters, pre-trained by Sensorium {told["sensorium"]} without labels:
{told["recipe"]["hidden"]:.0%} of the patches are hidden and predicted (He et al. 2022); {told["run"]["rows"]:,} files
read in {told["run"]["steps"]:,} steps, of {rows:,} different ones. Stock `transformers` opens it as a `ViTModel`;
`sensorium align --image-from {name}` starts from it.

| metric | value |
|---|---|
{numbers}

The loss is the mean squared error of hidden patches with their own mean and deviation taken out; their mean alone
gives 1.
"""
