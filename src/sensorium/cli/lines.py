"""Lines of standard input or of a file, as they come."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sensorium.errors import InputError
from sensorium.files import read_errors

_CHUNK = 1 << 16


def lines_of(file: Path | None) -> Iterator[str]:
    """The lines of a file, or of standard input, without their ends; empty ones too.

    Standard input is read past Python's buffer: its lock would hold up the end of a program that stops while a thread
    waits for a line.

    Raises:
        InputError: there is no such file, or standard input is a terminal; while reading: what comes is no UTF-8.
    """
    if file is None and sys.stdin.isatty():
        raise InputError("no text given", fix="Give a text, lines on standard input, or --file")
    name = "standard input" if file is None else str(file)
    with read_errors(name):
        stdin: Any = sys.stdin.buffer
        stream: Any = stdin.raw if file is None else file.open("rb", buffering=0)
    return _decoded(stream, name)


def _decoded(stream: Any, name: str) -> Iterator[str]:
    with read_errors(name):
        for number, line in enumerate(_split(stream), 1):
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r")
            except UnicodeDecodeError as error:
                where = f"{name}, line {number}"
                raise InputError("not valid UTF-8", where=where, fix="Convert it to UTF-8 first") from error


def _split(stream: Any) -> Iterator[bytes]:
    rest = b""
    while chunk := stream.read(_CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    if rest:
        yield rest
