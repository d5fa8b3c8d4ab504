"""Compressed files as streams of their bytes, with limits that a compression bomb runs into.

What a file is packed with is seen from its first bytes. Every failure of a decompressor becomes an `UnpackError`, which
is an `OSError`: damaged data is to callers what a damaged disk is.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sensorium.data.reading.formats import packing_of
from sensorium.data.reading.streams import BLOCK, Counted, Stream, buffered

_LZMA_MEMORY = 1 << 28


class UnpackError(OSError):
    """Compressed data is damaged, or unpacks to more than is allowed."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a compressed file or an archive may unpack to.

    Args:
        ratio: bytes that come out of each byte that goes in. Text packs 3 to 30 times, logs sometimes 200 times.
        ratio_from: bytes that may come out before the ratio is looked at.
        unpacked: bytes that may come out of one file, or of all members of an archive.
        member: bytes of one member of an archive: it is unpacked to the disk if it is larger than a few megabytes.
        members: files in an archive.
    """

    ratio: float = 250.0
    ratio_from: int = 1 << 26
    unpacked: int = 1 << 38
    member: int = 1 << 33
    members: int = 1_000_000


LIMITS = Limits()


@contextmanager
def open_packed(path: Path, limits: Limits = LIMITS) -> Iterator[io.BufferedReader]:
    """A file's bytes, unpacked if they are packed.

    Raises:
        OSError: it cannot be read, or is damaged.
    """
    with path.open("rb") as raw:
        yield unpacked(cast("Stream", raw), limits)


def unpacked(raw: Stream, limits: Limits = LIMITS) -> io.BufferedReader:
    """The unpacked bytes of a stream; of one that is not packed, the bytes themselves."""
    counted = raw if isinstance(raw, Counted) else Counted(raw)
    packed = buffered(counted)
    packing = packing_of(packed.peek(16)[:16])
    if packing is None:
        return packed
    return buffered(_Unpacked(_unpacker(packed, packing), counted, limits))


def _unpacker(packed: io.BufferedReader, packing: str) -> Stream:
    if packing == "gzip":
        return gzip.GzipFile(fileobj=packed, mode="rb")
    if packing == "bz2":
        return bz2.BZ2File(packed)
    if packing == "xz":
        return cast("Stream", _Xz(packed))
    import pyarrow as pa

    return cast("Stream", pa.CompressedInputStream(pa.PythonFile(packed, mode="r"), "zstd"))


class _Unpacked(io.RawIOBase):
    """What a decompressor gives, until it gives too much."""

    def __init__(self, stream: Stream, packed: Counted, limits: Limits) -> None:
        super().__init__()
        self._stream, self._packed, self._limits = stream, packed, limits
        self._size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            block = self._stream.read(len(buffer))
        except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
            raise UnpackError(str(error) or type(error).__name__) from error
        buffer[: len(block)] = block
        self._size += len(block)
        check_unpacked(self._size, self._packed.size, self._limits)
        return len(block)


def check_unpacked(size: int, packed: int, limits: Limits) -> None:
    """Raise if too much came out.

    Raises:
        UnpackError: more than the limits allow.
    """
    if size > limits.unpacked:
        raise UnpackError(f"unpacks to more than {limits.unpacked} bytes")
    if size > limits.ratio_from and size > limits.ratio * packed:
        raise UnpackError(f"unpacks to more than {limits.ratio:g} times its size, as a compression bomb does")


class _Xz(io.RawIOBase):
    """xz with a limit on what its dictionary takes: `lzma.LZMAFile` has none."""

    def __init__(self, packed: io.BufferedReader) -> None:
        super().__init__()
        self._packed = packed
        self._pending = b""
        self._decoder: lzma.LZMADecompressor | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            if self._decoder is None:
                # Several streams may follow each other, with zeros between them.
                pending = self._pending.lstrip(b"\0")
                while not pending:
                    block = self._packed.read1(BLOCK)
                    if not block:
                        return 0
                    pending = block.lstrip(b"\0")
                self._pending = pending
                self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_LZMA_MEMORY)
            block, self._pending = self._pending, b""
            if not block and self._decoder.needs_input:
                block = self._packed.read1(BLOCK)
                if not block:
                    raise EOFError("Compressed file ended before the end-of-stream marker was reached")
            out = self._decoder.decompress(block, len(buffer))
            if self._decoder.eof:
                self._pending, self._decoder = self._decoder.unused_data, None
            if out:
                buffer[: len(out)] = out
                return len(out)
