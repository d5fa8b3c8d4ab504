"""What the verbs share in printing: JSON on stdout, and lines of text read from the arguments or from stdin."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

import typer

from sensorium.errors import InputError


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    typer.echo(json.dumps(value, ensure_ascii=False, default=_plain))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return str(value)


def text_of_stdin() -> str:
    """Everything on standard input.

    Raises:
        InputError: it is not UTF-8.
    """
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError("not valid UTF-8", where="standard input", fix="Convert it to UTF-8 first") from error


def texts_of(text: str | None) -> list[str]:
    """The text given, or the lines of stdin.

    Raises:
        InputError: neither is there, or stdin is not UTF-8.
    """
    if text is not None and text != "-":
        return [text]
    if text is None and sys.stdin.isatty():
        raise InputError("no text given", fix="Give a text, or lines on standard input")
    lines = [line for line in text_of_stdin().splitlines() if line.strip()]
    if not lines:
        raise InputError("no text given", fix="Give a text, or lines on standard input")
    return lines
