"""Sequences of unequal length laid end to end: no token is spent on padding.

A packed batch is a batch of one, with the lengths beside it (Zeng et al. 2022, "Boosting Distributed Training
Performance of the Unpadded BERT Model"). Padded batches are unpacked once before the stack and padded once after.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Packed:
    """Token ids laid end to end."""

    ids: Int[Tensor, "1 total"]
    positions: Int[Tensor, "1 total"]
    """Counted anew in each sequence."""
    lengths: tuple[int, ...]


def pack(sequences: Sequence[Sequence[int] | np.ndarray], *, device: torch.device | str = "cpu") -> Packed:
    """Lay sequences of token ids end to end."""
    lengths = tuple(len(sequence) for sequence in sequences)
    flat = np.concatenate([np.asarray(sequence, dtype=np.int64) for sequence in sequences])
    return Packed(torch.from_numpy(flat)[None].to(device), restart(lengths, device=device), lengths)


def restart(lengths: tuple[int, ...], *, device: torch.device | str = "cpu") -> Int[Tensor, "1 total"]:
    """0, 1, 2 ... anew for each sequence."""
    sizes = np.asarray(lengths, dtype=np.int64)
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    return torch.from_numpy(np.arange(sizes.sum()) - starts)[None].to(device)


def lengths_of(valid: Bool[Tensor, "batch seq"]) -> tuple[int, ...]:
    """Valid tokens of each row that has any."""
    return tuple(n for n in valid.sum(1).tolist() if n)


def is_unbroken(valid: Bool[Tensor, "batch seq"]) -> bool:
    """Whether the valid entries of every row adjoin each other."""
    return bool((valid[:, 1:] & ~valid[:, :-1]).sum(1).add(valid[:, 0]).le(1).all())


def unpad(x: Int[Tensor, "batch seq"], valid: Bool[Tensor, "batch seq"]) -> Int[Tensor, "1 total"]:
    """The valid entries of a padded batch, row by row."""
    return x[valid][None]


def pad_back(hidden: Float[Tensor, "1 total dim"], valid: Bool[Tensor, "batch seq"]) -> Float[Tensor, "batch seq dim"]:
    """The inverse of `unpad` for hidden states; padding becomes zeros."""
    padded = hidden.new_zeros(*valid.shape, hidden.shape[-1])
    return padded.masked_scatter(valid[..., None], hidden)
