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
from sensorium.core.model import Transformer
from sensorium.data.shards import SPLITS, Corpus
from sensorium.data.tokenizer import ROLES, Kind
from sensorium.families.checkpoint import write_model
from sensorium.files import disk_errors, write_json, write_text
from sensorium.inference.fixtures import write_fixtures
from sensorium.training.recipe import Recipe
from sensorium.training.state import Progress

_LISTED = 100
"""The most text files that a model names as its source."""


def export(
    out: Path, model: Transformer, corpus: Corpus, recipe: Recipe, metrics: dict[str, float], at: Progress
) -> None:
    """Write the model of a finished run.

    Raises:
        DiskError: the disk is full or may not be written.
    """
    part = out / "run" / "export.part"
    with disk_errors(out):
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir(parents=True)
            _write(part, out.resolve().name, model, corpus, recipe, metrics, at)
            (out / "config.json").unlink(missing_ok=True)
            for name in sorted((path.name for path in part.iterdir()), key=lambda name: name == "config.json"):
                os.replace(part / name, out / name)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _write(
    part: Path,
    name: str,
    model: Transformer,
    corpus: Corpus,
    recipe: Recipe,
    metrics: dict[str, float],
    at: Progress,
) -> None:
    special: dict[str, int | None] = {role: corpus.tokenizer.special_id(role) for role in ROLES}
    kind: Kind = "decoder" if model.config.stack.causal else "encoder"
    write_model(part, model, special=special)
    corpus.tokenizer.save(part, kind=kind, context=model.config.stack.context)
    provenance = _provenance(model, corpus, recipe, metrics, at)
    write_json(part / "sensorium.json", provenance)
    write_text(part / "README.md", _card(name, kind, provenance))
    write_fixtures(part)


def _provenance(
    model: Transformer, corpus: Corpus, recipe: Recipe, metrics: dict[str, float], at: Progress
) -> dict[str, Any]:
    return {
        "sensorium": __version__,
        "parameters": parameters(model.config),
        "recipe": recipe.to_dict(),
        "metrics": metrics,
        "run": {"steps": at.step, "tokens": at.tokens, "seconds": round(at.seconds, 1)},
        "corpus": {
            "fingerprint": corpus.fingerprint,
            "splits": {split: corpus.manifest["splits"][split] for split in SPLITS},
            "tokenizer": corpus.manifest["tokenizer"],
            "files": corpus.manifest["input"]["files"][:_LISTED],
            "n_files": len(corpus.manifest["input"]["files"]),
        },
    }


def _card(name: str, kind: Kind, facts: dict[str, Any]) -> str:
    recipe, splits, run = facts["recipe"], facts["corpus"]["splits"], facts["run"]
    model = recipe["model"]
    numbers = "\n".join(f"| {key.replace('_', ' ')} | {value:.4f} |" for key, value in facts["metrics"].items())
    files = "\n".join(f"- `{file['path']}`, {file['bytes']:,} bytes, xxh3 `{file['xxh3_128']}`"
                      for file in facts["corpus"]["files"])  # fmt: skip
    left_out = facts["corpus"]["n_files"] - len(facts["corpus"]["files"])
    if left_out:
        files += f"\n- and {left_out:,} more, which the corpus's manifest.json names"
    task = "fill-mask" if kind == "encoder" else "text-generation"
    call = 'fill_mask("This is a [MASK] example.")' if kind == "encoder" else 'generate("Once upon a time")'
    return f"""---
library_name: transformers
pipeline_tag: {task}
---

# {name}

{recipe["description"]}

A {model["family"]} {kind} of {facts["parameters"]:,} parameters ({model["layers"]} layers, width {model["dim"]},
{model["heads"]} heads, context {model["context"]}), trained by Sensorium {facts["sensorium"]} with the
{recipe["objective"]["kind"]} objective on {run["tokens"]:,} tokens in {run["steps"]:,} steps.

## Use

```python
import sensorium as sm
sm.load("{name}").{call}
```

Stock `transformers` opens the folder too.

## Training

| setting | value |
|---|---|
| optimiser | {_settings(recipe["optim"])} |
| schedule | {_settings(recipe["schedule"])} |
| batch | {_settings(recipe["batch"])} |
| seed | {recipe["run"]["seed"]} |

## {"Validation" if splits["validation"]["documents"] else "Training loss"}

| metric | value |
|---|---|
{numbers}

Losses are in nats a token. Validation text: {splits["validation"]["documents"]:,} documents held out by hash.

## Data

{splits["train"]["documents"]:,} documents, {splits["train"]["tokens"]:,} tokens, {splits["train"]["bytes"]:,} bytes of
training text, corpus `{facts["corpus"]["fingerprint"]}`.
What the model says reflects these texts; it was not tuned to be helpful or harmless.

{files}
"""


def _settings(section: dict[str, Any]) -> str:
    """A section of the recipe in a line: its kind, if it has one, then the rest."""
    rest = ", ".join(f"{key} {value}" for key, value in section.items() if key != "kind")
    return f"{section['kind']}, {rest}" if "kind" in section else rest
