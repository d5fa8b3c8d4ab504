"""Augmentation of clips, texts and whole examples: frame dropout, token dropout, mixup.

`augment_images` and `augment_sounds` hold what is for one kind. Every draw is of the `torch.Generator` that is given,
one of the CPU, so that a seeded run repeats itself on any device; nothing is changed in place.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from sensorium.errors import InputError


def frame_dropout(
    clips: Shaped[Tensor, "batch time *frame"], *, p: float = 0.1, generator: torch.Generator
) -> Shaped[Tensor, "batch time *frame"]:
    """Each frame but a clip's first is lost with probability `p`; the last frame before it is shown in its place, as
    a player does.

    Raises:
        InputError: `p` is not within 0 and 1.
    """
    _check_share(p)
    batch, time = clips.shape[:2]
    kept = torch.rand(batch, time, generator=generator) >= p
    kept[:, :1] = True
    places = torch.where(kept, torch.arange(time), 0).cummax(1).values.to(clips.device)
    return clips[torch.arange(batch, device=clips.device)[:, None], places]


def token_dropout(
    ids: Int[Tensor, "batch length"],
    *,
    p: float = 0.1,
    replacement: int,
    keep: Bool[Tensor, "batch length"] | None = None,
    generator: torch.Generator,
) -> Int[Tensor, "batch length"]:
    """Each token replaced with probability `p` (word dropout, Iyyer et al. 2015).

    Args:
        ids: tokens.
        p: probability.
        replacement: the token for unknown or masked words.
        keep: True where a token must stay: padding and special tokens.
        generator: draws.

    Raises:
        InputError: `p` is not within 0 and 1.
    """
    _check_share(p)
    dropped = (torch.rand(ids.shape, generator=generator) < p).to(ids.device)
    if keep is not None:
        dropped &= ~keep
    return ids.masked_fill(dropped, replacement)


def mixup(
    inputs: Mapping[str, Float[Tensor, "_ ..."]],
    targets: Float[Tensor, "batch classes"],
    *,
    alpha: float = 0.2,
    generator: torch.Generator,
) -> tuple[dict[str, Float[Tensor, "_ ..."]], Float[Tensor, "batch classes"]]:
    """Each example mixed with another of its batch (Zhang et al. 2018).

    All modalities of an example are mixed with the same partner by the same weight, as its target is.

    Args:
        inputs: by modality.
        targets: one-hot, or any weights over classes.
        alpha: weights are drawn from Beta(alpha, alpha); near 0, hardly anything is mixed.
        generator: draws.

    Raises:
        InputError: `alpha` is not above 0, or the batches differ in size.
    """
    batch = len(targets)
    if alpha <= 0:
        raise InputError(f"alpha is {alpha}", fix="Give a number above 0")
    if any(len(value) != batch for value in inputs.values()):
        raise InputError(f"not all inputs hold {batch} examples", fix="Give inputs and targets of the same batch")
    partners = torch.randperm(batch, generator=generator)
    seed = int(torch.randint(1 << 62, (), generator=generator))  # PyTorch draws no Beta from a generator
    weights = torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, batch))

    def mixed(value: Tensor) -> Tensor:
        shape = (batch,) + (1,) * (value.ndim - 1)
        weight = weights.to(value).view(shape)
        return weight * value + (1 - weight) * value[partners.to(value.device)]

    return {name: mixed(value) for name, value in inputs.items()}, mixed(targets)


def _check_share(p: float) -> None:
    if not 0 <= p <= 1:
        raise InputError(f"a probability of {p} is impossible", fix="Give one within 0 and 1")
