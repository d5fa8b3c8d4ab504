"""Positions that are no parameters of the embeddings: sinusoids, and T5's bias of the scores."""

from __future__ import annotations

import math

import pytest
import torch

from sensorium.core.config import RelativePosition, SinusoidalPosition
from sensorium.core.relative import RelativeBias
from sensorium.core.sinusoid import sinusoids
from sensorium.errors import ConfigError

CPU = torch.device("cpu")


@pytest.mark.parametrize("dim", [8, 7])
def test_sinusoids_are_the_papers(dim: int) -> None:
    table = sinusoids(SinusoidalPosition(size=20, layout="interleaved"), dim, CPU, torch.float32)
    for position in (0, 1, 7, 19):
        for i in range(dim):
            angle = position / 10000 ** (2 * (i // 2) / dim)
            expected = math.cos(angle) if i % 2 else math.sin(angle)
            assert table[position, i].item() == pytest.approx(expected, abs=1e-6)
    halves = sinusoids(SinusoidalPosition(size=20, layout="halves"), dim, CPU, torch.float32)
    assert torch.equal(halves, torch.cat((table[:, 0::2], table[:, 1::2]), 1))


def bucket(distance: int, buckets: int, longest: int, *, causal: bool) -> int:
    """T5's rule for one key at a distance from its query, written out."""
    first = 0
    if not causal:
        buckets //= 2
        first = buckets if distance > 0 else 0
        distance = -abs(distance)
    away, exact = max(-distance, 0), buckets // 2
    if away < exact:
        return first + away
    grown = exact + int(math.log(away / exact) / math.log(longest / exact) * (buckets - exact))
    return first + min(grown, buckets - 1)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("queries", "keys", "past"), [(40, 40, 0), (1, 40, 39), (3, 40, 37), (1, 1, 0), (5, 9, 0)])
def test_the_bias_is_the_table_at_each_pairs_bucket(causal: bool, queries: int, keys: int, past: int) -> None:
    table = RelativeBias(RelativePosition(buckets=12, max_distance=21), 2, causal=causal)
    bias = table.bias(queries, keys, past=past)
    assert bias.shape == (1, 2, queries, keys)
    for query in range(queries):
        for key in range(keys):
            row = bucket(key - query - past, 12, 21, causal=causal)
            assert torch.equal(bias[0, :, query, key], table.weight[row]), (query, key)


def test_the_tables_gradient_counts_every_pair() -> None:
    table = RelativeBias(RelativePosition(buckets=8, max_distance=10), 2, causal=True)
    table.bias(6, 6).sum().backward()
    assert table.weight.grad is not None
    assert table.weight.grad.sum().item() == 2 * 36
    assert table.weight.grad[1].tolist() == [5.0, 5.0]


@pytest.mark.parametrize(("buckets", "longest"), [(2, 100), (32, 16)])
def test_buckets_that_cannot_be_laid_out_are_refused(buckets: int, longest: int) -> None:
    with pytest.raises(ConfigError, match="cannot be laid out"):
        RelativePosition(buckets=buckets, max_distance=longest)
