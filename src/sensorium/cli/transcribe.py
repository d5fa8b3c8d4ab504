"""`sensorium transcribe`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from sensorium.cli.options import DeviceOption, EngineOption, open_model
from sensorium.cli.printing import print_json

if TYPE_CHECKING:
    from sensorium.results import Transcription
    from sensorium.tasks.transcribe_wish import SpeechTask, TranscribeOptions

_WHISPERS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""The temperatures that Whisper's authors use."""


def transcribe(
    model: Annotated[str, typer.Argument(help="The folder of a model of speech: Whisper.")],
    sound: Annotated[list[Path], typer.Argument(help="Sound files of any format.")],
    language: Annotated[str | None, typer.Option(help="Of the sounds, e.g. en; detected by default.")] = None,
    task: Annotated[str, typer.Option(help="transcribe, or translate: into English.")] = "transcribe",
    timestamps: Annotated[bool, typer.Option("--timestamps", help="Print the time of each segment.")] = False,
    format: Annotated[str, typer.Option(help="text, srt, vtt or json.")] = "text",
    beams: Annotated[int | None, typer.Option(help="Texts followed at once; what the model says by default.")] = None,
    condition: Annotated[
        bool, typer.Option("--condition", help="Let each window's text go on from that before it.")
    ] = False,
    fallback: Annotated[
        bool, typer.Option("--fallback", help="Draw anew, ever more freely, what repeats itself or is unlikely.")
    ] = False,
    max_new_tokens: Annotated[int | None, typer.Option(help="The most tokens of a window's text.")] = None,
    max_seconds: Annotated[float, typer.Option(help="Longer sounds are refused.")] = 3600.0,
    seed: Annotated[int, typer.Option(help="Of what is drawn.")] = 0,
    engine: EngineOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Write down what is said in sound files."""
    from sensorium.errors import InputError, unknown

    formats = ("text", "srt", "vtt", "json")
    if format not in formats:
        raise InputError(unknown("--format", format, formats))
    if len(sound) > 1 and format in ("srt", "vtt"):
        raise InputError(f"{len(sound)} sounds do not fit into one .{format} file", fix="Give one sound at a time")
    options: TranscribeOptions = {
        "language": language,
        "task": cast("SpeechTask", task),
        "timestamps": timestamps or format in ("srt", "vtt"),
        "beams": beams,
        "condition": condition,
        "temperatures": _WHISPERS if fallback else (0.0,),
        "max_new_tokens": max_new_tokens,
        "seed": seed,
    }
    lm = open_model(model, engine, device)
    for path in sound:
        found = lm.transcribe(path, max_seconds=max_seconds, **options)
        if len(sound) > 1 and format == "text":
            typer.echo(f"{path}:")
        _print(found, format, timestamps=timestamps)


def _print(found: Transcription, format: str, *, timestamps: bool) -> None:
    from sensorium.tasks.subtitles import clock, srt, vtt

    if format == "json":
        print_json(found)
    elif format == "text" and timestamps:
        for segment in found.segments:
            typer.echo(f"[{clock(segment.start)} --> {clock(segment.end)}] {segment.text}")
    elif format == "text":
        typer.echo(found.text)
    else:
        typer.echo((srt if format == "srt" else vtt)(found), nl=False)
