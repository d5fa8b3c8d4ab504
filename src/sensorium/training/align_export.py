"""The end of an alignment: its folder, with tokenizer, preprocessor, model card and provenance."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sensorium import __version__
from sensorium.core.count_senses import sense_parameters
from sensorium.core.tower import Aligned
from sensorium.data.decoded import Spec
from sensorium.data.sense_table import Kind
from sensorium.data.tokens.tokenizer import ROLES, Tokenizer
from sensorium.families.aligned import is_stock, write_aligned
from sensorium.files import read_json, write_json, write_text
from sensorium.modalities.pixels import ImageSpec
from sensorium.training.sense_runs import finished
from sensorium.training.state import Progress


@dataclass(frozen=True, kw_only=True, eq=False)
class AlignedFacts:
    """What a run knows of itself.

    Args:
        recipe: as JSON.
        metrics: the last ones.
        at: how long.
        specs: how the senses but texts were brought to one size.
        tokenizer, context: of the texts, and the longest of them.
        rows: learned from and held out.
        fingerprint: of the data.
        columns: their kinds.
        files: the tables, with their hashes.
    """

    recipe: dict[str, Any]
    metrics: dict[str, float]
    at: Progress
    specs: Mapping[Kind, Spec]
    tokenizer: Tokenizer | None
    context: int | None
    rows: dict[str, int]
    fingerprint: str
    columns: dict[str, Kind]
    files: list[dict[str, Any]]


def export_aligned(out: Path, model: Aligned, facts: AlignedFacts) -> None:
    """Write the model of a finished run.

    Raises:
        CheckpointError: no format holds one of the towers.
        DiskError: the disk is full or may not be written.
    """
    with finished(out) as part:
        _write(part, model, facts)
        told = _provenance(model, facts)
        write_json(part / "sensorium.json", told)
        write_text(part / "README.md", _card(out.resolve().name, model, facts, told))


def _write(part: Path, model: Aligned, facts: AlignedFacts) -> None:
    tokenizer, image = facts.tokenizer, facts.specs.get("image")
    write_aligned(
        part,
        model,
        special=None if tokenizer is None else {role: tokenizer.special_id(role) for role in ROLES},
        specs={kind: {"kind": kind, **dataclasses.asdict(spec)} for kind, spec in facts.specs.items()},
        preprocessor=image.to_dict() if isinstance(image, ImageSpec) else None,
    )
    if tokenizer is None:
        return
    place = part if is_stock(model.config) else part / "text"
    tokenizer.save(place, context=facts.context, types=False)
    if dict(model.config.towers)["text"].reads_padding:
        # A mask would keep stock `transformers` from reading the padding, which SigLIP learns to read.
        path = place / "tokenizer_config.json"
        write_json(path, {**read_json(path), "model_input_names": ["input_ids"]})


def _provenance(model: Aligned, facts: AlignedFacts) -> dict[str, Any]:
    return {
        "sensorium": __version__,
        "kind": "aligned",
        "parameters": sense_parameters(model.config),
        "recipe": facts.recipe,
        "metrics": facts.metrics,
        "run": {"steps": facts.at.step, "rows": facts.at.tokens, "seconds": round(facts.at.seconds, 1)},
        "data": {
            "fingerprint": facts.fingerprint, "rows": facts.rows, "columns": facts.columns, "files": facts.files,
        },
    }  # fmt: skip


def _card(name: str, model: Aligned, facts: AlignedFacts, told: dict[str, Any]) -> str:
    senses = [kind for kind, _ in model.config.towers]
    pair = set(senses) == {"image", "text"}
    numbers = "\n".join(f"| {key.replace('_', ' ')} | {value:.4f} |" for key, value in facts.metrics.items())
    call = (
        f'model = sm.load("{name}")\nmodel.classify(["photo.png"], labels=["a dog", "a cat"])'
        if pair
        else f'sm.load("{name}")  # .embed(...), .search(...)'
    )
    width = model.config.towers[0][1].width
    columns = ", ".join(f"{key} ({kind})" for key, kind in facts.columns.items())
    files = "\n".join(f"- `{f['path']}`, {f['bytes']:,} bytes, xxh3 `{f['xxh3_128']}`" for f in facts.files)
    stock = (
        "Stock `transformers` opens the folder too."
        if is_stock(model.config)
        else "Each tower is a folder of its own that stock `transformers` opens; `fusion.json` names them."
    )
    return f"""---
library_name: transformers
pipeline_tag: {"zero-shot-image-classification" if pair else "feature-extraction"}
---

# {name}

{facts.recipe["description"]}

{len(senses)} towers ({", ".join(senses)}) of {told["parameters"]:,} parameters in a space of {width}
numbers, aligned by Sensorium {__version__} with the {facts.recipe["loss"]} loss: {facts.at.tokens:,} rows in
{facts.at.step:,} steps.

## Use

```python
import sensorium as sm
{call}
```

{stock}

## {"Validation" if facts.rows["validation"] else "Training loss"}

| metric | value |
|---|---|
{numbers}

Recall at k is the share of queries whose partner is among the k nearest of all held-out rows
({facts.rows["validation"]:,}); accuracy is among one batch.

## Data

{facts.rows["train"]:,} rows to learn from; columns: {columns}.
What the model finds alike reflects these rows.

{files}
"""
