"""`sensorium classify`."""

from __future__ import annotations

from typing import Annotated

import typer

from sensorium.cli.options import DeviceOption, EngineOption, open_model
from sensorium.cli.printing import print_json, texts_of


def classify(
    model: Annotated[str, typer.Argument(help="The folder of a model that was trained on classes.")],
    text: Annotated[str | None, typer.Argument(help="A text; without it, lines of stdin.")] = None,
    pair: Annotated[str | None, typer.Option(help="The second text, for a model of pairs.")] = None,
    all: Annotated[bool, typer.Option("--all", help="Print every class, not the likeliest alone.")] = False,
    engine: EngineOption = None,
    device: DeviceOption = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print as JSON, with every class.")] = False,
) -> None:
    """Tell the class of a text."""
    texts = texts_of(text)
    found = open_model(model, engine, device).classify(texts, pair=None if pair is None else [pair] * len(texts))
    if json:
        print_json(found)
        return
    for given, one in zip(texts, found, strict=True):
        for label, score in one.scores.items() if all else [(one.label, one.score)]:
            typer.echo(f"{score:7.2%}  {label:<16} {given}")
