"""`sensorium chat`: on a terminal a conversation, otherwise one question and its answer.

A line `/image PATH` shows the next message's picture; `/new` begins again; `/exit`, or the end of the input, leaves.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sensorium.cli.options import DeviceOption, EngineOption, open_model
from sensorium.cli.printing import print_json, text_of_stdin

if TYPE_CHECKING:
    from sensorium.tasks.model import LanguageModel

_Options = dict[str, Any]


def chat(
    model: Annotated[str, typer.Argument(help="A model folder or a .gguf file of a model that chats.")],
    text: Annotated[str | None, typer.Argument(help="What to say; without it, a conversation or stdin.")] = None,
    image: Annotated[list[Path] | None, typer.Option(help="A picture to show with it; may be repeated.")] = None,
    system: Annotated[str | None, typer.Option(help="What the model is told before all else.")] = None,
    max_new_tokens: Annotated[int, typer.Option(help="The most tokens of an answer.")] = 256,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy; higher is more varied.")] = None,
    top_k: Annotated[int | None, typer.Option(help="Draw from the k likeliest.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Draw from the likeliest that make up this share.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="Stop before this text; may be repeated.")] = None,
    seed: Annotated[int | None, typer.Option(help="Makes drawing repeatable.")] = None,
    engine: EngineOption = None,
    device: DeviceOption = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
) -> None:
    """Talk with a model, about pictures too if it sees."""
    from sensorium.errors import InputError

    options: _Options = {
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "stop": stop or (),
        "seed": seed,
    }
    start = [{"role": "system", "content": system}] if system is not None else []
    talks = text is None and sys.stdin.isatty()
    if talks and json:
        raise InputError("a conversation is not printed as JSON", fix="Give what to say")
    said = "" if talks else text_of_stdin().strip() if text is None or text == "-" else text
    if not talks and not said and not image:
        raise InputError("nothing is said", fix="Give a text, or write it on standard input")
    lm = open_model(model, engine, device)
    if talks:
        _converse(lm, start, image or [], options)
        return
    messages = [*start, _message(said, image or [])]
    if json:
        print_json(lm.chat(messages, **options))
    else:
        _answer(lm, messages, options)


def _converse(lm: LanguageModel, start: list[dict[str, Any]], images: list[Path], options: _Options) -> None:
    from sensorium.errors import SensoriumError

    messages, shown = list(start), list(images)
    typer.echo("/image PATH shows a picture, /new begins again, /exit leaves.", err=True)
    while True:
        try:
            line = input("> ").strip()
        except EOFError:
            typer.echo()
            return
        if line in ("/exit", "/quit"):
            return
        if line == "/new":
            messages, shown = list(start), []
        elif line.startswith("/image "):
            shown.append(Path(line.removeprefix("/image ").strip()).expanduser())
        elif line:
            try:
                asked = [*messages, _message(line, shown)]
                answer = _answer(lm, asked, options)
            except SensoriumError as error:  # a mistyped path does not end the conversation
                typer.echo(f"error: {error}", err=True)
                continue
            messages, shown = [*asked, {"role": "assistant", "content": answer}], []


def _message(text: str, images: list[Path]) -> dict[str, Any]:
    if not images:
        return {"role": "user", "content": text}
    parts: list[dict[str, Any]] = [{"type": "image", "image": str(path)} for path in images]
    return {"role": "user", "content": [*parts, {"type": "text", "text": text}] if text else parts}


def _answer(lm: LanguageModel, messages: list[dict[str, Any]], options: _Options) -> str:
    """Print an answer as it comes; the answer."""
    text = ""
    for chunk in lm.stream_chat(messages, **options):
        typer.echo(chunk.text, nl=False)
        text += chunk.text
    typer.echo()
    return text
