"""`sensorium align`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sensorium.cli.options import columns_of
from sensorium.cli.printing import print_json


def align(
    table: Annotated[Path, typer.Argument(help="CSV, TSV, JSONL or Parquet: texts, and paths of files, row by row.")],
    out: Annotated[Path, typer.Option(help="The model folder to make.")],
    recipe: Annotated[Path | None, typer.Option(help="A TOML file of settings; without it, the usual ones.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="section.key=value on top of the recipe; may be repeated.")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(help="The columns to read and their kinds, e.g. photo=image,caption=text.")
    ] = None,
    loss: Annotated[str | None, typer.Option(help="clip or siglip.")] = None,
    image_from: Annotated[Path | None, typer.Option(help="Start the pictures' tower from this ViT or CLIP.")] = None,
    text_from: Annotated[Path | None, typer.Option(help="Start the texts' tower from this BERT or CLIP.")] = None,
    validation: Annotated[Path | None, typer.Option(help="A table to measure by; else rows are held out.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the model or the run that stands at --out.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Align pictures, texts, sounds and clips in one space, by what stands in the rows of a table."""
    from sensorium.training.align import align as run

    done = run(
        table,
        out=out,
        recipe=recipe,
        overrides=overrides or (),
        columns=columns_of(columns, example="photo=image,caption=text"),
        loss=loss,
        image_from=image_from,
        text_from=text_from,
        validation=validation,
        resume=resume,
        force=force,
        device=device,
    )
    if json:
        print_json(done)
        return
    for name, value in done.metrics.items():
        typer.echo(f"{name.replace('_', ' '):>28}: {value:.4f}")
    for note in done.notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"{done.tokens:,} rows in {done.steps:,} steps, {done.seconds / 60:.1f} minutes; model at {out}")
