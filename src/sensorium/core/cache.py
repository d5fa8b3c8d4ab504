"""What a decoder keeps between its steps: keys and values of its own past, allocated once and filled from the left,
and those of the sequences that it reads, computed once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sensorium.core.config import StackConfig
from sensorium.core.mask import MaskSpec
from sensorium.errors import InputError

KeyValue = Float[Tensor, "batch kv_heads tokens head_dim"]
Seen = Float[Tensor, "batch kv_heads seen head_dim"]


class KVCache:
    """One pair of preallocated tensors a layer.

    Layers write at `length`, which the `Stack` moves on once a forward pass, after its last layer.

    Args:
        config: the stack whose layers it serves.
        batch: rows.
        capacity: tokens a row, prompt and continuation together.
    """

    def __init__(
        self,
        config: StackConfig,
        batch: int,
        capacity: int,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.capacity = capacity
        self.length = 0
        shapes = [(batch, b.attention.n_kv_heads, capacity, b.attention.head_dim) for b in config.blocks]
        self.keys = [torch.empty(shape, dtype=dtype, device=device) for shape in shapes]
        self.values = [torch.empty(shape, dtype=dtype, device=device) for shape in shapes]

    @property
    def batch(self) -> int:
        return self.keys[0].shape[0]

    def update(self, layer: int, k: KeyValue, v: KeyValue) -> tuple[Seen, Seen]:
        """Store the new tokens of one layer; return everything that it has seen.

        Raises:
            InputError: the new tokens do not fit in the capacity.
        """
        end = self.length + k.shape[2]
        if end > self.capacity:
            raise InputError(
                f"the cache holds {self.capacity} tokens, {end} are needed", fix="Allocate a larger capacity"
            )
        self.keys[layer][:, :, self.length : end] = k
        self.values[layer][:, :, self.length : end] = v
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]

    def advance(self, tokens: int) -> None:
        """Count the tokens that every layer has stored."""
        self.length += tokens

    def keep(self, rows: Int[Tensor, " kept"]) -> None:
        """Keep these rows, in this order: finished rows leave, beams are re-ordered or repeated."""
        self.keys = [k[rows] for k in self.keys]
        self.values = [v[rows] for v in self.values]


class CrossMemory:
    """One pair of tensors a layer: the keys and values of what an encoder read, for all steps of a decoder.

    Args:
        keys: of each layer.
        values: of each layer.
        valid: False at padding.
    """

    def __init__(
        self,
        keys: Sequence[KeyValue],
        values: Sequence[KeyValue],
        valid: Bool[Tensor, "batch keys"] | None = None,
    ) -> None:
        self.keys, self.values, self.valid = list(keys), list(values), valid
        self.spec = MaskSpec(causal=False, key_valid=valid)
        """What a query of the cross-attention may look at."""

    @property
    def batch(self) -> int:
        """How many sequences were read."""
        return self.keys[0].shape[0]

    def keep(self, rows: Int[Tensor, " kept"]) -> None:
        """Keep these sequences, in this order."""
        self.keys = [k[rows] for k in self.keys]
        self.values = [v[rows] for v in self.values]
        self.valid = None if self.valid is None else self.valid[rows]
        self.spec = MaskSpec(causal=False, key_valid=self.valid)
