"""Recipes: everything that decides a run, as typed TOML; every field can be overridden.

The recipes that come with the package lie in `sensorium/recipes/`. A wrong key is an error that names the right one.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sensorium.errors import ConfigError, InputError, closest, unknown
from sensorium.files import StrPath

FOLDER = Path(__file__).parents[1] / "recipes"


@dataclass(frozen=True, kw_only=True)
class ModelRecipe:
    """The model's family and size."""

    family: Literal["bert", "llama", "gpt2"]
    dim: int
    layers: int
    heads: int
    feedforward: int
    context: int
    """Longest sequence that the model can take."""
    kv_heads: int | None = None
    """Key/value heads, where fewer than heads (llama)."""
    dropout: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ObjectiveRecipe:
    """What is learned."""

    kind: Literal["masked", "causal"]
    mask_rate: float = 0.15
    masking: Literal["token", "word", "span"] = "token"
    pairs: Literal["none", "next", "order"] = "none"
    """Sentence pairs beside the masks: next sentence (BERT) or sentence order (ALBERT)."""


@dataclass(frozen=True, kw_only=True)
class BatchRecipe:
    """How much at a time."""

    seq_len: int
    tokens: int
    """Tokens of one forward pass."""
    accumulate: int = 1
    """Forward passes of one step."""


@dataclass(frozen=True, kw_only=True)
class OptimRecipe:
    """The optimiser."""

    kind: Literal["adamw", "muon"] = "adamw"
    """muon: Muon for the blocks' matrices, AdamW for the rest."""
    lr: float = 5e-4
    muon_lr: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.98
    eps: float = 1e-8
    weight_decay: float = 0.01
    clip: float = 1.0
    """Largest norm of the gradient; 0: no clipping."""


@dataclass(frozen=True, kw_only=True)
class ScheduleRecipe:
    """The learning rate over the run, as a factor of `lr`."""

    kind: Literal["cosine", "wsd", "constant"] = "cosine"
    warmup: int = 100
    """Steps of linear warm-up."""
    decay: float = 0.2
    """wsd: the last share of the run, in which the rate falls to the floor."""
    floor: float = 0.0


@dataclass(frozen=True, kw_only=True)
class RunRecipe:
    """How long, how often, how exactly."""

    steps: int
    max_minutes: float | None = None
    """Stop, and schedule, by time if that comes first. A run bound by time is not the same on every machine."""
    seed: int = 0
    eval_every: int = 200
    eval_tokens: int = 100_000
    """The most validation tokens of one evaluation."""
    save_every: int = 200
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 autocast on hardware that computes in it, fp32 otherwise."""
    gradient_checkpointing: bool = False


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A run, but for its data."""

    description: str
    model: ModelRecipe
    objective: ObjectiveRecipe
    batch: BatchRecipe
    run: RunRecipe
    optim: OptimRecipe = field(default_factory=OptimRecipe)
    schedule: ScheduleRecipe = field(default_factory=ScheduleRecipe)

    def __post_init__(self) -> None:
        if self.model.dim % self.model.heads:
            raise ConfigError(f"model.dim={self.model.dim} is not a multiple of model.heads={self.model.heads}")
        if self.batch.seq_len > self.model.context:
            raise ConfigError(
                f"batch.seq_len={self.batch.seq_len} is longer than model.context={self.model.context}",
                fix="Raise model.context or lower batch.seq_len",
            )
        if self.batch.tokens < self.batch.seq_len:
            raise ConfigError(f"batch.tokens={self.batch.tokens} is less than batch.seq_len={self.batch.seq_len}")
        if (self.objective.kind == "masked") != (self.model.family == "bert"):
            raise ConfigError(
                f"objective.kind={self.objective.kind!r} does not fit model.family={self.model.family!r}",
                fix="bert is trained by masked, llama and gpt2 by causal",
            )
        if not 0 < self.objective.mask_rate < 1:
            raise ConfigError(f"objective.mask_rate={self.objective.mask_rate} is not between 0 and 1")
        for name, value in (("run.steps", self.run.steps), ("batch.accumulate", self.batch.accumulate)):
            if value < 1:
                raise ConfigError(f"{name}={value} must be at least 1")

    def to_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def list_recipes() -> dict[str, str]:
    """The recipes that come with the package: name → description."""
    return {
        path.stem: str(tomllib.loads(path.read_text(encoding="utf-8"))["description"])
        for path in sorted(FOLDER.glob("*.toml"))
    }


def load_recipe(name: StrPath, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        name: a recipe of the package, or a TOML file.
        overrides: "section.key=value", values as in TOML; strings may go without quotes.

    Raises:
        InputError: there is no such recipe.
        ConfigError: a key is unknown or missing, or a value is of the wrong type.
    """
    path = Path(name)
    if path.suffix != ".toml":
        path = FOLDER / f"{name}.toml"
        if not path.is_file():
            raise InputError(unknown("recipe", str(name), list_recipes()), fix="Name one of these, or a .toml file")
    elif not path.is_file():
        raise InputError("no such recipe file", where=str(path), fix="Check the path")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"not valid TOML: {error}", where=str(path), fix="Mend the file") from error
    for override in overrides:
        _override(values, override)
    recipe: Recipe = _build(Recipe, values, "", str(name))
    return recipe


def recipe_from_dict(values: Mapping[str, Any]) -> Recipe:
    """The inverse of `Recipe.to_dict`."""
    recipe: Recipe = _build(Recipe, values, "", "recipe")
    return recipe


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    names = key.strip().split(".")
    if not equals or not all(names):
        raise InputError(f"{override!r} does not read section.key=value", fix="For example --set optim.lr=3e-4")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    place = values
    for name in names[:-1]:
        place = place.setdefault(name, {})
        if not isinstance(place, dict):
            raise ConfigError(f"{key} has no parts", where=f"--set {override}")
    place[names[-1]] = value


def _build(kind: type[Any], values: Mapping[str, Any], prefix: str, where: str) -> Any:
    hints = typing.get_type_hints(kind)
    known = {f.name: f for f in dataclasses.fields(kind)}
    for name in values:
        if name not in known:
            guess = closest(name, known)
            hint = f"; did you mean {prefix}{guess}?" if guess else ""
            raise ConfigError(f"unknown key {prefix}{name}{hint}", where=where, fix=f"Known: {', '.join(known)}")
    missing = [
        f"{prefix}{name}"
        for name, f in known.items()
        if name not in values and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise ConfigError(f"missing {', '.join(missing)}", where=where, fix="Add it to the recipe, or give it by --set")
    return kind(**{name: _value(hints[name], value, f"{prefix}{name}", where) for name, value in values.items()})


def _value(hint: Any, value: Any, key: str, where: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{key} is not a table", where=where)
        return _build(hint, value, f"{key}.", where)
    if typing.get_origin(hint) is Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise ConfigError(f"{key}={value!r} is not one of {', '.join(map(str, choices))}", where=where)
        return value
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if float in options and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not any(type(value) is option for option in options):
        names = " or ".join("none" if option is type(None) else option.__name__ for option in options)
        raise ConfigError(f"{key}={json.dumps(value, default=str)} is not of type {names}", where=where)
    return value
