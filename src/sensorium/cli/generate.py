"""`sensorium generate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sensorium.cli.options import DeviceOption, EngineOption, open_model
from sensorium.cli.printing import print_json

if TYPE_CHECKING:
    from sensorium.tasks.generate import GenerateOptions


def generate(
    model: Annotated[str, typer.Argument(help="A model folder, a .gguf file, or `default`.")],
    prompt: Annotated[str, typer.Argument(help="The text to continue.")],
    max_new_tokens: Annotated[int, typer.Option(help="The most tokens to add.")] = 64,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy; higher is more varied.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Sample from the k likeliest.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Sample from the likeliest that make up this share.")] = None,
    min_p: Annotated[float | None, typer.Option(help="Drop what is less likely than this share of the best.")] = None,
    repetition_penalty: Annotated[float, typer.Option(help="Above 1 avoids what was said.")] = 1.0,
    presence_penalty: Annotated[float, typer.Option(help="As in the OpenAI API.")] = 0.0,
    frequency_penalty: Annotated[float, typer.Option(help="As in the OpenAI API.")] = 0.0,
    stop: Annotated[list[str] | None, typer.Option(help="Stop before this text; may be repeated.")] = None,
    seed: Annotated[int | None, typer.Option(help="Makes sampling repeatable.")] = None,
    ignore_eos: Annotated[bool, typer.Option("--ignore-eos", help="Go on after the model's end token.")] = False,
    stream: Annotated[bool, typer.Option(help="Print the text as it comes.")] = True,
    engine: EngineOption = None,
    device: DeviceOption = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Continue a text."""
    lm = open_model(model, engine, device)
    options: GenerateOptions = {
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "presence_penalty": presence_penalty,
        "frequency_penalty": frequency_penalty,
        "stop": stop or (),
        "seed": seed,
        "ignore_eos": ignore_eos,
    }
    if json:
        print_json(lm.generate(prompt, **options))
    elif not stream:
        typer.echo(prompt + lm.generate(prompt, **options).text)
    else:
        chunks = lm.stream(prompt, **options)
        first = next(chunks)  # a bad request fails here, before anything is printed
        typer.echo(prompt + first.text, nl=False)
        for chunk in chunks:
            typer.echo(chunk.text, nl=False)
        typer.echo()
