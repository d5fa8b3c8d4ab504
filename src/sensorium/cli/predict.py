"""`sensorium predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sensorium.cli.options import DeviceOption


def predict(
    model: Annotated[str, typer.Argument(help="A folder that `sensorium fuse` made.")],
    table: Annotated[Path, typer.Argument(help="CSV, TSV, JSON Lines, JSON or Parquet; paths begin at its folder.")],
    out: Annotated[Path | None, typer.Option(help="The CSV to write; without it labels are printed.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file at --out.")] = False,
    device: DeviceOption = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print all predictions as JSON.")] = False,
) -> None:
    """Predict the label of every row of a table; what is missing in a row is done without."""
    from sensorium.errors import InputError
    from sensorium.files import refuse_existing
    from sensorium.tasks.fused import as_json, open_fused, write_predictions

    if out is not None:
        if out.is_dir():
            raise InputError("is a folder", where=str(out), fix="Name the file to write")
        refuse_existing(out, force=force)
    handle = open_fused(model, device=device)
    found = handle.predict_all(table)
    for note in found.notes:
        typer.echo(f"warning: {note}", err=True)
    for name, count in found.missing.items():
        typer.echo(f"warning: {count:,} of {len(found.rows):,} rows are without {name!r}", err=True)
    if found.empty:
        typer.echo(f"warning: {found.empty:,} rows hold nothing: they get the frequencies of training", err=True)
    if out is not None:
        write_predictions(out, found, handle.classes, handle.label)
    if json:
        typer.echo(as_json(found))
    elif out is not None:
        typer.echo(f"{len(found.rows):,} predictions at {out}")
    else:
        for row in found.rows:
            sure = f"\t{max(row.probabilities.values()):.3f}" if row.probabilities else ""
            label = "|".join(row.label) if isinstance(row.label, tuple) else row.label
            typer.echo(f"{label}{sure}")
