"""`sensorium fill`."""

from __future__ import annotations

from typing import Annotated

import typer

from sensorium.cli.options import DeviceOption, EngineOption, open_model
from sensorium.cli.printing import print_json, texts_of


def fill(
    model: Annotated[str, typer.Argument(help="A model folder, or `default`.")],
    text: Annotated[str | None, typer.Argument(help="A text with masks; without it, lines of stdin.")] = None,
    top_k: Annotated[int, typer.Option(help="Candidates for each mask.")] = 5,
    targets: Annotated[str | None, typer.Option(help="Only these words, separated by commas.")] = None,
    engine: EngineOption = None,
    device: DeviceOption = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Fill the masks of a text."""
    texts = texts_of(text)
    chosen = [target.strip() for target in targets.split(",")] if targets else None
    found = open_model(model, engine, device).fill_mask(texts, top_k=top_k, targets=chosen)
    if json:
        print_json(found)
        return
    for number, candidates in enumerate(found):
        if number:
            typer.echo()
        several = candidates[-1].mask > 0
        for place, candidate in enumerate(candidates):
            if several and (place == 0 or candidate.mask != candidates[place - 1].mask):
                typer.echo(f"mask {candidate.mask + 1}")
            typer.echo(f"{candidate.score:7.2%}  {candidate.token or '␣':<16} {candidate.text}")
