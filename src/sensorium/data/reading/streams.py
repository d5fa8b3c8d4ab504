"""Streams of bytes as the readers pass them on: what one can do with them, and a few that are made of others."""

from __future__ import annotations

import io
from typing import Any, Protocol, cast, runtime_checkable

import xxhash

BLOCK = 1 << 20
"""Bytes that are read at a time."""


@runtime_checkable
class Stream(Protocol):
    """Bytes that come one after the other."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes: as many, or fewer at the end."""


@runtime_checkable
class File(Stream, Protocol):
    """Bytes that can be read from any place."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place."""

    def tell(self) -> int:
        """The place."""

    def close(self) -> None:
        """Let go of it."""


class Counted(io.RawIOBase):
    """A stream that is counted and hashed while it is read."""

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self._stream = stream
        self.size = 0
        self.hash = xxhash.xxh3_128()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._stream.read(len(buffer))
        buffer[: len(block)] = block
        self.size += len(block)
        self.hash.update(block)
        return len(block)


class _Before(io.RawIOBase):
    """Some bytes, then a stream."""

    def __init__(self, head: bytes, rest: Stream) -> None:
        super().__init__()
        self._head, self._rest = memoryview(head), rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._head[: len(buffer)] if self._head else memoryview(self._rest.read(len(buffer)))
        self._head = self._head[len(block) :] if self._head else self._head
        buffer[: len(block)] = block
        return len(block)


def before(head: bytes, rest: Stream) -> io.BufferedReader:
    """Bytes that were read already, and then the rest of their stream."""
    return buffered(_Before(head, rest))


def buffered(raw: io.RawIOBase) -> io.BufferedReader:
    """A stream that is read in large blocks."""
    return io.BufferedReader(cast("Any", raw), BLOCK)
