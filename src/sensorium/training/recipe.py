"""Recipes: everything that decides a run, as typed TOML; every field can be overridden.

The recipes that come with the package lie in `sensorium/recipes/`. A wrong key is an error that names the right one.
"""

from __future__ import annotations

import dataclasses
import json
import math
import tomllib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sensorium.errors import ConfigError, InputError, closest, unknown
from sensorium.files import StrPath, read_errors

FOLDER = Path(__file__).parents[1] / "recipes"
_ABOVE_0, _BELOW_1 = math.nextafter(0, 1), math.nextafter(1, 0)
_RANGES: dict[str, tuple[float, float]] = {
    "model.dim": (1, math.inf),
    "model.layers": (1, math.inf),
    "model.heads": (1, math.inf),
    "model.feedforward": (1, math.inf),
    "model.context": (1, math.inf),
    "model.kv_heads": (1, math.inf),
    "model.dropout": (0, _BELOW_1),
    "objective.mask_rate": (_ABOVE_0, _BELOW_1),
    "batch.seq_len": (1, math.inf),
    "batch.tokens": (1, math.inf),
    "batch.accumulate": (1, math.inf),
    "optim.lr": (0, math.inf),
    "optim.muon_lr": (0, math.inf),
    "optim.beta1": (0, _BELOW_1),
    "optim.beta2": (0, _BELOW_1),
    "optim.eps": (0, math.inf),
    "optim.weight_decay": (0, math.inf),
    "optim.clip": (0, math.inf),
    "schedule.warmup": (0, math.inf),
    "schedule.decay": (0, 1),
    "schedule.floor": (0, 1),
    "run.steps": (1, math.inf),
    "run.max_minutes": (_ABOVE_0, math.inf),
    "run.seed": (0, 2**63 - 1),
    "run.eval_every": (1, math.inf),
    "run.eval_tokens": (1, math.inf),
    "run.save_every": (1, math.inf),
}
"""The least and the most of each number, both allowed; it must be finite besides."""


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
    """llama: of the attention weights, the only place where the family has any. bert and gpt2: of the embeddings and of
    what each half of a block adds, too."""


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
        self._check_ranges()
        self._check_heads()
        if self.batch.seq_len > self.model.context:
            raise ConfigError(
                f"batch.seq_len={self.batch.seq_len} is longer than model.context={self.model.context}",
                fix="Raise model.context or lower batch.seq_len",
            )
        if self.batch.tokens < self.batch.seq_len:
            raise ConfigError(
                f"batch.tokens={self.batch.tokens} is less than batch.seq_len={self.batch.seq_len}",
                fix="Raise batch.tokens or lower batch.seq_len",
            )
        if (self.objective.kind == "masked") != (self.model.family == "bert"):
            raise ConfigError(
                f"objective.kind={self.objective.kind!r} does not fit model.family={self.model.family!r}",
                fix="bert is trained by masked, llama and gpt2 by causal",
            )
        self._check_unused()
        if self.objective.kind == "causal" and self.objective.pairs != "none":
            raise ConfigError(
                f"objective.pairs={self.objective.pairs!r} does not fit objective.kind='causal'",
                fix="Sentence pairs go with masked; leave objective.pairs out",
            )

    def _check_ranges(self) -> None:
        for name, (least, most) in _RANGES.items():
            section, key = name.split(".")
            value = getattr(getattr(self, section), key)
            if value is None or (least <= value <= most and math.isfinite(value)):
                continue
            low = f"above {round(least)}" if least == _ABOVE_0 else f"{least} or more"
            high = "" if most == math.inf else f" and below {round(most)}" if most == _BELOW_1 else f", at most {most}"
            raise ConfigError(f"{name}={value} is out of range", fix=f"It must be {low}{high}")

    def _check_heads(self) -> None:
        model = self.model
        if model.dim % model.heads:
            raise ConfigError(
                f"model.dim={model.dim} is not a multiple of model.heads={model.heads}", fix="Change one of them"
            )
        if model.kv_heads is not None and model.heads % model.kv_heads:
            raise ConfigError(
                f"model.heads={model.heads} is not a multiple of model.kv_heads={model.kv_heads}",
                fix="Each key/value head serves the same number of heads: change one of them",
            )
        if model.family == "llama" and model.dim // model.heads % 2:
            raise ConfigError(
                f"model.dim / model.heads = {model.dim // model.heads} is odd, and llama rotates pairs of dimensions",
                fix="Change one of them",
            )

    def _check_unused(self) -> None:
        """Refuse what would do nothing."""
        model, objective = self.model, self.objective
        if model.family != "llama" and model.kv_heads not in (None, model.heads):
            raise ConfigError(
                f"model.kv_heads={model.kv_heads} does nothing in model.family={model.family!r}",
                fix="Only llama has fewer of them than heads; leave it out, or set it to model.heads",
            )
        if objective.kind == "causal":
            for field_ in dataclasses.fields(objective):
                value = getattr(objective, field_.name)
                if field_.name in ("mask_rate", "masking") and value != field_.default:
                    raise ConfigError(
                        f"objective.{field_.name}={value!r} does nothing with objective.kind='causal'",
                        fix=f"Nothing is masked there; leave it out, or set it to {field_.default}",
                    )

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
        InputError: there is no such recipe, or it cannot be read.
        ConfigError: a key is unknown or missing, or a value is of the wrong type.
    """
    path = Path(name) if Path(name).suffix == ".toml" else FOLDER / f"{name}.toml"
    with read_errors(path):
        if not path.is_file():
            if path.parent == FOLDER:
                raise InputError(unknown("recipe", str(name), list_recipes()), fix="Name one of these, or a .toml file")
            raise InputError("no such recipe file", where=str(path), fix="Check the path")
        content = path.read_bytes()
    try:
        values = tomllib.loads(content.decode("utf-8"))
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
            guess = closest(name, known) or (None if prefix else _section_of(name))
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


def _section_of(name: str) -> str | None:
    """The full key of a field whose section was left out."""
    for section, kind in typing.get_type_hints(Recipe).items():
        if dataclasses.is_dataclass(kind) and name in {field.name for field in dataclasses.fields(kind)}:
            return f"{section}.{name}"
    return None


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
