"""The end of a fused run: all is written to a folder aside, then moved into place, `fusion.json` last.

Before that nobody takes the folder for a model.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from sensorium import __version__
from sensorium.files import disk_errors, write_json, write_text
from sensorium.training.fuse_folder import SETTINGS, Fused, write_fused


def export_fused(out: Path, fused: Fused, provenance: dict[str, Any]) -> None:
    """Write the model of a finished run.

    Args:
        out: the folder of the run.
        fused: what to write.
        provenance: recipe, metrics, rows; for `sensorium.json` and the card.

    Raises:
        DiskError: the disk is full or may not be written.
    """
    part = out / "run" / "export.part"
    with disk_errors(out):
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir(parents=True)
            write_fused(part, fused)
            facts = {
                "sensorium": __version__,
                "parameters": sum(parameter.numel() for parameter in fused.model.parameters()),
                **provenance,
            }
            write_json(part / "sensorium.json", facts)
            write_text(part / "README.md", fused_card(out.resolve().name, fused, facts))
            (out / SETTINGS).unlink(missing_ok=True)
            for name in sorted((path.name for path in part.iterdir()), key=lambda name: name == SETTINGS):
                if (out / name).is_dir():
                    shutil.rmtree(out / name)
                os.replace(part / name, out / name)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def fused_card(name: str, fused: Fused, facts: dict[str, Any]) -> str:
    """README.md of a fused model.

    Args:
        name: of the folder.
        fused: the model.
        facts: what its sensorium.json says.
    """
    rows, run, verdict = facts["rows"], facts["run"], fused.verdict
    columns = "\n".join(
        f"| {spec.sense.name} | {spec.sense.kind} | {', '.join(spec.sense.columns)} |" for spec in fused.specs
    )
    numbers = "\n".join(f"| {key.replace('_', ' ')} | {value:.4f} |" for key, value in facts["metrics"].items())
    tried = "\n".join(f"| {key} | {value:.4f} |" for key, value in facts["tried"].items())
    told = ", ".join(fused.target.names[:20]) + (" ..." if len(fused.target.names) > 20 else "")
    notes = "\n".join(f"- {note}" for note in facts["notes"])
    decided = f", decisions by {verdict.decision.kind}" if verdict.decision is not None else ""
    return f"""---
library_name: sensorium
---

# {name}

{facts["recipe"]["description"]} It tells `{fused.schema.label}` ({fused.target.problem}: {told}) from these modalities,
each of which may be missing:

| modality | kind | columns |
|---|---|---|
{columns}

{facts["parameters"]:,} parameters, trained by Sensorium {facts["sensorium"]} on {rows["train"]:,} rows in
{run["steps"]:,} steps. Answers are made at level `{verdict.level}`{decided}; temperature {verdict.temperature:.3f}.

## Use

```python
import sensorium as sm
sm.load("{name}").predict("new.csv")
```

The folder of each encoder is one that stock `transformers` opens.

## Measured

On {rows["validation"]:,} rows that were held out. The way to answer and the temperature were chosen on them too, and
{rows["calibration"]:,} more were held out to fit decisions to; rows that nobody has seen may fare a little worse.

| measure | value |
|---|---|
{numbers}

Validation loss of each way to answer that was tried:

| way | loss |
|---|---|
{tried}

## Data

{notes or "- nothing was left out"}
- fingerprint of the table: `{facts["fingerprint"]}`
"""
