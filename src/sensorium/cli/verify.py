"""`sensorium verify`."""

from __future__ import annotations

from typing import Annotated

import typer

from sensorium.cli.printing import print_json


def verify(
    folder: Annotated[str, typer.Argument(help="A model folder, or `default`.")],
    engine: Annotated[str, typer.Option(help="native or transformers.")] = "native",
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Check that a saved model computes what it computed when it was saved."""
    from sensorium.errors import InputError
    from sensorium.inference.fixtures import verify as run

    if engine not in ("native", "transformers"):
        raise InputError(f"unknown engine {engine!r}", fix="Use native or transformers")
    found = run(folder, engine="native" if engine == "native" else "transformers")
    if json:
        print_json(found)
    else:
        for check in found.checks:
            typer.echo(f"{'ok  ' if check.passed else 'FAIL'} {check.name}: {check.detail}")
    if not found.passed:
        raise typer.Exit(1)
