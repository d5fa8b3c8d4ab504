"""Losses that bring together the vectors of what belongs together, and keep apart the rest of a batch.

CLIP's (Radford et al. 2021) is a softmax over the batch both ways; SigLIP's (Zhai et al. 2023) a sigmoid for each pair.
Where a row has more than two senses, the loss is the mean over all pairs of senses; a row in which one of a pair is
missing is left out of that pair.

Unusual: two rows with the same picture, or the same text, are no negatives of each other. Such a pair is masked: it
takes no part in either loss, since nothing says how alike the other halves are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

Kind = Literal["clip", "siglip"]
MOST_SCALE = math.log(100.0)
"""The greatest log of what multiplies the cosines (Radford et al. 2021)."""


class Vectors(NamedTuple):
    """What one sense says of some rows of a batch."""

    vectors: Float[Tensor, "n width"]
    """Of length one."""
    rows: Int[Tensor, " n"]
    """Which rows, in rising order."""
    ids: Int[Tensor, " n"]
    """Equal where two rows show the same thing."""


class PairLoss(NamedTuple):
    """A loss, and how often the right partner was the nearest in the batch, over both ways."""

    loss: Float[Tensor, ""]
    accuracy: Float[Tensor, ""]


def clip_loss(logits: Float[Tensor, "n n"], *, same: Bool[Tensor, "n n"] | None = None) -> Float[Tensor, ""]:
    """Symmetric cross-entropy of each row's partner among the batch (Radford et al. 2021).

    Args:
        logits: scaled cosines of the first sense's rows with the second's, partners on the diagonal.
        same: True where two rows are no negatives of each other.
    """
    if same is not None:
        logits = logits.masked_fill(_off_diagonal(same), -math.inf)
    partners = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, partners) + F.cross_entropy(logits.T, partners)) / 2


def siglip_loss(logits: Float[Tensor, "n n"], *, same: Bool[Tensor, "n n"] | None = None) -> Float[Tensor, ""]:
    """Whether two rows belong together, each pair by itself, summed over a row and averaged over rows (Zhai et al.
    2023).

    Args:
        logits: scaled and shifted cosines, partners on the diagonal.
        same: True where two rows are no negatives of each other.
    """
    signs = 2 * torch.eye(len(logits), device=logits.device, dtype=logits.dtype) - 1
    losses = -F.logsigmoid(signs * logits)
    if same is not None:
        losses = losses.masked_fill(_off_diagonal(same), 0.0)
    return losses.sum(1).mean()


def aligned_loss(
    senses: Mapping[str, Vectors],
    *,
    kind: Kind,
    scale: Float[Tensor, ""],
    bias: Float[Tensor, ""] | None = None,
) -> PairLoss:
    """The mean loss over all pairs of senses that share two rows or more; zero where none does.

    Args:
        senses: by name; two of one sense ("text", "text 2") count alike where their ids are equal.
        kind: the loss.
        scale: log of what multiplies the cosines.
        bias: added to the scaled cosines (SigLIP).
    """
    losses, right = list[Tensor](), list[Tensor]()
    for first, second in itertools.combinations(sorted(senses), 2):
        a, b = _shared(senses[first], senses[second])
        if len(a.rows) < 2:
            continue
        logits = a.vectors.float() @ b.vectors.float().T * scale.exp()
        logits = logits if bias is None else logits + bias
        same = (a.ids[:, None] == a.ids) | (b.ids[:, None] == b.ids)
        if first.partition(" ")[0] == second.partition(" ")[0]:  # two texts of each row, whose numbers are alike
            same |= a.ids[:, None] == b.ids
        losses.append(clip_loss(logits, same=same) if kind == "clip" else siglip_loss(logits, same=same))
        with torch.no_grad():
            right += [_share_right(logits, same), _share_right(logits.T, same)]
    if not losses:  # still a function of the vectors, so that a step can be made of it
        nothing = sum((part.vectors.sum() for part in senses.values()), scale * 0) * 0
        return PairLoss(nothing, nothing.detach())
    return PairLoss(torch.stack(losses).mean(), torch.stack(right).mean())


def _off_diagonal(same: Bool[Tensor, "n n"]) -> Bool[Tensor, "n n"]:
    return same & ~torch.eye(len(same), dtype=torch.bool, device=same.device)


def _share_right(logits: Float[Tensor, "n n"], same: Bool[Tensor, "n n"]) -> Float[Tensor, ""]:
    nearest = logits.argmax(1)
    return same[torch.arange(len(logits), device=logits.device), nearest].float().mean()


def _shared(a: Vectors, b: Vectors) -> tuple[Vectors, Vectors]:
    """Both, of the rows that both have."""
    if torch.equal(a.rows, b.rows):
        return a, b
    in_a, in_b = torch.isin(a.rows, b.rows), torch.isin(b.rows, a.rows)
    return Vectors(*(part[in_a] for part in a)), Vectors(*(part[in_b] for part in b))
