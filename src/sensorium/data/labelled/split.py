"""Examples held out for validation by a hash of what must not be learned from, the same on every machine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xxhash
from numpy.typing import NDArray


def held_out(keys: Sequence[str], share: float) -> NDArray[np.bool_]:
    """Which examples are held out.

    Args:
        keys: one an example; examples with the same key stay together.
        share: of the keys, roughly. Where there are two keys or more and it is above 0, at least one is held out and
            at least one is not.
    """
    hashes = np.array([xxhash.xxh3_64_intdigest(key.encode("utf-8", "surrogatepass")) for key in keys], dtype=np.uint64)
    held: NDArray[np.bool_] = hashes < np.uint64(min(int(share * 2**64), 2**64 - 1))
    if len(set(hashes.tolist())) < 2 or not share:
        return np.zeros(len(keys), dtype=np.bool_)
    if not held.any():
        held = hashes == hashes.min()
    elif held.all():
        held = hashes != hashes.max()
    return held
