"""Splits of made-up tokens, that tell where they come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from sensorium.data import shards as module
from sensorium.data.shards import ShardWriter, TokenShards

VOCABULARY = 1 << 20
Make = Callable[..., TokenShards]


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Writes documents of these lengths; their token ids count on from `first`, so that each is unique."""

    def write(lengths: Sequence[int], *, first: int = 10, shard_tokens: int | None = None) -> TokenShards:
        folder = Path(tmp_path_factory.mktemp("split")) / "train"
        with pytest.MonkeyPatch.context() as patch:
            if shard_tokens is not None:
                patch.setattr(module, "SHARD_TOKENS", shard_tokens)
            writer = ShardWriter(folder, VOCABULARY)
            for length in lengths:
                writer.add([list(range(first, first + length))], 3 * length)
                first += length
            writer.close()
        return TokenShards(folder, VOCABULARY)

    return write


@pytest.fixture(scope="session")
def lengths() -> list[int]:
    """As of web pages: most short, some long, some empty."""
    rng = np.random.default_rng(0)
    return [5, 0, *np.minimum(rng.lognormal(3.5, 1.2, 400).astype(int), 2000).tolist(), 0, 32, 64, 31, 33]
