"""Sines and cosines of positions, to be added to embeddings (Vaswani et al. 2017).

The table is computed in fp64 once, as Hugging Face's Marian does, and kept; no checkpoint holds it.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from sensorium.core.config import SinusoidalPosition


@lru_cache(maxsize=16)
def sinusoids(
    config: SinusoidalPosition, dim: int, device: torch.device, dtype: torch.dtype
) -> Float[Tensor, "size dim"]:
    """sin and cos of position / 10000^(2i/dim), for every position and pair of dimensions i."""
    # Leaving inference mode keeps the cached tensor usable in a later training step.
    with torch.inference_mode(False), torch.no_grad():
        exponents = torch.arange(0, dim, 2, dtype=torch.float64) / dim
        angles = torch.arange(config.size, dtype=torch.float64)[:, None] / 10000.0**exponents
        table = torch.empty(config.size, dim, dtype=torch.float64)
        pairs = dim // 2
        if config.layout == "interleaved":
            table[:, 0::2], table[:, 1::2] = angles.sin(), angles[:, :pairs].cos()
        else:
            table[:, : dim - pairs], table[:, dim - pairs :] = angles.sin(), angles[:, :pairs].cos()
        return table.float().to(device=device, dtype=dtype)
