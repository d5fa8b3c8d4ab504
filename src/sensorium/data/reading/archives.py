"""The members of .zip and .tar files, each as a file of its own.

A member's name is only ever shown, never a path that is written to. What is no regular file (links, devices) is passed
over and counted; a member is unpacked into memory, or a temporary file without a name if it is large, so that it can be
read twice, and only if its checksum is right.
"""

from __future__ import annotations

import io
import lzma
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, cast

from sensorium.data.reading.formats import ARCHIVES, kind_of
from sensorium.data.reading.packed import LIMITS, Limits, UnpackError, check_unpacked, unpacked
from sensorium.data.reading.places import UnreadableError
from sensorium.data.reading.streams import BLOCK, File, Stream
from sensorium.data.sample import Ledger

_IN_MEMORY = 1 << 23
_ENCRYPTED = 1
_TAR_BLOCK = 512
_TAR_HEADERS = frozenset(
    (
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
    )
)
"""Blocks that say more of the next member, which `tarfile` reads into memory whole."""
_HEADER = 1 << 20
"""Bytes of the longest of them."""
_DAMAGED = (OSError, EOFError, ValueError, NotImplementedError, RuntimeError, zlib.error, lzma.LZMAError)
"""What the standard library raises of damaged archives, besides its own errors."""


@dataclass(frozen=True)
class Member:
    """A file in an archive."""

    name: str
    """The archive's, "!" and its own."""
    kind: str
    file: File
    """Its bytes, seekable; open until the next member is asked for."""


def members(file: File, kind: str, source: str, ledger: Ledger, limits: Limits = LIMITS) -> Iterator[Member]:
    """The files in an archive that can be read, in its order.

    Args:
        file: the archive's bytes, seekable.
        kind: ".zip" or ".tar"; the latter may be compressed.
        source: what it is called.
        ledger: receives the members that are damaged, too large or of other kinds.
        limits: what it may hold.

    Raises:
        UnreadableError: it is no archive, damaged, or holds more than the limits allow.
    """
    try:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        if kind == ".zip":
            yield from _zip(file, source, ledger, _Budget(limits, size))
        else:
            # Of a compressed one, the stream itself knows what has come out of how much.
            yield from _tar(file, source, ledger, _Budget(limits))
    except UnreadableError:
        raise
    except (zipfile.BadZipFile, tarfile.TarError, *_DAMAGED) as error:
        raise UnreadableError(f"not a readable {kind} file: {error}", where=source) from error


class _Budget:
    """What may still come out of an archive.

    Args:
        limits: of the archive and its members.
        archive: the archive's own bytes, if its members are compressed one by one.
    """

    def __init__(self, limits: Limits, archive: int | None = None) -> None:
        self.limits, self._archive = limits, archive
        self._size = self._kept = self._members = 0

    def member(self, source: str) -> None:
        """Count one.

        Raises:
            UnreadableError: there are too many.
        """
        self._members += 1
        if self._members > self.limits.members:
            raise UnreadableError(f"holds more than {self.limits.members} files", where=source)

    def spool(self, stream: Stream, packed: int | None, source: str) -> File:
        """A member's bytes, unpacked.

        Args:
            stream: gives them.
            packed: how many bytes of the archive they take, if that is known.
            source: what the archive is called.

        Raises:
            UnpackError: too much comes out of the member.
            UnreadableError: too much came out of the archive; members that share their bytes do so together.
        """
        out = tempfile.SpooledTemporaryFile[bytes](max_size=_IN_MEMORY)
        try:
            size = 0
            while block := stream.read(BLOCK):
                size += len(block)
                self._size += len(block)
                if size > self.limits.member:
                    raise UnpackError(f"unpacks to more than {self.limits.member} bytes")
                check_unpacked(self._size, self._size, self.limits)
                if packed is not None:
                    check_unpacked(size, packed, self.limits)
                if self._archive is not None:
                    self._check_all(self._kept + size, self._archive, source)
                out.write(block)
        except BaseException:
            out.close()
            raise
        # A member that is a bomb costs itself alone: what came out of it does not count against the others.
        self._kept += size
        out.seek(0)
        return cast("File", out)

    def _check_all(self, size: int, archive: int, source: str) -> None:
        try:
            check_unpacked(size, archive, self.limits)
        except UnpackError as error:
            raise UnreadableError(str(error), where=source) from error


def _zip(file: File, source: str, ledger: Ledger, budget: _Budget) -> Iterator[Member]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            budget.member(source)
            if not info.filename:
                ledger.problem(f"{source}!", "a member without a name")
                continue
            kind = None if info.is_dir() else _kind(info.filename, ledger)
            if kind is None:
                continue
            where = f"{source}!{shown(info.filename)}"
            if info.flag_bits & _ENCRYPTED:
                ledger.problem(where, "is encrypted")
                continue
            try:
                with archive.open(info) as stream:
                    out = budget.spool(stream, info.compress_size, source)
            except UnreadableError:
                raise
            except (zipfile.BadZipFile, *_DAMAGED) as error:
                ledger.problem(where, f"cannot be read: {error}")
                continue
            with closing(out):
                yield Member(where, kind, out)


def _tar(file: File, source: str, ledger: Ledger, budget: _Budget) -> Iterator[Member]:
    tail = _Tail(unpacked(file, budget.limits))
    with tarfile.open(fileobj=cast("Any", tail), mode="r|", tarinfo=_Info) as archive:
        for info in archive:
            budget.member(source)
            # A stream's list of members would grow with it.
            cast("Any", archive).members = []
            if info.isdir():
                continue
            where = f"{source}!{shown(info.name)}"
            if not info.isreg() or info.issparse():
                ledger.count("links and special files in archives")
                continue
            kind = _kind(info.name, ledger)
            stream = archive.extractfile(info) if kind else None
            if kind is None or stream is None:
                continue
            try:
                out = budget.spool(stream, None, source)
            except UnpackError as error:
                ledger.problem(where, f"cannot be read: {error}")
                continue
            with closing(out):
                yield Member(where, kind, out)

    # The standard library takes an archive that was cut short for one that ends there.
    if not tail.ends_in_zeros():
        raise UnreadableError("ends before its end mark", where=source)


class _Info(tarfile.TarInfo):
    """The header of a member, but for those that would take much memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Info:
        """A header from its bytes.

        Raises:
            tarfile.ReadError: it announces one that is too long.
        """
        info = super().frombuf(buf, encoding, errors)
        if info.type in _TAR_HEADERS and info.size > _HEADER:
            raise tarfile.ReadError(f"a header of {info.size} bytes, more than {_HEADER}")
        return info


class _Tail:
    """A stream, and how it ends."""

    def __init__(self, stream: Stream) -> None:
        self._stream, self._last = stream, b""

    def read(self, size: int) -> bytes:
        block = self._stream.read(size)
        self._last = (self._last + block)[-_TAR_BLOCK:] if len(block) < _TAR_BLOCK else block[-_TAR_BLOCK:]
        return block

    def ends_in_zeros(self) -> bool:
        """Whether all that is left ends as an archive does."""
        while self.read(BLOCK):
            pass
        return self._last == bytes(_TAR_BLOCK)


def _kind(name: str, ledger: Ledger) -> str | None:
    """A member's kind; None, and counted, if it is not read: archives in archives are not."""
    parts = PurePosixPath(name).parts
    if any(part.startswith(".") and part not in {".", ".."} for part in parts):
        return None
    kind = kind_of(name)
    if kind is None or kind in ARCHIVES:
        ledger.count("files of other kinds")
        return None
    return kind


def shown(name: str) -> str:
    """A member's name as it may be printed."""
    return "".join(char if char.isprintable() else "\ufffd" for char in name)
