"""What the columns of a Parquet file take in memory, told before they are read.

A page is unpacked as a whole, and says itself how long it is then: a small file may hold gigabytes of one letter. Arrow
tells no one before it does so, and ends the process when it is asked about a damaged column, so that the descriptions
are read here, from the file (Apache Parquet format, `parquet.thrift`; Thrift compact protocol). No more is believed of
them than what is needed to look for the pages.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from sensorium.data.reading.arrow_sizes import LARGEST
from sensorium.data.reading.packed import Limits, UnpackError, check_unpacked
from sensorium.data.reading.streams import File

_MARK = b"PAR1"
_HEADER = 1 << 12
_LONGEST_HEADER = 1 << 24
"""Bytes of the description of a page, of most and of the longest."""
_DEEP = 16
_BYTE_ARRAY = 6
_DICTIONARY_PAGE = 2
_DELTA_LENGTH, _DELTA = 6, 7
"""Encodings of strings."""


@dataclass(frozen=True)
class Chunk:
    """A column of a group of rows.

    Args:
        column: the name of the one that it is, or stands within.
        start: first byte of its pages.
        stop: first byte after them.
        size: bytes that it says it unpacks to.
        delta: whether it holds strings by lengths or by what differs from the one before: Arrow reads no such column
            as a dictionary.
        shared: whether they share what does not differ, so that each may be as long as its page.
    """

    column: str
    start: int
    stop: int
    size: int
    delta: bool
    shared: bool


def groups_of(file: File, columns: Collection[str]) -> list[tuple[int, list[Chunk]]]:
    """The rows of each group of a Parquet file, and those of its chunks that are read.

    Raises:
        ValueError: it is damaged.
    """
    end = file.seek(-8, 2)
    told = file.read(8)
    size = int.from_bytes(told[:4], "little")
    if told[4:] != _MARK or size > end:
        raise ValueError("no end mark")
    file.seek(end - size)
    try:
        footer, _ = _struct(file.read(size), 0)
        return [
            (int(group[3]), [chunk for chunk in map(_chunk, group[1]) if chunk.column in columns])
            for group in footer.get(4, [])
        ]
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError("a damaged description") from error


def check_pages(chunk: Chunk, file: File, limits: Limits) -> int:
    """Bytes of the longest string, at most, that a chunk may store once for many rows; 0 where each stands for itself.

    Args:
        chunk: which.
        file: that it stands in.
        limits: what may be unpacked from how much.

    Raises:
        UnpackError: a page unpacks to more than is read.
        ValueError: it is damaged.
    """
    longest = 0
    for size, packed, of_dictionary in _pages(chunk, file):
        check_unpacked(size, packed, limits)
        if size > LARGEST:
            raise UnpackError(f"a page of {size} bytes, and no more than {LARGEST} are read: write it in smaller pages")
        if of_dictionary or chunk.shared:
            longest = max(longest, size)
    return longest


def _chunk(told: dict[int, Any]) -> Chunk:
    of = told[3]
    start, dictionary = int(of[9]), int(of.get(11, 0))
    # A chunk of no rows may have a dictionary, and no page of data: that stands at 0 then.
    start = dictionary if dictionary > 0 and (start <= 0 or dictionary < start) else start
    name, shared = bytes(of[3][0]).decode("utf-8", "replace"), of[1] == _BYTE_ARRAY and _DELTA in of[2]
    delta = shared or (of[1] == _BYTE_ARRAY and _DELTA_LENGTH in of[2])
    return Chunk(name, start, start + int(of[7]), int(of[6]), delta, shared)


def _pages(chunk: Chunk, file: File) -> Iterator[tuple[int, int, bool]]:
    """How long each page is unpacked, and packed, and whether it holds what others only point to."""
    at = chunk.start
    while at < chunk.stop:
        length = _HEADER
        while True:
            file.seek(at)
            data = file.read(length)
            try:
                header, size = _struct(data, 0)
                break
            except IndexError as error:
                if len(data) < length or length >= _LONGEST_HEADER:
                    raise ValueError("a damaged page") from error
                length *= 16
        unpacked, packed = header.get(2), header.get(3)
        if not isinstance(unpacked, int) or not isinstance(packed, int) or packed < 0:
            raise ValueError("a damaged page")
        yield unpacked, packed, header.get(1) == _DICTIONARY_PAGE
        at += size + packed


def _struct(data: bytes, at: int, depth: int = 0) -> tuple[dict[int, Any], int]:
    """The fields of a structure by their numbers, and where it ends.

    Raises:
        IndexError: the data ends before.
        ValueError: it is none.
    """
    if depth > _DEEP:
        raise ValueError("structures within structures without end")
    fields, field = dict[int, Any](), 0
    while head := data[at]:
        at += 1
        if head >> 4:
            field += head >> 4
        else:
            field, at = _number(data, at)
        fields[field], at = _value(data, at, head & 15, depth)
    return fields, at + 1


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (1, 2):
        return kind == 1, at
    if kind == 3:
        return data[at], at + 1
    if kind in (4, 5, 6):
        return _number(data, at)
    if kind == 7:
        return data[at : at + 8], at + 8
    if kind == 8:
        size, at = _varint(data, at)
        if at + size > len(data):
            raise IndexError
        return data[at : at + size], at + size
    if kind in (9, 10):
        head = data[at]
        size, at = _varint(data, at + 1) if head >> 4 == 15 else (head >> 4, at + 1)
        values = []
        for _ in range(size):
            # A truth is a byte of its own in a list.
            value, at = _value(data, at, 3 if head & 15 in (1, 2) else head & 15, depth + 1)
            values.append(value)
        return values, at
    if kind == 12:
        return _struct(data, at, depth + 1)
    raise ValueError("a field of an unknown kind")


def _number(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number without end")
