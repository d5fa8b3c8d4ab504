"""Augmentation of sounds: masks on spectrograms, loudness and shifts on waveforms.

Every draw is of the `torch.Generator` that is given, one of the CPU, so that a seeded run repeats itself on any device;
nothing is changed in place.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sensorium.errors import InputError


def spec_augment(
    mels: Float[Tensor, "batch mels frames"],
    *,
    time_masks: int = 2,
    time_share: float = 0.1,
    mel_masks: int = 2,
    mel_share: float = 0.2,
    generator: torch.Generator,
) -> Float[Tensor, "batch mels frames"]:
    """Runs of frames and of bands hidden behind the spectrogram's mean (SpecAugment, Park et al. 2019; no warping).

    Args:
        mels: spectrograms.
        time_masks, mel_masks: how many runs a spectrogram; they may overlap.
        time_share, mel_share: the longest run, as a share of all frames or bands; lengths are drawn evenly from 0 on.
        generator: draws.

    Raises:
        InputError: a count is below 0, or a share is not within 0 and 1.
    """
    if min(time_masks, mel_masks) < 0 or not (0 <= time_share <= 1 and 0 <= mel_share <= 1):
        raise InputError("counts of masks must not be below 0, and shares must lie within 0 and 1")
    batch, bands, frames = mels.shape
    times = _runs(batch, frames, time_masks, time_share, generator).to(mels.device)
    tones = _runs(batch, bands, mel_masks, mel_share, generator).to(mels.device)
    return torch.where(times[:, None, :] | tones[:, :, None], mels.mean((1, 2), keepdim=True), mels)


def _runs(batch: int, length: int, count: int, share: float, generator: torch.Generator) -> Bool[Tensor, "batch _"]:
    """Where any of `count` runs lies."""
    sizes = (torch.rand(batch, count, 1, generator=generator) * (int(share * length) + 1)).long()
    starts = (torch.rand(batch, count, 1, generator=generator) * (length - sizes + 1)).long()
    places = torch.arange(length)
    return ((places >= starts) & (places < starts + sizes)).any(1)


def random_gain(
    sounds: Float[Tensor, "batch samples"], *, decibels: tuple[float, float] = (-6.0, 6.0), generator: torch.Generator
) -> Float[Tensor, "batch samples"]:
    """Each sound made louder or softer, by decibels drawn evenly from a range."""
    least, most = decibels
    drawn = least + (most - least) * torch.rand(len(sounds), 1, generator=generator)
    return sounds * (10 ** (drawn / 20)).to(sounds)


def random_shift(
    sounds: Float[Tensor, "batch samples"], *, most: int, generator: torch.Generator
) -> Float[Tensor, "batch samples"]:
    """Each sound moved by up to `most` samples, earlier or later; what is left empty is silence.

    Raises:
        InputError: `most` is below 0.
    """
    if most < 0:
        raise InputError(f"a shift of up to {most} samples is impossible", fix="Give 0 or more")
    length = sounds.shape[1]
    shifts = torch.randint(-most, most + 1, (len(sounds), 1), generator=generator).to(sounds.device)
    sources = torch.arange(length, device=sounds.device) - shifts
    inside = (sources >= 0) & (sources < length)
    return sounds.gather(1, sources.clamp(0, max(0, length - 1))) * inside
