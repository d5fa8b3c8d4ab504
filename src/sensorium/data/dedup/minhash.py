"""MinHash (Broder 1997): short signatures whose share of equal numbers estimates the Jaccard similarity of two sets.

A document is the set of its n-grams. Each of k permutations orders all n-grams that there are; a signature holds the
least of the document's under each. Two sets have the same least one with the probability of their Jaccard similarity.

Why 32 bits and a multiplication do. The n-grams' 64-bit hashes are mixed, and the upper halves x of them uniform. Each
x -> a·x + b (mod 2³²) with odd a is a bijection, hence the images of distinct x are uniform again and every single
estimate is unbiased. Two permutations differ by a random odd factor: the image of a small number under it is small by
chance alone, so that the estimates behave as if independent (the tests compare their spread with the binomial one).
Two different n-grams fall together with probability 2⁻³²: for two documents of a hundred thousand n-grams each that
is a handful of pairs, an error of the similarity below 10⁻⁴.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sensorium.data.dedup.units import U64, Grams, mixed

U32 = NDArray[np.uint32]
EMPTY = np.uint32(0xFFFFFFFF)
"""What the signature of a document without n-grams is full of."""
_BLOCK = 1 << 14
"""n-grams that are permuted at a time: 64 KiB in, 64 KiB out, which stay in the second-level cache."""


@lru_cache(maxsize=4)
def permutations(count: int, seed: int) -> tuple[U32, U32]:
    """The odd factors and the summands of so many permutations."""
    begin = np.uint64(seed * 0x9E3779B97F4A7C15 % 2**64)
    numbers = mixed(np.arange(1, 2 * count + 1, dtype=np.uint64) + begin)
    high = (numbers >> np.uint64(32)).astype(np.uint32)
    return high[:count] | np.uint32(1), high[count:]


def signatures(grams: Grams, count: int, seed: int) -> U32:
    """The signatures of a batch of documents, one a row.

    Args:
        grams: of the documents.
        count: of permutations.
        seed: that they are made from.
    """
    values = (grams.hashes >> np.uint64(32)).astype(np.uint32)
    documents = np.flatnonzero(np.diff(grams.offsets))
    result = np.full((len(grams.offsets) - 1, count), EMPTY)
    if not len(documents):
        return result
    # A piece is what of a document lies in one block.
    begins = grams.offsets[documents]
    pieces = np.union1d(begins, np.arange(0, len(values), _BLOCK))
    least = np.empty((count, len(pieces)), np.uint32)
    for start in range(0, len(values), _BLOCK):
        first, last = np.searchsorted(pieces, (start, start + _BLOCK))
        _permute(values[start : start + _BLOCK], pieces[first:last] - start, least[:, first:last], seed)
    if len(pieces) > len(begins):
        least = np.minimum.reduceat(least, np.searchsorted(pieces, begins), axis=1)
    result[documents] = least.T
    return result


def _permute(values: U32, starts: NDArray[np.int64], least: U32, seed: int) -> None:
    """Write the least image of each piece under each permutation, one permutation a row."""
    images = np.empty_like(values)
    for row, factor, summand in zip(least, *permutations(len(least), seed), strict=True):
        np.multiply(values, factor, out=images)
        np.add(images, summand, out=images)
        np.minimum.reduceat(images, starts, out=row)


def agreement(first: U32, second: U32) -> NDArray[np.int64]:
    """In how many places each row of two arrays of signatures agrees."""
    same: NDArray[np.int64] = np.count_nonzero(first == second, axis=1)
    return same


def band_hashes(signed: U32, bands: int) -> U64:
    """A 64-bit hash of each band of each signature; equal bands in different places have different hashes.

    Args:
        signed: signatures, one a row.
        bands: into how many equal parts each is cut.
    """
    values = np.broadcast_to(np.arange(1, bands + 1, dtype=np.uint64), (len(signed), bands))
    cut = signed.reshape(len(signed), bands, signed.shape[1] // bands)
    for place in range(cut.shape[2]):
        values = values * np.uint64(0xD6E8FEB86659FD93) + cut[:, :, place]
    return mixed(values)


def whole_hashes(banded: U64) -> tuple[U64, U64]:
    """Two 64-bit hashes of each signature, from those of its bands."""
    high, low = np.zeros(len(banded), np.uint64), np.zeros(len(banded), np.uint64)
    for band in banded.T:
        high = high * np.uint64(0x9E3779B97F4A7C15) + band
        low = low * np.uint64(0xC2B2AE3D27D4EB4F) + (band ^ (band >> np.uint64(29)))
    return mixed(high), mixed(low)


def packed(signed: U32) -> pa.Array:
    """Signatures as a column."""
    width = signed.shape[1] * 4
    data = pa.py_buffer(np.ascontiguousarray(signed))
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(signed), [None, data])


def unpacked(column: pa.Array) -> NDArray[np.uint8]:
    """The bytes of a column of fixed width, one value a row."""
    width = column.type.byte_width
    data = np.frombuffer(column.buffers()[1], np.uint8) if len(column) else np.empty(0, np.uint8)
    return data[column.offset * width : (column.offset + len(column)) * width].reshape(-1, width)
