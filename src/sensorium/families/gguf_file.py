"""The structure of a GGUF file: its key-value pairs, and where each tensor's bytes lie.

Unusual: `gguf` has a reader of its own, which trusts the lengths that it finds: a damaged one makes it fill the
memory, and a token list takes it seconds. Here every length is held against the end of the file.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorium.errors import CheckpointError, InputError
from sensorium.files import StrPath

_MAGIC, _VERSIONS, _MAX_DIMS = b"GGUF", (2, 3), 4
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_ANEW = "Copy or download it anew"


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor as it lies in the file."""

    kind: str
    """Name of its quantisation, e.g. Q4_K."""
    shape: tuple[int, ...]
    """Row-major, as in PyTorch."""
    data: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class GGUFFile:
    """What is in a file; the tensors' bytes stay on the disk until they are read."""

    fields: dict[str, Any]
    tensors: dict[str, StoredTensor]


class _DamageError(Exception):
    """The bytes are not what they must be."""


def read_file(path: StrPath, sizes: Mapping[int, tuple[str, int, int]]) -> GGUFFile:
    """Read the structure of a file.

    Args:
        path: the file.
        sizes: of each kind of tensor by its number: the name, the values in a block, the bytes of a block.

    Raises:
        InputError: there is no such file.
        CheckpointError: it is truncated, corrupt, or no GGUF file.
    """
    try:
        data = np.memmap(path, mode="r")
        return _parse(data, sizes)
    except FileNotFoundError as error:
        raise InputError("no such file", where=str(path), fix="Check the path") from error
    except (_DamageError, ValueError, OSError) as error:  # ValueError: an empty file, or text that is not UTF-8
        raise CheckpointError(f"truncated, corrupt or not a GGUF file: {error}", where=str(path), fix=_ANEW) from error


def _parse(data: NDArray[np.uint8], sizes: Mapping[int, tuple[str, int, int]]) -> GGUFFile:
    cursor = _Cursor(data)
    if cursor.take(4) != _MAGIC:
        raise _DamageError("it does not begin with GGUF")
    version = cursor.scalar("I")
    if version not in _VERSIONS:
        raise _DamageError(
            f"its version is {version}, which is none of {_VERSIONS}, or its bytes are in the other order"
        )
    tensor_count, field_count = cursor.scalar("Q"), cursor.scalar("Q")
    fields: dict[str, Any] = {}
    for _ in range(field_count):
        key = cursor.string()
        if key in fields:
            raise _DamageError(f"{key} is there twice")
        fields[key] = cursor.value(cursor.scalar("I"))
    places = {}
    for _ in range(tensor_count):
        name = cursor.string()
        if name in places:
            raise _DamageError(f"tensor {name} is there twice")
        places[name] = cursor.place()
    alignment = fields.get("general.alignment", 32)
    if type(alignment) is not int or alignment < 1:
        raise _DamageError(f"its alignment is {alignment}")
    start = -(-cursor.at // alignment) * alignment
    tensors = {}
    for name, (shape, number, offset) in places.items():
        if number not in sizes:
            raise _DamageError(f"tensor {name} is of the unknown type {number}")
        kind, values, width = sizes[number]
        if not shape or not all(shape) or shape[-1] % values:
            raise _DamageError(f"tensor {name} cannot be {list(shape)} as {kind}")
        end = start + offset + prod(shape) // values * width
        if end > len(data):
            raise _DamageError(f"tensor {name} ends at byte {end}, the file at byte {len(data)}")
        tensors[name] = StoredTensor(kind, shape, data[start + offset : end])
    return GGUFFile(fields, tensors)


class _Cursor:
    """A place in the bytes, which moves on with every read and never past the end."""

    def __init__(self, data: NDArray[np.uint8]) -> None:
        self._data, self.at = data, 0

    def take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self._data):
            raise _DamageError(f"byte {end} is needed, the file ends at byte {len(self._data)}")
        taken = self._data[self.at : end]
        self.at = end
        return taken.tobytes()

    def scalar(self, form: str) -> Any:
        return struct.unpack(f"<{form}", self.take(struct.calcsize(form)))[0]

    def string(self) -> str:
        return self.take(self.scalar("Q")).decode("utf-8")

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            return self._array(self.scalar("I"), self.scalar("Q"))
        if kind not in _SCALARS:
            raise _DamageError(f"a value is of the unknown type {kind}")
        return self.scalar(_SCALARS[kind])

    def _array(self, kind: int, count: int) -> list[Any]:
        if kind == _STRING:
            return [self.string() for _ in range(count)]
        if kind not in _SCALARS:
            raise _DamageError(f"an array holds values of the type {kind}")
        form = np.dtype(_SCALARS[kind]).newbyteorder("<")
        return np.frombuffer(self.take(count * form.itemsize), form).tolist()  # type: ignore[no-any-return]

    def place(self) -> tuple[tuple[int, ...], int, int]:
        """Shape, type and offset of a tensor."""
        count = self.scalar("I")
        if count > _MAX_DIMS:
            raise _DamageError(f"a tensor has {count} dimensions")
        shape = tuple(self.scalar("Q") for _ in range(count))
        return shape[::-1], self.scalar("I"), self.scalar("Q")
