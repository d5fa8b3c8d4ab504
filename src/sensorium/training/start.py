"""Where a run starts: fresh weights that already know what costs a small run its first thousand steps.

Unusual: a table of learned positions starts as sinusoids (Vaswani et al. 2017), so that near places look alike from
the first step; the bias of an output layer, where a family has one, starts at the corpus's unigram distribution.
Both stay ordinary parameters.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from sensorium.core.model import Transformer, initialise, stacks
from sensorium.data.loading.mixing import Mixture
from sensorium.data.shards import TokenShards

_STD = 0.02
_COUNTED_TOKENS = 1 << 22


def start(model: Transformer, text: TokenShards | Mixture | None) -> None:
    """Draw fresh weights, with PyTorch's global generator.

    Args:
        model: in place.
        text: what it will be trained to predict, where that is text.
    """
    initialise(model, std=_STD)
    head = model.language
    with torch.no_grad():
        for stack in stacks(model).values():
            table = stack.embed.positions
            if table is not None:
                table.weight.copy_(_sinusoids(*table.weight.shape))
        if text is not None and head is not None and head.bias is not None:
            head.bias.copy_(_log_unigram(text, len(head.bias)))


def _sinusoids(rows: int, dim: int) -> torch.Tensor:
    """`[rows, dim]`, as large as the normal draw that they replace."""
    waves = torch.exp(-math.log(10_000.0) * torch.arange(0, dim, 2) / dim)
    angles = torch.arange(rows)[:, None] * waves
    return _STD * math.sqrt(2) * torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)[:, :dim]


def _log_unigram(text: TokenShards | Mixture, vocab_size: int) -> torch.Tensor:
    """Log-probabilities by count, plus one for each token of the vocabulary; of a mixture by its shares."""
    if isinstance(text, Mixture):
        parts = zip(text.weights, text.parts, strict=True)
        return torch.stack([weight * _log_unigram(part, vocab_size).exp() for weight, part in parts]).sum(0).log()
    ids = text.tokens(0, min(text.n_tokens, _COUNTED_TOKENS)).astype(np.int64)
    counts = torch.from_numpy(np.bincount(ids, minlength=vocab_size) + 1.0)
    return (counts / counts.sum()).log()
