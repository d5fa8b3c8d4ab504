"""`sensorium train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sensorium.cli.options import columns_of
from sensorium.cli.printing import print_json


def train(
    corpus: Annotated[
        Path, typer.Argument(help="A folder that `sensorium prepare` made, or a file of questions, labels or tags.")
    ],
    recipe: Annotated[str, typer.Option(help="A recipe's name (see `sensorium recipes`) or a TOML file.")],
    out: Annotated[Path, typer.Option(help="The model folder to make.")],
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="section.key=value on top of the recipe; may be repeated.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the model or the run that stands at --out.")] = False,
    init: Annotated[str | None, typer.Option(help="Start from this model, of any size.")] = None,
    validation_data: Annotated[
        Path | None, typer.Option(help="Questions, labels or tags to measure by; else a share is held out.")
    ] = None,
    columns: Annotated[str | None, typer.Option(help="Columns with unusual names, e.g. text=body,label=stars.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    compile: Annotated[bool, typer.Option("--compile", help="Compile the blocks.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train a model on a corpus, or a given one on questions, labelled texts or tagged sentences."""
    from sensorium.training.train import train as run

    done = run(
        corpus,
        recipe=recipe,
        out=out,
        overrides=overrides or (),
        resume=resume,
        force=force,
        init=init,
        validation=validation_data,
        columns=columns_of(columns, example="text=body,label=stars"),
        device=device,
        compile=compile,
    )
    if json:
        print_json(done)
        return
    for name, value in done.metrics.items():
        typer.echo(f"{name.replace('_', ' '):>18}: {value:.4f}")
    for note in done.notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"{done.tokens:,} tokens in {done.steps:,} steps, {done.seconds / 60:.1f} minutes; model at {out}")
