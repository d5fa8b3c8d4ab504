"""The end of a run: a Hugging Face folder with its tokenizer, model card, provenance and fixtures.

All is written to a folder aside, then moved into place, config.json last: before that nobody takes the folder for a
model.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from sensorium import __version__
from sensorium.core.count import parameters
from sensorium.core.encoder_decoder import EncoderDecoder
from sensorium.core.model import Transformer, stacks
from sensorium.data.corpus import ParallelCorpus
from sensorium.data.shards import SPLITS
from sensorium.data.tokens.tokenizer import Kind
from sensorium.families.checkpoint import LoadedModel, write_model
from sensorium.files import disk_errors, read_json, write_json, write_text
from sensorium.inference.fixtures import write_fixtures
from sensorium.training.card import card
from sensorium.training.recipe import Recipe
from sensorium.training.source import Source
from sensorium.training.special import special_ids
from sensorium.training.state import Progress

_LISTED = 100
"""The most text files that a model names as its source."""
_TOLD = ("directions", "held_out", "examples", "labels", "mixture")
"""Of the manifest, where it has it."""
_BEAMS = 4


def export(
    out: Path,
    model: Transformer,
    source: Source,
    recipe: Recipe,
    metrics: dict[str, float],
    at: Progress,
    *,
    like: LoadedModel | None = None,
) -> None:
    """Write the model of a finished run.

    Args:
        out: the folder of the run.
        model: what to write.
        source: what it learned from.
        recipe: how.
        metrics: how well.
        at: how long.
        like: the model that it was, whose special tokens and settings for generation it keeps.

    Raises:
        DiskError: the disk is full or may not be written.
    """
    part = out / "run" / "export.part"
    with disk_errors(out):
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir(parents=True)
            _write_model(part, model, source, recipe, like)
            provenance = _provenance(model, source, recipe, metrics, at)
            write_json(part / "sensorium.json", provenance)
            write_text(part / "README.md", card(out.resolve().name, model.config, provenance))
            write_fixtures(part)
            (out / "config.json").unlink(missing_ok=True)
            for name in sorted((path.name for path in part.iterdir()), key=lambda name: name == "config.json"):
                os.replace(part / name, out / name)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _write_model(part: Path, model: Transformer, source: Source, recipe: Recipe, like: LoadedModel | None) -> None:
    write_model(part, model, special=special_ids(source.tokenizer) if like is None else None, like=like)
    stack = list(stacks(model).values())[-1].config
    two = isinstance(model, EncoderDecoder)
    kind: Kind = "seq2seq" if two else "decoder" if stack.causal else "encoder"
    context = stack.context or (recipe.model.context if recipe.model is not None else None)
    # A given tokenizer has its special tokens in place.
    source.tokenizer.save(
        part, kind=kind if recipe.sized else None, context=context, types=not two and stack.embed.n_types > 1
    )
    if two and like is None:
        _add(part / "generation_config.json", _generation(recipe, context))
        if stack.context is None:  # relative positions set no limit, so the model does not say what it was trained on
            _add(part / "config.json", {"n_positions": context})
    if isinstance(source, ParallelCorpus) and len(source.directions) == 1:
        languages = {f"{side}_lang": code for side, code in source.languages.items()}
        _add(part / "tokenizer_config.json", languages)


def _generation(recipe: Recipe, context: int | None) -> dict[str, Any]:
    """How stock `generate` is to write, unless it is told otherwise."""
    settings: dict[str, Any] = {} if context is None else {"max_length": context}
    return settings | ({"num_beams": _BEAMS} if recipe.objective.kind == "seq2seq" else {})


def _add(path: Path, settings: dict[str, Any]) -> None:
    write_json(path, {**read_json(path), **settings})


def _provenance(
    model: Transformer, source: Source, recipe: Recipe, metrics: dict[str, float], at: Progress
) -> dict[str, Any]:
    return {
        "sensorium": __version__,
        "parameters": parameters(model.config),
        "recipe": recipe.to_dict(),
        "metrics": metrics,
        "run": {"steps": at.step, "tokens": at.tokens, "seconds": round(at.seconds, 1)},
        "corpus": {
            "fingerprint": source.fingerprint,
            **{key: source.manifest[key] for key in _TOLD if key in source.manifest},
            "splits": {split: source.manifest["splits"][split] for split in SPLITS},
            "tokenizer": source.manifest["tokenizer"],
            "files": source.manifest["input"]["files"][:_LISTED],
            "n_files": len(source.manifest["input"]["files"]),
        },
    }
