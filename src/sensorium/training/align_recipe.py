"""The recipe of an alignment: how large each sense's tower is, the loss, the optimiser, the run.

Every field has a default that suits some thousand rows and a few minutes on a processor, so that a recipe file says
only what is other. Its training sections are those of `training/recipe.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from sensorium.errors import ConfigError
from sensorium.training.recipe import OptimRecipe, RunRecipe, ScheduleRecipe


@dataclass(frozen=True, kw_only=True)
class SizeRecipe:
    """A tower's blocks."""

    dim: int = 128
    layers: int = 4
    heads: int = 4
    feedforward: int = 512


@dataclass(frozen=True, kw_only=True)
class ImageRecipe(SizeRecipe):
    """Pictures."""

    size: int = 64
    """Edge of the square that they are brought to."""
    patch: int = 8


@dataclass(frozen=True, kw_only=True)
class TextRecipe(SizeRecipe):
    """Texts. A tokenizer is trained on those of the table, unless a tower is given."""

    vocab: int = 8000
    """The most tokens of the tokenizer."""
    context: int = 48


@dataclass(frozen=True, kw_only=True)
class AudioRecipe(SizeRecipe):
    """Sounds, as spectrograms in patches (AST: Gong et al. 2021)."""

    seconds: float = 4.0
    """What each is cut or filled with silence to."""
    mels: int = 64
    patch: int = 16


@dataclass(frozen=True, kw_only=True)
class VideoRecipe(SizeRecipe):
    """Clips: frames, read one by one, then over time."""

    frames: int = 8
    size: int = 64
    patch: int = 16
    time_layers: int = 2


@dataclass(frozen=True, kw_only=True)
class RowsRecipe:
    """How much at a time. The rows of a batch are each other's negatives; those of another batch of a step are not."""

    rows: int = 128
    accumulate: int = 1


@dataclass(frozen=True, kw_only=True)
class AlignRecipe:
    """An alignment, but for its data."""

    description: str = "Senses aligned in one space."
    loss: Literal["clip", "siglip"] = "clip"
    width: int = 128
    """Of the shared space. With `loss` siglip and towers of its own, that is `image.dim`."""
    augment: Literal["none", "light", "strong"] = "light"
    """How much pictures, sounds and clips are changed each time; strong mirrors pictures, too."""
    views: int = 2
    """Texts of a row that are read at once, where several columns hold some: they are brought together, too."""
    image: ImageRecipe = field(default_factory=ImageRecipe)
    text: TextRecipe = field(default_factory=TextRecipe)
    audio: AudioRecipe = field(default_factory=AudioRecipe)
    video: VideoRecipe = field(default_factory=VideoRecipe)
    batch: RowsRecipe = field(default_factory=RowsRecipe)
    optim: OptimRecipe = field(default_factory=lambda: OptimRecipe(lr=1e-3, weight_decay=0.1))
    schedule: ScheduleRecipe = field(default_factory=lambda: ScheduleRecipe(warmup=0.05))
    run: RunRecipe = field(default_factory=lambda: RunRecipe(epochs=20.0, eval_tokens=2000))

    def __post_init__(self) -> None:
        for name in ("image", "text", "audio", "video"):
            check_size(name, getattr(self, name))
        check_above_0(
            ("width", self.width), ("views", self.views), ("batch.rows", self.batch.rows),
            ("batch.accumulate", self.batch.accumulate),
            ("text.context", self.text.context), ("audio.seconds", self.audio.seconds),
            ("audio.mels", self.audio.mels), ("video.frames", self.video.frames),
            ("video.time_layers", self.video.time_layers),
        )  # fmt: skip
        if self.batch.rows < 2:
            raise ConfigError("batch.rows=1 has no negatives", fix="Raise batch.rows")
        for name, patch, size in (
            ("image", self.image.patch, self.image.size),
            ("video", self.video.patch, self.video.size),
            ("audio", self.audio.patch, self.audio.mels),
        ):
            check_patch(name, patch, size)
        check_run(self.run)

    @property
    def title(self) -> str:
        return "align"

    @property
    def budget(self) -> int:
        return self.batch.rows

    @property
    def accumulate(self) -> int:
        return self.batch.accumulate

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def check_size(name: str, size: SizeRecipe) -> None:
    """Refuse sizes that no tower can have.

    Raises:
        ConfigError: there are such.
    """
    check_above_0(*((f"{name}.{part}", getattr(size, part)) for part in ("dim", "layers", "heads", "feedforward")))
    if size.dim % size.heads:
        raise ConfigError(
            f"{name}.dim={size.dim} is not a multiple of {name}.heads={size.heads}", fix="Change one of them"
        )


def check_patch(name: str, patch: int, size: int) -> None:
    """Refuse patches that do not fit.

    Raises:
        ConfigError: they do not.
    """
    if not 1 <= patch <= size:
        raise ConfigError(f"{name}.patch={patch} does not fit into {size}", fix=f"Give 1 to {size}")


def check_above_0(*numbers: tuple[str, int | float]) -> None:
    """Refuse numbers that must be above 0.

    Raises:
        ConfigError: one is not.
    """
    for key, value in numbers:
        if not value > 0:
            raise ConfigError(f"{key}={value} must be above 0")


def check_run(run: RunRecipe) -> None:
    """Refuse a run without an end.

    Raises:
        ConfigError: it has none.
    """
    if run.steps is None and run.epochs is None:
        raise ConfigError("missing run.steps", fix="Add it, or run.epochs, to the recipe, or give it by --set")
    bounds: Iterable[tuple[str, int | float | None]] = (
        ("run.steps", run.steps), ("run.epochs", run.epochs), ("run.max_minutes", run.max_minutes),
        ("run.eval_every", run.eval_every), ("run.save_every", run.save_every), ("run.eval_tokens", run.eval_tokens),
    )  # fmt: skip
    check_above_0(*((key, value) for key, value in bounds if value is not None))
    if not 0 <= run.held_out < 1:
        raise ConfigError(f"run.held_out={run.held_out} is not a share from 0 to below 1")
