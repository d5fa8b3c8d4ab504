"""Where a picture, a sound or a clip comes from: a file's path, or its bytes.

Unusual: only regular files are opened, so that a pipe or a device cannot hang a run; and errors name bytes by their
count, since they have no path.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from sensorium.errors import DataError, InputError
from sensorium.files import StrPath, read_errors, refuse_impossible

Opened = io.BufferedReader | io.BytesIO


def where(source: StrPath | bytes) -> str:
    """What an error calls a source."""
    return f"<{len(source):,} bytes>" if isinstance(source, bytes) else os.fspath(source)


@contextmanager
def opened(source: StrPath | bytes) -> Iterator[Opened]:
    """A source as a binary file at its beginning.

    Raises:
        InputError: there is no such file, it may not be read, or it is not a regular file.
        DataError: it is empty.
    """
    if isinstance(source, bytes):
        if not source:
            raise DataError("there are no bytes in it", where=where(source), fix="Give the bytes of a whole file")
        yield io.BytesIO(source)
        return
    refuse_impossible(source)
    with read_errors(source):
        status = os.stat(source)
        if stat.S_ISDIR(status.st_mode):
            raise InputError("this is a folder", where=where(source), fix="Name a file in it")
        if not stat.S_ISREG(status.st_mode):
            raise InputError("not a regular file", where=where(source), fix="Copy what it gives to a file")
        file = open(source, "rb")  # noqa: SIM115 (closed below, outside of what turns errors of the path)
    with file:
        if not status.st_size:
            raise DataError("the file is empty", where=where(source), fix="Copy it anew")
        yield file
