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


def texts_of(text: str | None) -> list[str]:
    """The text given, or the lines of stdin.

    Raises:
        InputError: neither is there.
    """
    if text is not None and text != "-":
        return [text]
    if text is None and sys.stdin.isatty():
        raise InputError("no text given", fix="Give a text, or lines on standard input")
    lines = [line.rstrip("\n") for line in sys.stdin if line.strip()]
    if not lines:
        raise InputError("no text given", fix="Give a text, or lines on standard input")
    return lines
