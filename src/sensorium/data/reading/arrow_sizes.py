"""What the batches of an Arrow file take in memory, told before they are read.

Buffers may be compressed one by one. Each says how long it is then, and Arrow sets so much aside and fills it: a small
file may hold gigabytes of one letter. Arrow does not tell these lengths without doing so, so that they are read here,
from the messages as they stand in the file (Arrow columnar format, "Serialization and Interprocess Communication";
`Message.fbs` and `File.fbs`, which are flatbuffers). No more is believed of them than what is needed to look for them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sensorium.data.reading.packed import Limits, UnpackError, check_unpacked
from sensorium.data.reading.streams import File

if TYPE_CHECKING:
    import pyarrow as pa

LARGEST = 1 << 30
"""Bytes of the largest batch that is read: one batch has to be in memory as a whole."""
_MARK = b"ARROW1"
_CONTINUED = 0xFFFFFFFF
_LONGEST = 1 << 27
"""Bytes of the longest description of a batch, of a million columns."""
_DICTIONARY, _BATCH = 2, 3
"""Kinds of messages."""


@dataclass(frozen=True)
class Message:
    """A description of a batch, a dictionary or a schema, and where what it describes stands.

    Args:
        table: the description.
        body: first byte of the buffers.
        end: first byte after them.
    """

    table: _Table
    body: int
    end: int

    @property
    def is_batch(self) -> bool:
        """Whether it is of rows."""
        return self.table.number(1, "B") == _BATCH

    @property
    def _batch(self) -> _Table | None:
        kind, header = self.table.number(1, "B"), self.table.table(2)
        return header.table(1) if kind == _DICTIONARY and header else header if kind == _BATCH else None


def messages_of(file: File) -> tuple[list[int], list[int]]:
    """Where the messages of dictionaries and of batches stand in a file of Arrow's file format, by its end.

    Raises:
        ValueError: it is damaged.
    """
    end = file.seek(-10, 2)
    told = file.read(10)
    size = int.from_bytes(told[:4], "little")
    if told[4:] != _MARK or size > min(end, _LONGEST):
        raise ValueError("no end mark")
    file.seek(end - size)
    footer = _Table.of(file.read(size))
    return [at for (at,) in footer.rows(2, "q16x")], [at for (at,) in footer.rows(3, "q16x")]


def message_at(file: File, at: int) -> Message | None:
    """The message at a place; None at the end of a stream.

    Raises:
        ValueError: it is damaged.
    """
    file.seek(at)
    head = file.read(8)
    # A stream ends without a word, or with a size of 0, which old ones write alone.
    if len(head) < 8 and head not in (b"", bytes(4)):
        raise ValueError("it is cut short")
    size, prefix = int.from_bytes(head[:4], "little"), 4
    if size == _CONTINUED:
        size, prefix = int.from_bytes(head[4:8], "little"), 8
    if not size:
        return None
    if size > _LONGEST:
        raise ValueError(f"a description of {size} bytes")
    file.seek(at + prefix)
    table = _Table.of(file.read(size))
    body = at + prefix + size
    return Message(table, body, body + table.number(3, "q"))


def check_message(
    message: Message,
    file: File,
    types: Sequence[pa.DataType],
    chosen: Sequence[int],
    limits: Limits,
    *,
    whole: bool = False,
) -> None:
    """Raise if what a message describes is too large to be read.

    Args:
        message: of rows or of a dictionary; others are not looked at.
        file: that it stands in.
        types: of all columns of the file.
        chosen: numbers of those that are read.
        limits: what may be unpacked from how much.
        whole: whether all of a batch has to be read for that, as of a stream.

    Raises:
        UnpackError: it is.
        ValueError: it is damaged.
    """
    batch = message._batch
    if batch is None:
        return
    buffers = list(batch.rows(2, "qq"))
    if message.is_batch and len(types) > len(chosen):
        counts = [number for (number,) in batch.rows(4, "q")]
        spans = _buffers_of(types, counts)
        # Arrow's older formats have other numbers of buffers: all of them are looked at.
        if spans and spans[-1].stop == len(buffers):
            buffers = [buffers[at] for column in chosen for at in spans[column]]
    packed = sum(length for _, length in buffers)
    size = packed
    if batch.table(3) is not None:
        size = sum(_unpacked(file, message.body + offset, length) for offset, length in buffers)
    check_unpacked(size, packed, limits)
    size = max(size, message.end - message.body) if whole else size
    if size > LARGEST:
        raise UnpackError(f"a batch of {size} bytes, and no more than {LARGEST} are read: write it in smaller batches")


def _unpacked(file: File, at: int, length: int) -> int:
    """How long a compressed buffer will be; what is not worth it is not compressed, and says -1."""
    if not length:
        return 0
    file.seek(at)
    told = _read(file.read(8), 0, "q")
    return length - 8 if told == -1 else told if told >= 0 else LARGEST + 1


def _buffers_of(types: Sequence[pa.DataType], counts: list[int]) -> list[range]:
    """Which of a batch's buffers are those of each column.

    Args:
        types: of the columns.
        counts: of each array of views, in order, the buffers that hold its strings.
    """
    following, spans, start = iter(counts), list[range](), 0
    for kind in types:
        stop = start + sum(_buffers(one, following) for one in _within(kind))
        spans.append(range(start, stop))
        start = stop
    return spans


def _within(kind: pa.DataType) -> Iterator[pa.DataType]:
    """A type and those within it, as their arrays follow each other."""
    import pyarrow as pa

    while isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    yield kind
    if not pa.types.is_dictionary(kind):
        for at in range(kind.num_fields):
            yield from _within(kind.field(at).type)


def _buffers(kind: pa.DataType, counts: Iterator[int]) -> int:
    import pyarrow as pa

    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        return 2 + next(counts, 0)
    # Of these, Arrow counts a buffer for what is null that stands in no file.
    unwritten = pa.types.is_null(kind) or pa.types.is_union(kind) or pa.types.is_run_end_encoded(kind)
    return int(kind.num_buffers) - int(unwritten)


@dataclass(frozen=True)
class _Table:
    """A table of a flatbuffer: fields by number, each of which may be absent."""

    data: bytes
    at: int

    @classmethod
    def of(cls, data: bytes) -> _Table:
        """The root of a flatbuffer."""
        return cls(data, _read(data, 0, "I"))

    def number(self, field: int, kind: str) -> int:
        """A number, by `struct`'s name for its type; 0 if it is absent."""
        place = self._place(field)
        return _read(self.data, place, kind) if place else 0

    def table(self, field: int) -> _Table | None:
        """A table within."""
        place = self._place(field)
        return _Table(self.data, place + _read(self.data, place, "I")) if place else None

    def rows(self, field: int, form: str) -> Iterator[tuple[int, ...]]:
        """A list of structures, by `struct`'s name for their form."""
        place = self._place(field)
        if not place:
            return iter(())
        start = place + _read(self.data, place, "I")
        stop = start + 4 + _read(self.data, start, "I") * struct.calcsize(f"<{form}")
        if stop > len(self.data):
            raise ValueError("a list that leads out of it")
        return struct.iter_unpack(f"<{form}", self.data[start + 4 : stop])

    def _place(self, field: int) -> int:
        """Where a field stands; 0 if it is absent."""
        fields = self.at - _read(self.data, self.at, "i")
        if 4 + 2 * field >= _read(self.data, fields, "H"):
            return 0
        offset = _read(self.data, fields + 4 + 2 * field, "H")
        return self.at + offset if offset else 0


def _read(data: bytes, at: int, kind: str) -> int:
    try:
        value: int
        (value,) = struct.unpack_from(f"<{kind}", data, at if at >= 0 else len(data))
    except struct.error as error:
        raise ValueError("an offset that leads out of it") from error
    return value
