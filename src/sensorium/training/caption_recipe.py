"""What decides how a language model is given eyes: typed settings, each of which can be overridden.

Unlike a model that is trained from nothing, one that is given its parts needs no size, so that the defaults are a
whole recipe.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sensorium.errors import ConfigError, InputError
from sensorium.files import StrPath, read_errors
from sensorium.training.recipe import BatchRecipe, OptimRecipe, RunRecipe, ScheduleRecipe
from sensorium.training.typed import override, record


@dataclass(frozen=True, kw_only=True)
class EyesRecipe:
    """What is put between the tower and the language model, and what is trained of them. The projector always is."""

    projector: Literal["mlp", "resampler"] = "mlp"
    """mlp: one vector for each of the tower's (LLaVA-1.5), a format that stock `transformers` opens. resampler: a fixed
    number, by learned queries, in a format of our own."""
    queries: int = 8
    """Of the resampler."""
    layers: int = 1
    """Of the resampler."""
    heads: int = 8
    """Of the resampler; they must divide the language model's width."""
    read: int = -2
    """Which of the tower's hidden states is read: -1 is its last block's, before a final norm."""
    language: Literal["frozen", "lora", "full"] = "frozen"
    rank: int = 8
    """Of LoRA."""
    alpha: float = 16.0
    """Of LoRA."""
    tower: Literal["frozen", "trained"] = "frozen"
    """A tower that is made anew is trained, whatever is said here."""
    prompt: str = ""
    """What stands between a picture and its text, where a table has no column of prompts."""
    chat: bool = False
    """Texts are answers in chats, by the language model's own template, rather than what follows a picture."""


@dataclass(frozen=True, kw_only=True)
class FreshTower:
    """A tower of pictures, of CLIP's make, where none is given."""

    size: int = 64
    """Pixels of a side."""
    patch: int = 16
    dim: int = 192
    layers: int = 4
    heads: int = 3
    feedforward: int = 768


@dataclass(frozen=True, kw_only=True)
class CaptionRecipe:
    """A run that gives a language model eyes, but for its data and its parts."""

    eyes: EyesRecipe = field(default_factory=EyesRecipe)
    fresh: FreshTower = field(default_factory=FreshTower)
    batch: BatchRecipe = field(default_factory=lambda: BatchRecipe(seq_len=256, tokens=1024))
    """`seq_len`: longer examples, placeholders among their tokens, are left out."""
    optim: OptimRecipe = field(default_factory=lambda: OptimRecipe(lr=1e-3, beta2=0.99, weight_decay=0.0))
    schedule: ScheduleRecipe = field(default_factory=lambda: ScheduleRecipe(warmup=0.03))
    run: RunRecipe = field(default_factory=lambda: RunRecipe(epochs=3.0))

    def __post_init__(self) -> None:
        if self.run.steps is None and self.run.epochs is None:
            raise ConfigError("missing run.steps", fix="Add it, or run.epochs, or give it by --set")
        counted = {
            **{f"eyes.{key}": getattr(self.eyes, key) for key in ("queries", "layers", "heads", "rank")},
            **{f"fresh.{key}": value for key, value in dataclasses.asdict(self.fresh).items()},
            "batch.seq_len": self.batch.seq_len,
            "batch.accumulate": self.batch.accumulate,
        }
        for name, value in counted.items():
            if value < 1:
                raise ConfigError(f"{name}={value} is out of range", fix="It must be 1 or more")
        if self.batch.tokens < self.batch.seq_len:
            raise ConfigError(
                f"batch.tokens={self.batch.tokens} is less than batch.seq_len={self.batch.seq_len}",
                fix="Raise batch.tokens or lower batch.seq_len",
            )
        if not 0 <= self.run.held_out < 1:
            raise ConfigError(f"run.held_out={self.run.held_out} is out of range", fix="It must be 0 or more, below 1")
        if self.fresh.size % self.fresh.patch or self.fresh.dim % self.fresh.heads:
            raise ConfigError(
                "a fresh tower's size is a multiple of its patch, and its dim one of its heads", fix="Change one"
            )

    @property
    def title(self) -> str:
        return "eyes"

    @property
    def budget(self) -> int:
        return self.batch.tokens

    @property
    def accumulate(self) -> int:
        return self.batch.accumulate

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def load_caption_recipe(name: StrPath | None, overrides: Sequence[str] = ()) -> CaptionRecipe:
    """The defaults, or a TOML file on top of them, with overrides.

    Args:
        name: a TOML file; None for the defaults alone.
        overrides: "section.key=value", values as in TOML; strings may go without quotes.

    Raises:
        InputError: there is no such file, or it cannot be read.
        ConfigError: a key is unknown, or a value is of the wrong type or out of range.
    """
    values: dict[str, Any] = {}
    if name is not None:
        path = Path(name)
        with read_errors(path):
            if not path.is_file():
                raise InputError("no such recipe file", where=str(path), fix="Name a .toml file, or leave it out")
            content = path.read_bytes()
        try:
            values = tomllib.loads(content.decode("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"not valid TOML: {error}", where=str(path), fix="Mend the file") from error
    for setting in overrides:
        override(values, setting)
    whole = CaptionRecipe().to_dict()
    for section, settings in values.items():
        if isinstance(settings, dict) and section in whole:
            whole[section] |= settings
        else:
            whole[section] = settings
    if "steps" in values.get("run", {}) and "epochs" not in values["run"]:
        whole["run"]["epochs"] = None  # the default length gives way to the one that is asked for
    return record(CaptionRecipe, whole, where="recipe" if name is None else str(name))
