"""`sensorium give-eyes`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sensorium.cli.options import columns_of
from sensorium.cli.printing import print_json


def give_eyes(
    language: Annotated[str, typer.Argument(help="A decoder like Llama: a folder, a .gguf file, or default:decoder.")],
    pairs: Annotated[Path, typer.Argument(help="A table with a column of pictures and one of texts.")],
    out: Annotated[Path, typer.Option(help="The model folder to make.")],
    vision: Annotated[
        str | None, typer.Option(help="A ViT, a CLIP, a SigLIP, or what `sensorium align` made; else a new tower.")
    ] = None,
    recipe: Annotated[Path | None, typer.Option(help="A TOML file of settings that are not the defaults.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="section.key=value on top of them; may be repeated.")
    ] = None,
    validation_data: Annotated[
        Path | None, typer.Option(help="Such a table to measure by; else a share of the pictures is held out.")
    ] = None,
    columns: Annotated[str | None, typer.Option(help="Columns with unusual names: image=file,caption=title.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the model or the run that stands at --out.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Teach a language model to see: a LLaVA of a decoder, a tower of pictures and captions."""
    from sensorium.training.caption import give_eyes as run

    done = run(
        language,
        pairs,
        out=out,
        vision=vision,
        recipe=recipe,
        overrides=overrides or (),
        validation=validation_data,
        columns=columns_of(columns, example="image=file,caption=title"),
        resume=resume,
        force=force,
        device=device,
    )
    if json:
        print_json(done)
        return
    for name, value in done.metrics.items():
        typer.echo(f"{name.replace('_', ' '):>18}: {value:.4f}")
    for note in done.notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"{done.tokens:,} tokens in {done.steps:,} steps, {done.seconds / 60:.1f} minutes; model at {out}")
