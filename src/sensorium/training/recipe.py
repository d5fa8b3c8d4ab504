"""Recipes: everything that decides a run, as typed TOML; every field can be overridden.

The recipes that come with the package lie in `sensorium/recipes/`. A wrong key is an error that names the right one.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sensorium.errors import ConfigError, InputError, unknown
from sensorium.files import StrPath, read_errors
from sensorium.training.typed import override, record

FOLDER = Path(__file__).parents[1] / "recipes"
_ABOVE_0, _BELOW_1 = math.nextafter(0, 1), math.nextafter(1, 0)
_RANGES: dict[str, tuple[float, float]] = {
    "model.dim": (1, math.inf),
    "model.layers": (1, math.inf),
    "model.heads": (1, math.inf),
    "model.feedforward": (1, math.inf),
    "model.context": (1, math.inf),
    "model.kv_heads": (1, math.inf),
    "model.decoder_layers": (1, math.inf),
    "model.dropout": (0, _BELOW_1),
    "objective.mask_rate": (_ABOVE_0, _BELOW_1),
    "objective.mean_span": (1, math.inf),
    "objective.label_smoothing": (0, _BELOW_1),
    "objective.stride": (1, math.inf),
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
    "run.epochs": (_ABOVE_0, math.inf),
    "run.held_out": (0, _BELOW_1),
    "run.max_minutes": (_ABOVE_0, math.inf),
    "run.seed": (0, 2**63 - 1),
    "run.eval_every": (1, math.inf),
    "run.eval_tokens": (1, math.inf),
    "run.save_every": (1, math.inf),
}
"""The least and the most of each number, both allowed; it must be finite besides."""
ENCODERS = ("bert", "roberta", "distilbert", "modernbert")
DECODERS = ("llama", "gpt2")
ENCODER_DECODERS = ("marian", "bart", "t5")
_FITS: dict[str, tuple[str, ...]] = {
    "masked": ENCODERS,
    "causal": DECODERS,
    "seq2seq": ENCODER_DECODERS,
    "span_corruption": ENCODER_DECODERS,
    "infilling": ENCODER_DECODERS,
}
"""Families that an objective trains from fresh weights. The other objectives take a model that is given to them."""
_USED_BY: dict[str, tuple[str, ...]] = {
    "mask_rate": ("masked", "span_corruption", "infilling"),
    "masking": ("masked",),
    "pairs": ("masked",),
    "mean_span": ("span_corruption", "infilling"),
    "permute": ("infilling",),
    "label_smoothing": ("seq2seq",),
    "stride": ("spans",),
    "class_weights": ("classes", "tags"),
}
"""Objectives for which a setting does something."""


@dataclass(frozen=True, kw_only=True)
class ModelRecipe:
    """The model's family and size."""

    family: Literal["bert", "roberta", "distilbert", "modernbert", "llama", "gpt2", "marian", "bart", "t5"]
    dim: int
    layers: int
    """Of an encoder-decoder: of its encoder."""
    heads: int
    feedforward: int
    context: int
    """Longest sequence that the model can take."""
    kv_heads: int | None = None
    """Key/value heads, where fewer than heads (llama)."""
    decoder_layers: int | None = None
    """Of an encoder-decoder, where its decoder has not as many as its encoder."""
    dropout: float = 0.0
    """llama: of the attention weights, the only place where the family has any. marian: of the embeddings and of what
    each part of a block adds. The others: of all of these."""


@dataclass(frozen=True, kw_only=True)
class ObjectiveRecipe:
    """What is learned."""

    kind: Literal["masked", "causal", "seq2seq", "span_corruption", "infilling", "spans", "classes", "tags"]
    mask_rate: float = 0.15
    """Share of the tokens that is predicted (masked) or taken away (span_corruption); of the words (infilling)."""
    masking: Literal["token", "word", "span"] = "token"
    pairs: Literal["none", "next", "order"] = "none"
    """Sentence pairs beside the masks: next sentence (BERT) or sentence order (ALBERT)."""
    mean_span: float = 3.0
    """Tokens (span_corruption) or words (infilling) of a span that is taken away, on average."""
    permute: bool = True
    """infilling: sentences stand in another order in the source."""
    label_smoothing: float = 0.0
    """seq2seq: share of the target that is spread over the whole vocabulary."""
    stride: int | None = None
    """spans: tokens by which windows move over a long context; by default half of what a window holds of it."""
    class_weights: Literal["none", "balanced"] = "none"
    """classes, tags: balanced weighs each label by the inverse of how often it occurs."""


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
    warmup: int | float = 100
    """Steps of linear warm-up; below 1 it is a share of the run."""
    decay: float = 0.2
    """wsd: the last share of the run, in which the rate falls to the floor."""
    floor: float = 0.0


@dataclass(frozen=True, kw_only=True)
class RunRecipe:
    """How long, how often, how exactly."""

    steps: int | None = None
    epochs: float | None = None
    """How often the data is gone through. Of steps and epochs at least one is given; the nearer bound counts."""
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
    held_out: float = 0.1
    """spans, classes, tags: share of the data that is held out for validation where no file of its own is given."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A run, but for its data."""

    description: str
    objective: ObjectiveRecipe
    batch: BatchRecipe
    run: RunRecipe
    model: ModelRecipe | None = None
    """None where the objective takes a model that is given to it, whatever its size."""
    optim: OptimRecipe = field(default_factory=OptimRecipe)
    schedule: ScheduleRecipe = field(default_factory=ScheduleRecipe)

    def __post_init__(self) -> None:
        self._check_ranges()
        self._check_length()
        self._check_batch()
        if self.sized:
            self._check_heads(self.fresh)
            self._check_family(self.fresh)
            self._check_layout(self.fresh)
        elif self.model is not None:
            raise ConfigError(
                f"[model] does nothing with objective.kind={self.objective.kind!r}",
                fix="Leave it out: the model is given by --init, whatever its size",
            )
        self._check_unused()

    @property
    def sized(self) -> bool:
        """Whether the recipe says what the model is."""
        return self.objective.kind in _FITS

    @property
    def title(self) -> str:
        return self.model.family if self.model is not None else self.objective.kind

    @property
    def budget(self) -> int:
        return self.batch.tokens

    @property
    def accumulate(self) -> int:
        return self.batch.accumulate

    @property
    def fresh(self) -> ModelRecipe:
        """The model that the recipe describes.

        Raises:
            ConfigError: it describes none.
        """
        if self.model is None:
            raise ConfigError(f"objective.kind={self.objective.kind!r} needs a [model]", fix="Add it to the recipe")
        return self.model

    def _check_length(self) -> None:
        if self.run.steps is None and self.run.epochs is None:
            raise ConfigError("missing run.steps", fix="Add it, or run.epochs, to the recipe, or give it by --set")
        if self.sized and self.run.held_out != RunRecipe.held_out:
            raise ConfigError(
                f"run.held_out={self.run.held_out} does nothing with objective.kind={self.objective.kind!r}",
                fix="`prepare` holds text out; leave it out here",
            )

    def _check_batch(self) -> None:
        batch = self.batch
        if self.model is not None and batch.seq_len > self.model.context:
            raise ConfigError(
                f"batch.seq_len={batch.seq_len} is longer than model.context={self.model.context}",
                fix="Raise model.context or lower batch.seq_len",
            )
        if batch.tokens < batch.seq_len:
            raise ConfigError(
                f"batch.tokens={batch.tokens} is less than batch.seq_len={batch.seq_len}",
                fix="Raise batch.tokens or lower batch.seq_len",
            )

    def _check_family(self, model: ModelRecipe) -> None:
        kind = self.objective.kind
        if model.family not in _FITS[kind]:
            known = "; ".join(f"{' and '.join(families)} by {kind}" for kind, families in _FITS.items())
            raise ConfigError(
                f"objective.kind={kind!r} does not fit model.family={model.family!r}", fix=f"Trained are {known}"
            )
        if self.objective.pairs != "none" and (kind, model.family) != ("masked", "bert"):
            raise ConfigError(
                f"objective.pairs={self.objective.pairs!r} does not fit "
                + (f"objective.kind={kind!r}" if kind != "masked" else f"model.family={model.family!r}"),
                fix="Sentence pairs go with bert and masked; leave objective.pairs out",
            )

    def _check_ranges(self) -> None:
        for name, (least, most) in _RANGES.items():
            section, key = name.split(".")
            value = getattr(getattr(self, section), key, None)
            if value is None or (least <= value <= most and math.isfinite(value)):
                continue
            low = f"above {round(least)}" if least == _ABOVE_0 else f"{least} or more"
            high = "" if most == math.inf else f" and below {round(most)}" if most == _BELOW_1 else f", at most {most}"
            raise ConfigError(f"{name}={value} is out of range", fix=f"It must be {low}{high}")

    @staticmethod
    def _check_heads(model: ModelRecipe) -> None:
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

    @staticmethod
    def _check_layout(model: ModelRecipe) -> None:
        """Refuse what does nothing in the family."""
        if model.family != "llama" and model.kv_heads not in (None, model.heads):
            raise ConfigError(
                f"model.kv_heads={model.kv_heads} does nothing in model.family={model.family!r}",
                fix="Only llama has fewer of them than heads; leave it out, or set it to model.heads",
            )
        if model.family not in ENCODER_DECODERS and model.decoder_layers not in (None, model.layers):
            raise ConfigError(
                f"model.decoder_layers={model.decoder_layers} does nothing in model.family={model.family!r}",
                fix="Only an encoder-decoder has two stacks; leave it out",
            )

    def _check_unused(self) -> None:
        """Refuse what does nothing for the objective."""
        kind = self.objective.kind
        for known in dataclasses.fields(self.objective):
            value = getattr(self.objective, known.name)
            if value != known.default and kind not in _USED_BY.get(known.name, (kind,)):
                raise ConfigError(
                    f"objective.{known.name}={value!r} does nothing with objective.kind={kind!r}",
                    fix=f"It is for {' and '.join(_USED_BY[known.name])}; leave it out, or set it to {known.default}",
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
    for setting in overrides:
        override(values, setting)
    return record(Recipe, values, where=str(name))


def recipe_from_dict(values: Mapping[str, Any]) -> Recipe:
    """The inverse of `Recipe.to_dict`."""
    return record(Recipe, values, where="recipe")
