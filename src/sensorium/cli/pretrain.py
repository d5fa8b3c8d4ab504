"""`sensorium pretrain`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sensorium.cli.printing import print_json


def pretrain(
    data: Annotated[Path, typer.Argument(help="A folder of pictures, sounds or clips, or a table of their paths.")],
    out: Annotated[Path, typer.Option(help="The model folder to make.")],
    kind: Annotated[
        str | None, typer.Option(help="image, audio or video; what most of the files are, if not given.")
    ] = None,
    recipe: Annotated[Path | None, typer.Option(help="A TOML file of settings; without it, the usual ones.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="section.key=value on top of the recipe; may be repeated.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the model or the run that stands at --out.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Pre-train an encoder of pictures, sounds or clips without labels, by predicting hidden patches."""
    from sensorium.training.pretrain_senses import pretrain as run

    done = run(
        data, out=out, kind=kind, recipe=recipe, overrides=overrides or (), resume=resume, force=force, device=device
    )
    if json:
        print_json(done)
        return
    for name, value in done.metrics.items():
        typer.echo(f"{name.replace('_', ' '):>18}: {value:.4f}")
    for note in done.notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"{done.tokens:,} files in {done.steps:,} steps, {done.seconds / 60:.1f} minutes; model at {out}")
