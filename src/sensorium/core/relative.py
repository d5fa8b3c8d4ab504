"""T5's relative positions: a number a head and a bucket of distances, added to the scores (Raffel et al. 2020).

Unusual: the numbers depend on the distance alone, so they are looked up once a distance, not once a pair of
positions, and the rows of the result are a sliding window over them.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sensorium.core.config import RelativePosition


class RelativeBias(nn.Embedding):
    """The table of a stack, of `[buckets, heads]`, and the bias that it gives."""

    def __init__(self, config: RelativePosition, heads: int, *, causal: bool) -> None:
        super().__init__(config.buckets, heads)
        self.config = config
        self.causal = causal

    def bias(self, queries: int, keys: int, *, past: int = 0) -> Float[Tensor, "1 heads queries keys"]:
        """What is added to the scores.

        Args:
            queries: how many there are.
            keys: how many there are, from the first position on.
            past: position of the first query.
        """
        # Key j and query i are j - past - i apart: from the last query's first key to the first query's last key.
        first, last = -(past + queries - 1), keys - 1 - past
        reach = 1 << max(-first, last, 1).bit_length()
        buckets = _buckets(self.config, reach, self.causal, self.weight.device)
        by_distance = self(buckets[reach + first : reach + last + 1]).t()
        return by_distance.unfold(1, keys, 1).flip(1)[None]  # type: ignore[no-any-return]


@lru_cache(maxsize=64)
def _buckets(config: RelativePosition, reach: int, causal: bool, device: torch.device) -> Int[Tensor, " distances"]:
    """The buckets of the distances from `-reach` to `reach`; a key before its query is at a negative distance. A
    causal query tells no keys after it apart."""
    # Leaving inference mode keeps the cached tensor usable in a later training step.
    with torch.inference_mode(False), torch.no_grad():
        distance = torch.arange(-reach, reach + 1)
        count = config.buckets if causal else config.buckets // 2
        away = (-distance).clamp(min=0) if causal else distance.abs()
        exact = count // 2
        # In fp32 as in the reference, for a distance on a bucket's edge falls by the rounding.
        grown = torch.log(away.float() / exact) / math.log(config.max_distance / exact) * (count - exact)
        far = (exact + grown.clamp(min=0).long()).clamp(max=count - 1)
        bucket = torch.where(away < exact, away, far)
        if not causal:
            bucket = bucket + count * (distance > 0)
        return bucket.to(device)
