"""Weights as codes: a few bits a weight, and a scale (and an offset) for every block of a row.

The codes of a quantised file are its weights: the fp32 matrix that is made of them says the same in eight times the
bytes. A product that reads the codes gives what the fp32 matrix gives (`core/skinny.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int8, UInt8

BLOCK = 32
"""Neighbouring weights of a row that share a scale."""


@dataclass(frozen=True, eq=False)
class Codes8:
    """weight = code · scale."""

    codes: Int8[np.ndarray, "rows cols"]
    scales: Float32[np.ndarray, "rows blocks"]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the matrix."""
        return self.codes.shape[0], self.codes.shape[1]

    def dense(self) -> Float32[np.ndarray, "rows cols"]:
        """The matrix."""
        blocks = self.codes.reshape(*self.scales.shape, BLOCK).astype(np.float32)
        dense: Float32[np.ndarray, "rows cols"] = (blocks * self.scales[..., None]).reshape(self.codes.shape)
        return dense


@dataclass(frozen=True, eq=False)
class Codes4:
    """weight = code · scale + offset. A byte holds two codes of its block: the low half the one of weight i, the high
    half that of weight i + 16."""

    codes: UInt8[np.ndarray, "rows half_cols"]
    scales: Float32[np.ndarray, "rows blocks"]
    offsets: Float32[np.ndarray, "rows blocks"]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the matrix."""
        return self.codes.shape[0], 2 * self.codes.shape[1]

    def dense(self) -> Float32[np.ndarray, "rows cols"]:
        """The matrix."""
        pairs = self.codes.reshape(*self.scales.shape, BLOCK // 2)
        blocks = np.concatenate((pairs & 15, pairs >> 4), axis=-1).astype(np.float32)
        dense: Float32[np.ndarray, "rows blocks block"] = blocks * self.scales[..., None] + self.offsets[..., None]
        return dense.reshape(self.shape)


Codes = Codes8 | Codes4


def stack(parts: Sequence[Codes]) -> Codes | None:
    """The rows of several matrices as one; None where they are not of one kind."""
    if all(isinstance(part, Codes8) for part in parts):
        return Codes8(np.concatenate([part.codes for part in parts]), np.concatenate([part.scales for part in parts]))
    four = [part for part in parts if isinstance(part, Codes4)]
    if len(four) < len(parts):
        return None
    return Codes4(*(np.concatenate([getattr(part, name) for part in four]) for name in ("codes", "scales", "offsets")))
