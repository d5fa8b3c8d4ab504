"""`sensorium train`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from sensorium.cli.options import columns_of
from sensorium.cli.printing import print_json


def train(
    corpus: Annotated[
        list[str],
        typer.Argument(
            help="A folder that `sensorium prepare` made, or several with their shares (books=0.7 web=0.3); "
            "or a file of questions, labels or tags."
        ),
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
        corpora(corpus),
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


def corpora(words: Sequence[str]) -> str | list[str] | dict[str, float]:
    """What to learn from: one, several, or several with their shares.

    Raises:
        InputError: some have a share and others none, a share is no number, or a folder comes twice.
    """
    from sensorium.errors import InputError

    parts = [(word, "", "") if Path(word).exists() else word.rpartition("=") for word in words]
    parts = [(name, equals, value) if equals else (name or value, "", "") for name, equals, value in parts]
    names = [name for name, _, _ in parts]
    if not any(equals for _, equals, _ in parts):
        return names[0] if len(names) == 1 else names
    example = f"Write for example: {names[0]}=0.7 {names[1] if len(names) > 1 else 'CORPUS'}=0.3"
    if not all(equals for _, equals, _ in parts):
        raise InputError("some corpora have a share and others have none", fix=example)
    if len(set(names)) < len(names):
        raise InputError("a corpus is given twice", fix=example)
    weights = dict[str, float]()
    for name, _, value in parts:
        try:
            weights[name] = float(value)
        except ValueError as error:
            raise InputError(f"{value!r} is no share of {name}", fix=example) from error
    return weights
