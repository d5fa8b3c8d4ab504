"""The weights of a GGUF file as codes (`core/codes.py`), in the kinds whose blocks are of 32 weights.

The layouts are those of llama.cpp's `ggml-common.h`; the tests hold them to the `gguf` package's own dequantisation.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Int8, UInt8

from sensorium.core.codes import BLOCK, Codes, Codes4, Codes8
from sensorium.families.gguf_file import StoredTensor

KINDS = ("Q8_0", "Q5_0", "Q4_0", "Q4_1")
_SCALE, _BITS, _NIBBLES = 2, 4, BLOCK // 2
"""Bytes of an fp16 number, of the fifth bits of a block, of the codes of a block at four bits each."""


def read_codes(stored: StoredTensor) -> Codes | None:
    """A matrix's codes; None for other kinds and for vectors."""
    if stored.kind not in KINDS or len(stored.shape) != 2:
        return None
    rows, cols = stored.shape
    blocks = np.asarray(stored.data).reshape(rows, cols // BLOCK, -1)
    match stored.kind:
        case "Q8_0":
            return Codes8(blocks[..., _SCALE:].reshape(rows, cols).view(np.int8), _numbers(blocks, 0))
        case "Q5_0":
            return Codes8(_five_bits(blocks).reshape(rows, cols) - np.int8(16), _numbers(blocks, 0))
        case "Q4_0":
            scales = _numbers(blocks, 0)
            return Codes4(blocks[..., _SCALE:].reshape(rows, cols // 2), scales, -8 * scales)
        case _:
            codes = blocks[..., 2 * _SCALE :].reshape(rows, cols // 2)
            return Codes4(codes, _numbers(blocks, 0), _numbers(blocks, 1))


def _numbers(blocks: UInt8[np.ndarray, "rows blocks bytes"], which: int) -> Float32[np.ndarray, "rows blocks"]:
    """The fp16 numbers that stand first in every block."""
    raw = np.ascontiguousarray(blocks[..., which * _SCALE : (which + 1) * _SCALE])
    numbers: Float32[np.ndarray, "rows blocks"] = raw.view("<f2")[..., 0].astype(np.float32)
    return numbers


def _five_bits(blocks: UInt8[np.ndarray, "rows blocks bytes"]) -> Int8[np.ndarray, "rows blocks block"]:
    """Q5_0: the fifth bits of all 32 codes, then their lower four."""
    fifth = np.unpackbits(blocks[..., _SCALE : _SCALE + _BITS], axis=-1, bitorder="little")
    pairs = blocks[..., _SCALE + _BITS : _SCALE + _BITS + _NIBBLES]
    codes: UInt8[np.ndarray, "rows blocks block"] = np.concatenate((pairs & 15, pairs >> 4), axis=-1) | fifth << 4
    return codes.astype(np.int8)
