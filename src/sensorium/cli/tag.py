"""`sensorium tag`."""

from __future__ import annotations

from typing import Annotated

import typer

from sensorium.cli.options import DeviceOption, EngineOption, open_model
from sensorium.cli.printing import print_json, texts_of


def tag(
    model: Annotated[str, typer.Argument(help="The folder of a model that was trained on tags.")],
    text: Annotated[str | None, typer.Argument(help="A text; without it, lines of stdin.")] = None,
    words: Annotated[bool, typer.Option("--words", help="Print every word, also where tags mark entities.")] = False,
    engine: EngineOption = None,
    device: DeviceOption = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print as JSON, with places in the text.")] = False,
) -> None:
    """Tag the words of a text, or the names in it."""
    found = open_model(model, engine, device).tag(texts_of(text))
    if json:
        print_json(found)
        return
    for number, one in enumerate(found):
        if number:
            typer.echo()
        if one.entities and not words:
            for entity in one.entities:
                typer.echo(f"{entity.score:7.2%}  {entity.label:<12} {entity.text}")
        elif words or any(mark.label != "O" for mark in one.tags):
            for mark in one.tags:
                typer.echo(f"{mark.score:7.2%}  {mark.label:<12} {mark.word}")
