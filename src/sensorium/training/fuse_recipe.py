"""The recipe of a fused model: everything that decides its training, but for the table.

Sizes are for minutes on a CPU and some thousand rows. Every field can be set: `--set picture.layers=6`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sensorium.data.tables.senses import Augment
from sensorium.errors import ConfigError
from sensorium.files import StrPath
from sensorium.fusion.model_decision import check_decision
from sensorium.training.recipe import OptimRecipe, RunRecipe, ScheduleRecipe
from sensorium.training.typed import override, record, values_of

Level = Literal["feature", "decision", "both"]
LEVELS: tuple[Level, ...] = ("feature", "decision", "both")
FusionKind = Literal["concat", "gated", "film", "low_rank", "cross", "bottleneck", "shared"]


@dataclass(frozen=True, kw_only=True)
class PictureRecipe:
    """The ViT of pictures, and of frames of clips."""

    size: int = 64
    patch: int = 8
    dim: int = 128
    layers: int = 4
    heads: int = 4
    feedforward: int = 256
    dropout: float = 0.1


@dataclass(frozen=True, kw_only=True)
class SoundRecipe:
    """The ViT of spectrograms (AST: Gong et al. 2021)."""

    mels: int = 64
    patch: int = 16
    """Bands and frames of a patch; a frame is 10 ms."""
    seconds: float = 0.0
    """What sounds are cut or padded to; 0 takes what most of them fit into, `most` at most."""
    most: float = 10.0
    dim: int = 128
    layers: int = 4
    heads: int = 4
    feedforward: int = 256
    dropout: float = 0.1


@dataclass(frozen=True, kw_only=True)
class TextRecipe:
    """The encoder of texts and its tokenizer, which is trained on the column."""

    vocab: int = 2000
    length: int = 64
    """The most tokens of a text."""
    dim: int = 128
    layers: int = 2
    heads: int = 4
    feedforward: int = 256
    dropout: float = 0.1


@dataclass(frozen=True, kw_only=True)
class ClipRecipe:
    """What reads the vectors of a clip's frames."""

    frames: int = 8
    layers: int = 2
    sound: bool = True
    """Hear the sound of clips, too."""


@dataclass(frozen=True, kw_only=True)
class FusionRecipe:
    """How features are fused; see `fusion.features`."""

    kind: FusionKind = "concat"
    dim: int = 128
    heads: int = 4
    layers: int = 2
    rank: int = 8
    bottlenecks: int = 4
    tokens: int = 0
    """Vectors of each modality; 0 takes 8 for the kinds with attention, 1 for the others."""
    dropout: float = 0.1
    modality_dropout: float = 0.15


@dataclass(frozen=True, kw_only=True)
class LearnRecipe:
    """What is learned, and how."""

    expert_weight: float = 0.3
    """Of the losses of single modalities, beside the fused one."""
    mixup: float = 0.0
    label_smoothing: float = 0.0
    class_weights: Literal["none", "balanced"] = "none"
    modulation: float = 0.0
    """alpha of OGM-GE (Peng et al. 2022), which holds modalities back that are ahead; 0: off."""
    augment: bool = True
    decision: str = "auto"
    """The kind of decision; auto takes the best on validation."""
    calibration: float = 0.2
    """Levels decision and both: share of the training rows that decisions are fitted to, and experts are not."""
    folds: int = 0
    """Level decision: decisions are fitted to out-of-fold answers of all training rows instead, by so many trainings
    more (each has `run.max_minutes`); 0: off."""


@dataclass(frozen=True, kw_only=True)
class RowsRecipe:
    """How much at a time."""

    rows: int = 32
    accumulate: int = 1


@dataclass(frozen=True, kw_only=True)
class FuseRecipe:
    """A run, but for its table."""

    description: str = "A model of several modalities, trained on a table."
    level: Level = "feature"
    problem: Literal["auto", "classification", "multi_label", "regression"] = "auto"
    picture: PictureRecipe = field(default_factory=PictureRecipe)
    sound: SoundRecipe = field(default_factory=SoundRecipe)
    text: TextRecipe = field(default_factory=TextRecipe)
    clip: ClipRecipe = field(default_factory=ClipRecipe)
    fusion: FusionRecipe = field(default_factory=FusionRecipe)
    learn: LearnRecipe = field(default_factory=LearnRecipe)
    augment: Augment = field(default_factory=Augment)
    batch: RowsRecipe = field(default_factory=RowsRecipe)
    optim: OptimRecipe = field(default_factory=lambda: OptimRecipe(lr=1e-3, beta2=0.99, weight_decay=0.05))
    schedule: ScheduleRecipe = field(default_factory=lambda: ScheduleRecipe(warmup=0.05))
    run: RunRecipe = field(default_factory=lambda: RunRecipe(epochs=30.0, held_out=0.2, eval_every=100, save_every=200))

    def __post_init__(self) -> None:
        for name, least, most in _RANGES:
            section, key = name.split(".")
            value = getattr(getattr(self, section), key)
            if value is not None and not (least <= value <= most and math.isfinite(value)):
                low = "above 0" if least == _LOW else f"{round(least, 3)} or more"
                high = "" if most == math.inf else " and below 1" if most == _ONE else f", at most {round(most, 3)}"
                raise ConfigError(f"{name}={value} is out of range", fix=f"It must be {low}{high}")
        if self.run.steps is None and self.run.epochs is None:
            raise ConfigError("missing run.steps", fix="Give it, or run.epochs, by --set")
        for section in ("picture", "sound", "text"):
            part = getattr(self, section)
            if part.dim % part.heads:
                raise ConfigError(
                    f"{section}.dim={part.dim} is not a multiple of {section}.heads={part.heads}", fix="Change one"
                )
        if self.picture.patch > self.picture.size or self.sound.patch > self.sound.mels:
            raise ConfigError("a patch is larger than what it is cut of", fix="Lower picture.patch or sound.patch")
        if self.learn.folds == 1 or (self.learn.folds and self.level != "decision"):
            raise ConfigError(
                f"learn.folds={self.learn.folds} does nothing at level {self.level!r}",
                fix="Use 2 or more at --level decision, or 0",
            )
        check_decision(self.learn.decision)
        if self.level == "feature" and self.learn.decision != "auto":
            raise ConfigError("learn.decision does nothing at level 'feature'", fix="Use --level decision or both")

    @property
    def title(self) -> str:
        return f"fused, level {self.level}"

    @property
    def budget(self) -> int:
        return self.batch.rows

    @property
    def accumulate(self) -> int:
        return self.batch.accumulate

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


_ONE, _LOW, _HIGH = math.nextafter(1, 0), math.nextafter(0, 1), math.inf
_RANGES: tuple[tuple[str, float, float], ...] = (
    *((f"{part}.{key}", 1, _HIGH) for part in ("picture", "sound", "text") for key in
      ("dim", "layers", "heads", "feedforward")),
    *((f"{part}.dropout", 0, _ONE) for part in ("picture", "sound", "text", "fusion")),
    ("picture.size", 1, 4096), ("picture.patch", 1, 4096), ("sound.mels", 1, 256), ("sound.patch", 1, 256),
    ("sound.seconds", 0, 3600), ("sound.most", 0.1, 3600), ("text.vocab", 263, 1_000_000), ("text.length", 3, 100_000),
    ("clip.frames", 1, 512), ("clip.layers", 1, _HIGH), ("fusion.tokens", 0, 512), ("fusion.modality_dropout", 0, _ONE),
    ("learn.expert_weight", 0, _HIGH), ("learn.mixup", 0, _HIGH), ("learn.label_smoothing", 0, _ONE),
    ("learn.modulation", 0, _HIGH), ("learn.calibration", _LOW, _ONE), ("learn.folds", 0, 100),
    ("augment.crop", _LOW, 1), ("augment.colour", 0, 1), ("augment.mask", 0, 1), ("augment.frames", 0, _ONE),
    ("augment.words", 0, _ONE),
    ("batch.rows", 1, _HIGH), ("batch.accumulate", 1, _HIGH), ("optim.lr", 0, _HIGH), ("optim.muon_lr", 0, _HIGH),
    ("optim.beta1", 0, _ONE), ("optim.beta2", 0, _ONE), ("optim.eps", 0, _HIGH), ("optim.weight_decay", 0, _HIGH),
    ("optim.clip", 0, _HIGH), ("schedule.warmup", 0, _HIGH), ("schedule.decay", 0, 1), ("schedule.floor", 0, 1),
    ("run.steps", 1, _HIGH), ("run.epochs", _LOW, _HIGH), ("run.max_minutes", _LOW, _HIGH),
    ("run.held_out", _LOW, _ONE),
    ("run.seed", 0, 2**62), ("run.eval_every", 1, _HIGH), ("run.eval_tokens", 1, _HIGH), ("run.save_every", 1, _HIGH),
)  # fmt: skip


def fuse_recipe(
    given: FuseRecipe | StrPath | None = None,
    overrides: Sequence[str] = (),
    settings: Mapping[str, Mapping[str, Any] | Any] | None = None,
) -> FuseRecipe:
    """The recipe to use.

    Args:
        given: a recipe, a TOML file, or None for the defaults.
        overrides: "section.key=value".
        settings: values that other arguments say, by section; they come before `overrides`.

    Raises:
        InputError: there is no such file.
        ConfigError: a key or a value is wrong.
    """
    values = values_of(FuseRecipe, given)
    for name, value in (settings or {}).items():
        if isinstance(value, Mapping):
            values.setdefault(name, {}).update(value)
        else:
            values[name] = value
    for setting in overrides:
        override(values, setting)
    return record(FuseRecipe, values, where="recipe")
