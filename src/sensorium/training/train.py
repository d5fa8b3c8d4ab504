"""`train`: a corpus and a recipe to a Hugging Face folder.

out/                 the model: stock `transformers` opens it
  run/               the run: recipe, metrics, loss curve, states to resume from
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sensorium.core.config import ModelConfig
from sensorium.core.model import Transformer, build
from sensorium.data.shards import Corpus
from sensorium.errors import CheckpointError, DataError, InputError
from sensorium.families import bert, gpt2, llama
from sensorium.families.checkpoint import read_model
from sensorium.files import StrPath, disk_errors
from sensorium.objectives.causal import CausalObjective
from sensorium.objectives.masked import MaskedObjective
from sensorium.objectives.masking import Masking
from sensorium.training.export import export
from sensorium.training.folder import open_run
from sensorium.training.loop import Loop
from sensorium.training.optim import build_optimizers
from sensorium.training.recipe import Recipe, load_recipe
from sensorium.training.start import start
from sensorium.training.state import Progress, load_state

_LEAST_TOKENS = 64
"""Below this no batch is small enough to be worth naming."""


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    metrics: dict[str, float]
    """The last validation metrics."""
    steps: int
    tokens: int
    seconds: float


def train(
    corpus: Corpus | StrPath,
    *,
    recipe: Recipe | StrPath,
    out: StrPath,
    overrides: Sequence[str] = (),
    resume: bool = False,
    force: bool = False,
    init: StrPath | None = None,
    device: str = "auto",
    compile: bool = False,
    show_progress: bool | None = None,
) -> Run:
    """Pre-train a model.

    Args:
        corpus: what `prepare` made, or its folder.
        recipe: a recipe, its name, or a TOML file.
        out: the model folder to make.
        overrides: "section.key=value", on top of the recipe.
        resume: go on with a run of the same recipe and corpus; a new run starts if there is none. `optim` but for its
            kind, `schedule`, and the length and the intervals of `run` may be other than before.
        force: replace the model or the run that stands at `out`; other files there stay.
        init: start from the weights of this model folder, of the same size and vocabulary.
        device: "auto" takes a GPU if there is one.
        compile: compile the feed-forward networks with `torch.compile`.
        show_progress: None shows a bar if stderr is a terminal.

    Raises:
        InputError: an unknown recipe; `out` exists, or is not ours to replace; both `resume` and `force`.
        ConfigError: a wrong key or value in the recipe.
        DataError: the corpus is smaller than one batch.
        CheckpointError: `init` or the state to resume does not fit.
        TrainingError: the loss is not finite; the run was interrupted.
        DiskError: the disk is full or may not be written.
    """
    if resume and force:
        raise InputError("--resume goes on with a run, --force replaces it", where=str(out), fix="Choose one of them")
    given = [overrides] if isinstance(overrides, str) else overrides
    chosen = recipe if isinstance(recipe, Recipe) else load_recipe(recipe, given)
    corpus = corpus if isinstance(corpus, Corpus) else Corpus.open(corpus)
    out = Path(out)
    target = _device(device)
    objective = _objective(chosen, corpus)
    _enough(chosen, corpus)
    torch.manual_seed(chosen.run.seed)
    model = _model(chosen, corpus, init).to(target)
    model.stack.gradient_checkpointing = chosen.run.gradient_checkpointing
    if compile:
        for block in model.stack.blocks:
            block.get_submodule("feedforward").compile(dynamic=True)
    optimizers = build_optimizers(model, chosen.optim)
    state = open_run(out, chosen, corpus, resume=resume, force=force)
    at = Progress() if state is None else load_state(state, model, optimizers, target)
    loop = Loop(
        recipe=chosen,
        model=model,
        optimizers=optimizers,
        objective=objective,
        train=corpus.train,
        validation=corpus.validation,
        folder=out / "run",
        device=target,
        at=at,
    )
    with disk_errors(out):
        metrics = loop.run(show_progress=show_progress)
        export(out, model.eval(), corpus, chosen, metrics, at)
    return Run(out, metrics, at.step, at.tokens, at.seconds)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {name!r} cannot be used: {error}", fix="Try --device cpu") from error
    return device


def _objective(recipe: Recipe, corpus: Corpus) -> CausalObjective | MaskedObjective:
    kind = recipe.objective
    if kind.kind == "causal":
        return CausalObjective(corpus.tokenizer, seq_len=recipe.batch.seq_len)
    masking = Masking.of(corpus.tokenizer, rate=kind.mask_rate, unit=kind.masking)
    return MaskedObjective(corpus.tokenizer, seq_len=recipe.batch.seq_len, masking=masking, pairs=kind.pairs)


def _enough(recipe: Recipe, corpus: Corpus) -> None:
    tokens, wanted = corpus.train.n_tokens, recipe.batch.tokens
    if tokens < wanted:
        smaller = (
            f", or try --set batch.tokens={tokens // 4} --set batch.seq_len={min(recipe.batch.seq_len, tokens // 4)}"
        )
        raise DataError(
            f"the training text has {tokens} tokens, one batch takes {wanted}",
            where=str(corpus.folder),
            fix=f"Prepare more text{smaller if tokens >= _LEAST_TOKENS else ''}",
        )
    if recipe.objective.pairs == "next" and len(corpus.train) < 2:
        raise DataError(
            "next-sentence pairs need at least two documents, the training text has one",
            where=str(corpus.folder),
            fix="Prepare more documents, or use --set objective.pairs=order",
        )


def _model(recipe: Recipe, corpus: Corpus, init: StrPath | None) -> Transformer:
    config = model_config(recipe, corpus.tokenizer.vocab_size)
    if init is None:
        model = build(config)
        start(model, corpus.train)
        return model
    loaded = read_model(init).model
    if loaded.config.stack.embed.vocab_size != config.stack.embed.vocab_size:
        raise CheckpointError(
            f"the model's vocabulary has {loaded.config.stack.embed.vocab_size} tokens, the corpus's "
            f"{config.stack.embed.vocab_size}",
            where=str(init),
            fix=f"Prepare the corpus with --tokenizer {init}",
        )
    if loaded.config != config:
        raise CheckpointError(
            "the model is not of the recipe's size and kind",
            where=str(init),
            fix="Set [model] to the model's own numbers",
        )
    return loaded


def model_config(recipe: Recipe, vocab_size: int) -> ModelConfig:
    """The model that a recipe describes, for a vocabulary."""
    model = recipe.model
    shared: dict[str, Any] = {
        "vocab_size": vocab_size,
        "dim": model.dim,
        "layers": model.layers,
        "heads": model.heads,
        "feedforward": model.feedforward,
        "context": model.context,
        "dropout": model.dropout,
    }
    match model.family:
        case "llama":
            return llama.sized(**shared, kv_heads=model.kv_heads)
        case "gpt2":
            return gpt2.sized(**shared, embed_dropout=model.dropout, attention_dropout=model.dropout)
        case "bert":
            pair = recipe.objective.pairs != "none"
            return bert.sized(**shared, attention_dropout=model.dropout, pooler=pair, pair=pair)
