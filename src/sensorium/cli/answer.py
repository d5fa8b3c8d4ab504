"""`sensorium answer`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from sensorium.cli.options import DeviceOption, EngineOption, open_model
from sensorium.cli.printing import print_json, text_of_stdin, texts_of


def answer(
    model: Annotated[str, typer.Argument(help="The folder of a model that was trained on questions.")],
    context: Annotated[str, typer.Option(help="The text to answer from, a UTF-8 file of any length; - is stdin.")],
    question: Annotated[str | None, typer.Argument(help="A question; without it, lines of stdin.")] = None,
    top_k: Annotated[int, typer.Option(help="Answers a question.")] = 1,
    threshold: Annotated[
        float | None, typer.Option(help="Give no answer where it is likelier by more than this, e.g. 0.")
    ] = None,
    method: Annotated[str, typer.Option(help="extract, or generate by a model that writes text.")] = "extract",
    passages: Annotated[
        int | None, typer.Option(help="extract: passages of a long text to read; 10 by default, 0 reads all of it.")
    ] = None,
    rerank: Annotated[bool, typer.Option("--rerank", help="Rank passages by the model's own vectors too.")] = False,
    template: Annotated[
        str | None, typer.Option(help="generate: the prompt, with {context} and {question} in it.")
    ] = None,
    engine: EngineOption = None,
    device: DeviceOption = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print as JSON, with places and scores.")] = False,
) -> None:
    """Answer a question from a text."""
    from sensorium.errors import InputError

    if context == "-" and question is None:
        raise InputError("both the context and the questions would come from stdin", fix="Give the question")
    text = text_of_stdin() if context == "-" else _read(context)
    questions = texts_of(question)
    options: dict[str, Any] = {"method": method, "threshold": threshold, "rerank": rerank, "template": template}
    if passages is not None:
        # Of the API None is everything; what the other method has no use for, it refuses itself.
        options["passages"] = None if passages == 0 and method == "extract" else passages
    found = open_model(model, engine, device).answer(questions, context=text, top_k=top_k, **options)
    if json:
        print_json(found if question is None else found[0])
        return
    for number, answers in enumerate(found):
        if number and top_k > 1:
            typer.echo()
        for one in answers:
            typer.echo(f"{one.score:7.2%}  {' '.join(one.text.split()) or '(no answer)'}")


def _read(path: str) -> str:
    from sensorium.errors import InputError

    try:
        # Ends of lines stay as they are, so that the places of answers are those in the file.
        with open(path, encoding="utf-8-sig", newline="") as file:
            return file.read()
    except OSError as error:
        raise InputError(error.strerror or "cannot be read", where=path, fix="Name a text file, or -") from error
    except UnicodeDecodeError as error:
        raise InputError("not valid UTF-8", where=path, fix="Convert it to UTF-8 first") from error
