"""What a fused model makes of fewer modalities, and of worse ones: every subset of them, and noise of several kinds.

Unusual: noise in a sound is added to its spectrogram, by the power that white noise has in each band on average. That
is what noise in the waveform comes to, without decoding all sounds again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sensorium.data.tables.batch import FusedBatch
from sensorium.data.tables.senses import SenseRows, Texts
from sensorium.data.tables.table import TableLike, read_table
from sensorium.errors import CapabilityError, InputError, unknown
from sensorium.fusion.measures import LOWER_IS_BETTER, MAIN, measure
from sensorium.fusion.shapley import Contributions, Subset, contributions, subsets
from sensorium.modalities.mel import MelSpec, mel_bands
from sensorium.tasks.fused import FusedHandle

Noise = Literal["pixels", "blur", "sound", "words", "missing"]
STRENGTHS: dict[Noise, tuple[float, ...]] = {
    "pixels": (0.1, 0.3), "blur": (3.0, 7.0), "sound": (10.0, 0.0), "words": (0.2, 0.5), "missing": (0.25, 0.5, 0.75),
}  # fmt: skip
"""Deviation of a pixel as a share of the whole range; edge of a box of pixels; signal to noise in dB; share of
the words that are lost; share of the rows that lose the modality."""
_FITS: dict[str, tuple[Noise, ...]] = {
    "image": ("pixels", "blur", "missing"), "video": ("pixels", "blur", "missing"), "audio": ("sound", "missing"),
    "text": ("words", "missing"), "numbers": ("missing",),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Noisy:
    """The measures under one kind of noise in one modality."""

    modality: str
    noise: Noise
    strength: float
    measures: dict[str, float]


def evaluate_subsets(handle: FusedHandle, table: TableLike) -> dict[Subset, dict[str, float]]:
    """The measures with each subset of the modalities, the empty one too, on the labelled rows of a table.

    Raises:
        InputError: there is no such file, or no label in it.
        DataError: it is no table, or holds labels that are not known.
        CapabilityError: there are more modalities than `fusion.shapley.MOST`.
    """
    data, _ = handle.read(read_table(table), labelled=True)
    target = handle.fused.target
    truth = target.plain(data.targets[data.rows])
    return {
        kept: measure(target.problem, truth, handle.answers(data, change=partial(FusedBatch.only, names=kept)))
        for kept in subsets(handle.modalities)
    }


def worth(found: dict[Subset, dict[str, float]], problem: str) -> Contributions:
    """What each modality adds to the main measure (Shapley 1953), of what `evaluate_subsets` found. An error, which
    is better when it is smaller, is counted below zero."""
    main = MAIN[problem]
    sign = -1.0 if main in LOWER_IS_BETTER else 1.0
    table = {kept: sign * values[main] for kept, values in found.items()}
    return contributions(table, frozenset().union(*table))


def evaluate_noise(
    handle: FusedHandle, table: TableLike, *, noises: Sequence[str] | None = None, seed: int = 0
) -> list[Noisy]:
    """The measures where one modality is worse than in training, the others as they are.

    Args:
        handle: the model.
        table: labelled rows.
        noises: kinds, of STRENGTHS; all that fit a modality by default.
        seed: of what is drawn.

    Raises:
        InputError: a kind is not known; otherwise as `evaluate_subsets`.
        DataError: as `evaluate_subsets`.
    """
    if wrong := [kind for kind in noises or () if kind not in STRENGTHS]:
        raise InputError(unknown("noise", wrong[0], STRENGTHS), fix="Name one of them")
    data, _ = handle.read(read_table(table), labelled=True)
    target, found = handle.fused.target, list[Noisy]()
    truth = target.plain(data.targets[data.rows])
    for spec in handle.fused.specs:
        name, mel = spec.sense.name, spec.mel
        for kind in _FITS[spec.sense.kind]:
            if noises is not None and kind not in noises:
                continue
            for strength in STRENGTHS[kind]:
                generator = torch.Generator().manual_seed(seed)
                worse = _worse(name, kind, strength, data.senses[name], mel, generator)
                told = handle.answers(data, change=worse)
                found.append(Noisy(name, kind, strength, measure(target.problem, truth, told)))
    return found


def _worse(
    name: str, kind: Noise, strength: float, rows: SenseRows, mel: MelSpec | None, generator: torch.Generator
) -> Callable[[FusedBatch], FusedBatch]:
    """What makes one modality of a batch worse."""

    def change(batch: FusedBatch) -> FusedBatch:
        given = batch.inputs[name]
        if kind == "missing":
            made = given.without(torch.rand(len(given.present), generator=generator) < strength)
        elif not len(given.values):
            made = given
        else:
            made = replace(given, values=_values(given.values, kind, strength, rows, mel, generator))
        return replace(batch, inputs={**batch.inputs, name: made})

    return change


def _values(
    x: Tensor, kind: Noise, strength: float, rows: SenseRows, mel: MelSpec | None, generator: torch.Generator
) -> Tensor:
    if kind == "pixels":
        spread = float(x.max() - x.min()) or 1.0
        return x + strength * spread * torch.randn(x.shape, generator=generator)
    if kind == "blur":
        flat = x.flatten(0, -4) if x.ndim > 4 else x
        edge = int(strength)
        padded = F.pad(flat, (edge // 2,) * 4, mode="replicate")
        return F.avg_pool2d(padded, edge, stride=1).view(x.shape)
    if kind == "words" and isinstance(rows, Texts):
        return rows.thinned(x, strength, generator)
    if kind == "sound" and mel is not None:
        return with_noise(x, mel, decibels=strength, generator=generator)
    raise CapabilityError(f"noise of the kind {kind!r} does not fit here", fix="Take another")


def with_noise(
    mels: Float[Tensor, "batch mels frames"], spec: MelSpec, *, decibels: float, generator: torch.Generator
) -> Float[Tensor, "batch mels frames"]:
    """Spectrograms of the same sounds in white noise.

    Args:
        mels: as `log_mel` makes them.
        spec: by which.
        decibels: power of a sound over that of the noise.
        generator: draws each frame's power, as of a few squared normal numbers.
    """
    power = 10 ** (4 * mels.double() - 4)
    # White noise has the same power in each bin, and a band gathers it by its weights. Over its peak, a band's power is
    # what it holds of the sound's own: triangles of height 1 add up to 1 everywhere.
    bands = mel_bands(spec).double()
    gathers, peaks = bands.sum(1)[None, :, None], bands.amax(1).clamp(min=1e-12)[None, :, None]
    loudness = (power / peaks).sum(1, keepdim=True).mean(2, keepdim=True)
    level = loudness / (gathers / peaks).sum() / 10 ** (decibels / 10)
    drawn = torch.randn(4, *power.shape, generator=generator, dtype=torch.float64).square().mean(0)
    noisy = (power + level * gathers * drawn).clamp(min=1e-10).log10()
    loudest = noisy.amax((1, 2), keepdim=True)
    return ((torch.maximum(noisy, loudest - 8) + 4) / 4).to(mels.dtype)
