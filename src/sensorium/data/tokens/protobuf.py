"""The wire format of protocol buffers, as much of it as reading a SentencePiece model takes: no schema, no code.

A message is a row of fields: a number and a kind, then a value. What does not follow that is an error, never a guess,
and nothing is allocated by a length that the data only claim.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

Value = int | bytes
"""Whole numbers of varints; the bytes of everything else: strings, messages, floats."""
_LONGEST_VARINT = 10


def fields(data: bytes) -> Iterator[tuple[int, Value]]:
    """The fields of a message, in their order.

    Raises:
        ValueError: the bytes are no message.
    """
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise ValueError(f"a field without a number at byte {at}")
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == 2:
            size, at = _varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of the unknown kind {kind} at byte {at}")
        if size > len(data) - at:
            raise ValueError(f"a field that ends after the data, at byte {at}")
        yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Seven bits a byte, the lowest first; and the place after it."""
    if at < len(data) and data[at] < 0x80:
        return data[at], at + 1
    value = 0
    for i, byte in enumerate(data[at : at + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return value, at + i + 1
    raise ValueError(f"a number without an end at byte {at}")


def number(value: Value) -> int:
    """A whole number (not below 0) or a switch.

    Raises:
        TypeError: the field is of another kind.
    """
    if not isinstance(value, int):
        raise TypeError("a number was expected")
    return value


def raw(value: Value) -> bytes:
    """Bytes, or a message in the message.

    Raises:
        TypeError: the field is of another kind.
    """
    if not isinstance(value, bytes):
        raise TypeError("bytes were expected")
    return value


def text(value: Value) -> str:
    """A string.

    Raises:
        TypeError: the field is of another kind.
        ValueError: it is no UTF-8.
    """
    return raw(value).decode("utf-8")


def real(value: Value) -> float:
    """A number of four bytes.

    Raises:
        TypeError: the field is of another kind.
        ValueError: it has another size.
    """
    if len(raw(value)) != 4:
        raise ValueError("a number of four bytes was expected")
    return float(struct.unpack("<f", raw(value))[0])
