"""`sensorium caption`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sensorium.cli.options import DeviceOption, EngineOption, open_model
from sensorium.cli.printing import print_json


def caption(
    model: Annotated[str, typer.Argument(help="The folder of a language model with eyes: LLaVA.")],
    picture: Annotated[list[Path], typer.Argument(help="Pictures of any format.")],
    prompt: Annotated[
        str | None, typer.Option(help="What is said after the picture; by default what the model was trained with.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(help="The most tokens of a caption.")] = 64,
    beams: Annotated[int, typer.Option(help="Texts followed at once; 1 takes the likeliest token each time.")] = 1,
    length_penalty: Annotated[float, typer.Option(help="Of beams: above 0 favours long texts.")] = 1.0,
    temperature: Annotated[float | None, typer.Option(help="Above 0 draws the words.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Draw from the k likeliest.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Draw from the likeliest that make up this share.")] = None,
    seed: Annotated[int | None, typer.Option(help="Makes drawing repeatable.")] = None,
    engine: EngineOption = None,
    device: DeviceOption = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print as JSON, a line a picture.")] = False,
) -> None:
    """Say what pictures show."""
    lm = open_model(model, engine, device)
    found = lm.caption(
        list(picture),
        prompt=prompt,
        max_new_tokens=max_new_tokens,
        beams=beams,
        length_penalty=length_penalty,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
    )
    for path, one in zip(picture, found, strict=True):
        if json:
            print_json(one)
            continue
        text = " ".join(one.text.splitlines())
        typer.echo(text if len(picture) == 1 else f"{path}: {text}")
