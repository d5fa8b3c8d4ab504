"""`train`: a corpus and a recipe to a Hugging Face folder.

out/                 the model: stock `transformers` opens it
  run/               the run: recipe, metrics, loss curve, states to resume from
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from sensorium.core.attention import Attention
from sensorium.core.model import Transformer, stacks
from sensorium.errors import InputError
from sensorium.families.checkpoint import LoadedModel
from sensorium.files import StrPath, disk_errors, write_json
from sensorium.objectives.objective import AnyObjective
from sensorium.training.devices import device_of
from sensorium.training.export import export
from sensorium.training.folder import open_run
from sensorium.training.given import Given
from sensorium.training.heads import build_head_objective
from sensorium.training.init import fit, open_init
from sensorium.training.labelled import open_labelled
from sensorium.training.loop import Loop
from sensorium.training.mixture import Mixed
from sensorium.training.model import build_model
from sensorium.training.objective import build_objective, left_out
from sensorium.training.optim import build_optimizers
from sensorium.training.recipe import Recipe, load_recipe
from sensorium.training.source import Data, Source, check_enough, open_source
from sensorium.training.state import Progress, load_state


@dataclass(frozen=True)
class Run:
    """A finished run."""

    folder: Path
    metrics: dict[str, float]
    """The last validation metrics."""
    steps: int
    tokens: int
    seconds: float
    notes: tuple[str, ...] = ()
    """What a reader should know: what of a given model is new, what of the data could not be used."""


@dataclass(frozen=True)
class _Work:
    """What a run is made of."""

    recipe: Recipe
    source: Source
    objective: AnyObjective
    model: Callable[[], Transformer]
    """Draws fresh weights with PyTorch's global generator."""
    notes: tuple[str, ...] = ()
    like: LoadedModel | None = None
    """The model whose special tokens and settings for generation are kept."""


def train(
    corpus: Data,
    *,
    recipe: Recipe | StrPath,
    out: StrPath,
    overrides: Sequence[str] = (),
    resume: bool = False,
    force: bool = False,
    init: StrPath | None = None,
    validation: StrPath | None = None,
    columns: Mapping[str, str] | None = None,
    device: str = "auto",
    compile: bool = False,
    show_progress: bool | None = None,
) -> Run:
    """Train a model: from scratch on a corpus, or one that is given on labelled examples.

    Args:
        corpus: what `prepare` made, or its folder; several of one tokenizer, each with its share of the tokens,
            {"books": 0.7, "web": 0.3}, or a list of them, mixed by their sizes; questions, labelled texts or tagged
            sentences, as a file or as a folder of `train` and `validation` files, for the objectives that learn from
            them.
        recipe: a recipe, its name, or a TOML file.
        out: the model folder to make.
        overrides: "section.key=value", on top of the recipe.
        resume: go on with a run of the same recipe and corpus; a new run starts if there is none. `optim` but for its
            kind, `schedule`, and the length and the intervals of `run` may be other than before.
        force: replace the model or the run that stands at `out`; other files there stay.
        init: start from the weights of this model, of any size: `[model]` of the recipe gives way to its numbers. A
            corpus must have been prepared with its tokenizer; labelled examples take an encoder.
        validation: labelled examples to measure by; without them a share of the data is held out.
        columns: names of a table's columns, where they are not the usual ones: {"text": "body", "label": "stars"}.
        device: "auto" takes a GPU if there is one.
        compile: compile the blocks with `torch.compile`.
        show_progress: None shows a bar if stderr is a terminal.

    Raises:
        InputError: an unknown recipe; `out` exists, or is not ours to replace; both `resume` and `force`; corpora that
            do not go together.
        ConfigError: a wrong key or value in the recipe; a weight that is not above 0.
        DataError: the corpus is smaller than one batch, or labelled examples cannot be used.
        CapabilityError: `init` has not what the recipe trains.
        CheckpointError: `init` or the state to resume does not fit.
        TrainingError: the loss is not finite; the run was interrupted.
        DiskError: the disk is full or may not be written.
    """
    if resume and force:
        raise InputError("--resume goes on with a run, --force replaces it", where=str(out), fix="Choose one of them")
    given = [overrides] if isinstance(overrides, str) else overrides
    chosen = recipe if isinstance(recipe, Recipe) else load_recipe(recipe, given)
    out = Path(out)
    target = device_of(device)
    work = _work(corpus, chosen, given, init, validation, columns)
    chosen, source = work.recipe, work.source
    torch.manual_seed(chosen.run.seed)
    model = work.model().to(target)
    _prepare(model, chosen, compile=compile)
    optimizers = build_optimizers(model, chosen.optim)
    state = open_run(out, chosen, source.fingerprint, resume=resume, force=force)
    at = Progress() if state is None else load_state(state, model, optimizers, target)
    loop = Loop(
        recipe=chosen,
        model=model,
        optimizers=optimizers,
        objective=work.objective,
        train=source.train,
        validation=source.validation,
        folder=out / "run",
        device=target,
        at=at,
    )
    done = () if loop.share() < 1.0 else (f"the run was done at step {at.step}: to go on, raise where it ends",)
    with disk_errors(out):
        if not chosen.sized:  # a corpus keeps its manifest itself
            write_json(out / "run" / "data.json", source.manifest)
        metrics = loop.run(show_progress=show_progress)
        mixed = source.tell(at.passed, [place[-1] for place in at.places]) if isinstance(source, Mixed) else ()
        export(out, model.eval(), source, chosen, metrics, at, like=work.like)
    return Run(out, metrics, at.step, at.tokens, at.seconds, (*work.notes, *mixed, *done))


def _work(
    data: Data,
    recipe: Recipe,
    overrides: Sequence[str],
    init: StrPath | None,
    validation: StrPath | None,
    columns: Mapping[str, str] | None,
) -> _Work:
    if recipe.sized:
        if validation is not None or columns is not None:
            raise InputError(
                f"objective.kind={recipe.objective.kind!r} learns from a corpus: `prepare` held text out of it, and "
                "chose its columns",
                fix="Leave out the validation data and the columns",
            )
        source = open_source(data, recipe)
        loaded = None if init is None else open_init(init, recipe, source)
        if loaded is not None:
            recipe = fit(recipe, loaded, overrides, init or "")
        objective = build_objective(recipe, source, loaded)
        check_enough(recipe, source)
        return _Work(
            recipe,
            source,
            objective,
            lambda: build_model(recipe, source) if loaded is None else loaded.model,
            left_out(recipe, objective, source.train),
            loaded,
        )
    if isinstance(data, Mapping | Sequence) and not isinstance(data, str):
        raise InputError(
            f"objective.kind={recipe.objective.kind!r} learns from one file or folder, not from several",
            fix="Put the examples together in one",
        )
    given = Given.open(init, recipe)
    fitted = given.fit(recipe)
    labelled = open_labelled(data, fitted, given.tokenizer, validation=validation, columns=columns)
    return _Work(
        fitted,
        labelled,
        build_head_objective(fitted, labelled),
        lambda: given.with_head(labelled.task),
        (*given.notes(recipe, labelled.task), *labelled.notes),
    )


def _prepare(model: Transformer, recipe: Recipe, *, compile: bool) -> None:
    """What is set in all stacks of a model before it is trained."""
    for stack in stacks(model).values():
        stack.gradient_checkpointing = recipe.run.gradient_checkpointing
        for block in stack.blocks if compile else ():
            for module in block.modules():
                if isinstance(module, Attention):
                    module.prepare_for_graphs()
            block.compile(dynamic=True)
