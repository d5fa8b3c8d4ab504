"""Large files of plain text or JSON Lines in spans that begin at line starts, so that several processes share one.

Where a file is cut depends on the file alone, and reading it in one go goes by the same spans: the documents are the
same whoever reads them. A compressed file is read from its beginning, and stays whole.
"""

from __future__ import annotations

import io
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import xxhash

from sensorium.data.reading.encoding import HEAD, EncodingError, find_encoding
from sensorium.data.reading.formats import JSON_LINES, TEXT, kind_of, packing_of
from sensorium.data.reading.places import open_place, stamp_of
from sensorium.data.reading.streams import File

SPAN = 1 << 25
"""Bytes of a span, about: each ends with the line that its last byte is in."""
_BLOCK = 1 << 20
_NOT_BY_LINES = ("utf-16", "utf-32", "iso2022")
"""Encodings in which a byte 10 may be part of a character, or that have to be read from the start."""


@dataclass(frozen=True, slots=True)
class Span:
    """A range of lines of a file."""

    path: Path
    start: int
    """First byte."""
    stop: int
    """First byte after it."""
    line: int
    """Number of its first line, from 1."""
    encoding: str | None = None
    """Of the whole file; None: still to be found."""
    stamp: tuple[Any, ...] | None = None
    """Of the file when it was cut."""
    hash: str | None = None
    """Of the whole file's bytes (128-bit xxHash)."""

    @property
    def size(self) -> int:
        """Bytes."""
        return self.stop - self.start

    def __str__(self) -> str:
        return f"{self.path}:{self.line}" if self.start else str(self.path)


def split_file(path: Path, size: int | None = None, *, encoding: str | None = None) -> list[Span]:
    """A file in spans; one that is small, packed or of another kind in a single one.

    Args:
        path: a local file.
        size: bytes of a span, about; `SPAN` if it is not given.
        encoding: of its text, if it is known.

    Raises:
        UnreadableError: it is no regular file.
        OSError: it cannot be read.
    """
    size = SPAN if size is None else size
    stamp = stamp_of(path)
    whole = int(stamp[0])
    only = [Span(path, 0, whole, 1, encoding, stamp)]
    if whole <= size or kind_of(path) not in TEXT | JSON_LINES:
        return only
    with closing(open_place(path)) as file:
        head = file.read(min(HEAD, whole))
        if packing_of(head):
            return only
        if encoding is None:
            try:
                encoding = find_encoding(head, complete=len(head) == whole)
            except EncodingError:
                # Who reads it will say so.
                return only
        if encoding.startswith(_NOT_BY_LINES):
            return only
        spans, start, line, place, lines = list[Span](), 0, 1, 0, 0
        digest = xxhash.xxh3_128()
        file.seek(0)
        while block := file.read(_BLOCK):
            digest.update(block)
            at = 0
            while start + size <= place + len(block):
                # A span ends after the first line end at or beyond its last byte.
                end = block.find(b"\n", max(start + size - 1 - place, 0))
                if end < 0:
                    break
                lines += block.count(b"\n", at, end + 1)
                at = end + 1
                spans.append(Span(path, start, place + at, line, encoding, stamp))
                start, line = place + at, 1 + lines
            lines += block.count(b"\n", at)
            place += len(block)
    if start < place:
        spans.append(Span(path, start, place, line, encoding, stamp))
    return [replace(span, hash=digest.hexdigest()) for span in spans] if len(spans) > 1 else only


class SpanBytes(io.RawIOBase):
    """The bytes of a span as a stream.

    Args:
        file: the file's, seekable.
        span: which of them.
    """

    def __init__(self, file: File, span: Span) -> None:
        super().__init__()
        self._file, self._left = file, span.size
        file.seek(span.start)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._file.read(min(len(buffer), self._left)) if self._left else b""
        buffer[: len(block)] = block
        self._left -= len(block)
        return len(block)
