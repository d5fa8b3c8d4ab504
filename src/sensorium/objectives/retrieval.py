"""How well one thing finds another by their vectors: ranks, and recall among the first."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_AT_ONCE = 1 << 24
"""Cosines that are held together."""


def best_ranks(
    queries: Float[Tensor, "queries width"],
    gallery: Float[Tensor, "items width"],
    right: Bool[Tensor, "queries items"],
) -> Int[Tensor, " queries"]:
    """How many wrong items stand before a query's best right one; 0 if that is the first of all.

    Wrong items that are as near as the best right one stand before it, so that equal vectors find nothing.

    Args:
        queries: vectors of length one.
        gallery: of what is searched.
        right: which items answer which query; at least one does.
    """
    ranks = []
    step = max(1, _AT_ONCE // max(1, len(gallery)))
    for start in range(0, len(queries), step):
        scores, answers = queries[start : start + step] @ gallery.T, right[start : start + step]
        best = scores.masked_fill(~answers, -torch.inf).amax(1, keepdim=True)
        ranks.append(((scores >= best) & ~answers).sum(1))
    return torch.cat(ranks) if ranks else torch.empty(0, dtype=torch.int64)


def recall(ranks: Int[Tensor, " queries"], among: int) -> float:
    """The share of queries with a right item among the first."""
    return float((ranks < among).float().mean()) if len(ranks) else 0.0


def distinct(
    vectors: Float[Tensor, "n width"], ids: Int[Tensor, " n"]
) -> tuple[Float[Tensor, "items width"], Int[Tensor, " n"]]:
    """One vector for each id, and the place of each row's among them."""
    unique, places = torch.unique(ids, return_inverse=True)
    firsts = torch.full((len(unique),), len(ids), dtype=torch.int64, device=ids.device)
    firsts.scatter_reduce_(0, places, torch.arange(len(ids), device=ids.device), "amin")
    return vectors[firsts], places
