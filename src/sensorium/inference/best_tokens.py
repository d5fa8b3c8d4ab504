"""The likeliest tokens of many rows, with their log-probabilities, in as few passes over the vocabulary as can be.

A beam search needs of every row the sum of its exponentials and a handful of its largest logits. PyTorch's `topk`
reads a vocabulary several times more slowly than a maximum does. So on a CPU the rows are cut into blocks of 64: the k
largest logits lie in the k blocks of largest maxima, and only those are looked into. The exponentials are taken to the
base 2, which costs half. Both are done a few rows at a time, so that they stay in the cache.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

_BLOCK = 64
_CHUNK = 1 << 18
"""Logits that are worked on at once: a megabyte."""
_LOG2E = math.log2(math.e)

Best = tuple[Float[Tensor, "rows k"], Int[Tensor, "rows k"]]
Banned = tuple[Int[Tensor, " bans"], Int[Tensor, " bans"]]
"""Rows, and tokens that they may not take."""


def best_tokens(
    logits: Float[Tensor, "rows vocab"],
    k: int,
    *,
    suppressed: Int[Tensor, " n"] | None = None,
    banned: Banned | None = None,
    renormalize: bool = False,
) -> Best:
    """Log-probabilities and ids of the k likeliest tokens of every row, likeliest first.

    Args:
        logits: those of the tokens that may not be chosen are overwritten.
        k: at most the vocabulary.
        suppressed: tokens that no row may take. They have their part in the sum of probabilities, but come last:
            their log-probability here is -inf.
        banned: the same for single rows.
        renormalize: such tokens have no part in the sum either.
    """
    logits = logits.float()
    if renormalize:
        _forbid(logits, suppressed, banned)
        suppressed = banned = None
    blocks = logits.shape[1] // _BLOCK
    if logits.is_cuda or k >= blocks:
        total = logits.logsumexp(-1)
        _forbid(logits, suppressed, banned)
        values, ids = logits.topk(k)
        return values - total[:, None], ids
    parts = [_read(part, blocks) for part in torch.split(logits, max(1, _CHUNK // logits.shape[1]))]
    total, maxima = torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
    _forbid(logits, suppressed, banned)
    if banned is not None:
        maxima = _maxima(logits, blocks)
    elif suppressed is not None:
        for block in {token // _BLOCK for token in suppressed.tolist()} & {*range(blocks)}:
            maxima[:, block] = logits[:, block * _BLOCK : (block + 1) * _BLOCK].amax(-1)
    values, ids = _by_blocks(logits, maxima, k)
    return values - total[:, None], ids


def _forbid(logits: Float[Tensor, "rows vocab"], suppressed: Tensor | None, banned: Banned | None) -> None:
    if suppressed is not None:
        logits[:, suppressed] = -math.inf
    if banned is not None:
        logits[banned] = -math.inf


def _read(
    logits: Float[Tensor, "rows vocab"], blocks: int
) -> tuple[Float[Tensor, " rows"], Float[Tensor, "rows blocks"]]:
    """The logarithm of every row's sum of exponentials, and the greatest logit of each of its whole blocks."""
    maxima = _maxima(logits, blocks)
    top = maxima.amax(-1, keepdim=True)
    if blocks * _BLOCK < logits.shape[1]:
        top = torch.maximum(top, logits[:, blocks * _BLOCK :].amax(-1, keepdim=True))
    powers = torch.add(top * -_LOG2E, logits, alpha=_LOG2E).exp2_()
    return top[:, 0] + powers.sum(-1).log_(), maxima


def _maxima(logits: Float[Tensor, "rows vocab"], blocks: int) -> Float[Tensor, "rows blocks"]:
    return logits[:, : blocks * _BLOCK].view(len(logits), blocks, _BLOCK).amax(-1)


def _by_blocks(logits: Float[Tensor, "rows vocab"], maxima: Float[Tensor, "rows blocks"], k: int) -> Best:
    """The k largest logits."""
    (rows, vocab), whole = logits.shape, maxima.shape[1] * _BLOCK
    starts = maxima.topk(k, sorted=False).indices * _BLOCK
    places = (starts[:, :, None] + torch.arange(_BLOCK)).flatten(1)
    if whole < vocab:
        places = torch.cat((places, torch.arange(whole, vocab).expand(rows, -1)), dim=1)
    values, chosen = logits.gather(1, places).topk(k)
    return values, places.gather(1, chosen)
