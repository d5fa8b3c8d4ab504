"""Where files stand: on a disk, or wherever `fsspec` reaches (S3, HDFS, memory); opened, and stamped to see changes.

Nothing but regular files is opened: a pipe would block for ever, a device never end.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast

from sensorium.data.reading.streams import File
from sensorium.errors import DataError, InputError, require
from sensorium.files import StrPath

FIX = "Mend or remove it, or run without --strict to skip it"
STANDARD_INPUT = Path("-")
_LOCAL = ("file://", "local://")


class UnreadableError(DataError):
    """A file cannot be read to its end, or changed meanwhile: what was given of it is not to be used."""

    def __init__(self, problem: str, *, where: str, fix: str = FIX) -> None:
        super().__init__(problem, where=where, fix=fix)
        self.where: str = where
        self.fix: str = fix

    def __reduce__(self) -> tuple[Any, ...]:
        return _unreadable, (self.problem, self.where, self.fix)


def _unreadable(problem: str, where: str, fix: str) -> UnreadableError:
    return UnreadableError(problem, where=where, fix=fix)


@dataclass(frozen=True, slots=True, order=True)
class Remote:
    """A file that `fsspec` reads."""

    url: str
    """With its protocol, `s3://bucket/a.jsonl`."""
    size: int = -1
    """Bytes, or -1 if the server does not say."""

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        """The last part of the URL."""
        return PurePosixPath(self.url.split("?")[0]).name


Place = Path | Remote


def is_url(given: object) -> bool:
    """Whether an input is a URL for fsspec and not a path, as `file:///data` is too."""
    return isinstance(given, str) and "://" in given and not given.startswith(_LOCAL)


def path_of(given: StrPath) -> Path:
    """The path of an input that is no URL for fsspec."""
    if isinstance(given, str) and given.startswith(_LOCAL):
        # As fsspec reads it: no server's name, and what looks escaped is meant as it stands.
        return Path(given.partition("://")[2] or "/").expanduser()
    return Path(given)


def file_system(url: str) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path in it.

    Raises:
        CapabilityError: fsspec, or the package for this protocol, is not installed.
        InputError: the URL cannot be used.
    """
    fsspec = require("fsspec", extra="prepare", purpose=f"reading {url}")
    if "::" in url:
        raise InputError("chained URLs are not read", where=url, fix="Name the archive itself")
    try:
        system, path = fsspec.core.url_to_fs(url)
    except (ValueError, ImportError) as error:
        raise InputError(
            f"cannot be reached: {error}", where=url, fix="Check the URL, or install its package"
        ) from error
    return system, str(path)


def open_place(place: Place) -> File:
    """A file's bytes, seekable.

    Raises:
        UnreadableError: it is not a regular file any more.
        OSError: it cannot be opened.
    """
    if isinstance(place, Remote):
        system, path = file_system(place.url)
        return cast("File", system.open(path, "rb"))
    # Without O_NONBLOCK, opening a pipe that took the file's place would wait for a writer.
    descriptor = os.open(place, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnreadableError("not a regular file", where=str(place))
    return cast("File", open(descriptor, "rb", buffering=0))


def size_of(place: Place) -> int:
    """Bytes of a file; 0 where the server does not say."""
    return max(place.size, 0) if isinstance(place, Remote) else place.stat().st_size


def stamp_of(place: Place) -> tuple[Any, ...]:
    """What tells whether a file has changed: size, time of change and number of a local one, fsspec's key of others."""
    if isinstance(place, Remote):
        system, path = file_system(place.url)
        system.invalidate_cache()
        return (str(system.ukey(path)),)
    status = place.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino
