"""W x for one x, at the rate at which the memory delivers W: the compiled kernel of `csrc/`, where it was built.

A matrix is held in the form with the fewest bytes that says exactly what the fp32 weights say: the codes of the file
that it came from, bf16 where every weight is one (as in most checkpoints, which were trained in it), fp32 otherwise.
The arithmetic is fp32 in all of them, so the numbers are those of the fp32 matrix, up to the order of summation.

The kernel is optional: without a C compiler at installation it is not there, and NumPy's product serves.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray

from sensorium.core.codes import BLOCK, Codes, Codes4, Codes8

LIBRARY = Path(__file__).with_name("skinny.bin")
"""What `hatch_build.py` compiles."""
_F32, _BF16, _Q8, _Q4 = range(4)
_Pointer, _Long, _Int = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32


@cache
def kernel() -> Any | None:
    """The compiled product, or None where it was not built for this machine."""
    if not LIBRARY.is_file():
        return None
    try:
        product = ctypes.CDLL(str(LIBRARY)).skinny_product
    except (OSError, AttributeError):  # built for another system, or damaged: NumPy serves
        return None
    product.restype = None
    product.argtypes = [_Int, *[_Pointer] * 6, _Long, _Long, _Int, _Int]
    return product


class SkinnyMatrix:
    """A matrix that multiplies one vector.

    Args:
        weight: the matrix, contiguous; kept as it is where no smaller form says the same.
        codes: the same weights as codes.
        portable: run the form of the kernel that is written for no processor in particular.
    """

    def __init__(
        self, weight: Float32[np.ndarray, "rows cols"], codes: Codes | None = None, *, portable: bool = False
    ) -> None:
        self.rows, self.cols = weight.shape
        self._sums = False
        self._portable = int(portable)
        self._product = kernel()
        held: tuple[NDArray[Any], ...]
        match codes:
            case _ if self._product is None:
                self._kind, held = _F32, (weight,)
            case Codes8():
                self._kind, held = _Q8, (codes.codes, codes.scales)
            case Codes4():
                self._kind, held, self._sums = _Q4, (codes.codes, codes.scales, codes.offsets), True
            case None:
                half = _bf16(weight)
                self._kind, held = (_F32, (weight,)) if half is None else (_BF16, (half,))
        self._held = [np.ascontiguousarray(array) for array in held]
        self._pointers = [array.ctypes.data for array in self._held] + [None] * (3 - len(held))

    @property
    def n_bytes(self) -> int:
        """What one product reads."""
        return sum(array.nbytes for array in self._held)

    def __call__(self, x: Float32[np.ndarray, " cols"]) -> Float32[np.ndarray, " rows"]:
        """W x."""
        if self._product is None:
            dense: Float32[np.ndarray, " rows"] = np.dot(self._held[0], x)
            return dense
        x = np.ascontiguousarray(x)
        if len(x) != self.cols:
            raise ValueError(f"a vector of {len(x)} does not fit a matrix of {self.cols} columns")
        y = np.empty(self.rows, np.float32)
        sums = x.reshape(-1, BLOCK).sum(1) if self._sums else None
        self._product(
            self._kind,
            *self._pointers,
            x.ctypes.data,
            None if sums is None else sums.ctypes.data,
            y.ctypes.data,
            self.rows,
            self.cols,
            torch.get_num_threads(),
            self._portable,
        )
        return y


def _bf16(weight: Float32[np.ndarray, "rows cols"]) -> NDArray[np.uint16] | None:
    """The upper halves of the weights, if the lower ones are all zero."""
    bits = weight.view(np.uint32)
    if any((part & 0xFFFF).any() for part in np.array_split(bits, max(1, bits.size >> 20))):
        return None
    return (bits >> 16).astype(np.uint16)
