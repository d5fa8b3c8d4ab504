"""`sensorium recipes`."""

from __future__ import annotations

from typing import Annotated

import typer

from sensorium.cli.printing import print_json


def recipes(json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False) -> None:
    """List the recipes that come with the package."""
    from sensorium.training.recipe import list_recipes

    known = list_recipes()
    if json:
        print_json(known)
        return
    for name, description in known.items():
        typer.echo(f"{name:<16} {description}")
