"""Log-mel spectrograms, equal to Whisper's (Radford et al. 2023).

Unusual: what is padded to 30 seconds is not computed, since the spectrogram of silence is known; a Fourier transform
is over a few hundred frames at a time, whose results stay in the processor's cache; and the squares are of the real
and the imaginary parts, without the root between.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sensorium.errors import CapabilityError, CheckpointError, ConfigError, DataError, InputError
from sensorium.modalities.threads import for_each

_FRAMES = 512
_FLOOR = -10.0
"""log10 of the least power that is told from silence."""
_RANGE = 8.0
"""Powers of ten below a sound's loudest that are kept."""


@dataclass(frozen=True, kw_only=True)
class MelSpec:
    """How a sound becomes a log-mel spectrogram.

    Args:
        rate: samples a second.
        n_fft: samples in a frame, even.
        hop: samples from one frame to the next.
        mels: bands, from 0 to half of the rate.
        seconds: what every sound is padded with silence or cut to; None keeps lengths.

    Raises:
        ConfigError: a number is out of range.
    """

    rate: int = 16_000
    n_fft: int = 400
    hop: int = 160
    mels: int = 80
    seconds: float | None = 30.0

    def __post_init__(self) -> None:
        numbers = self.rate, self.n_fft, self.hop, self.mels
        if min(numbers) < 1 or self.n_fft % 2:
            raise ConfigError(f"rate, n_fft, hop and mels {numbers} must be above 0, and n_fft even")
        if self.seconds is not None and not self.n_fft < self.seconds * self.rate < 1 << 40:
            raise ConfigError(f"{self.seconds} seconds are not longer than a frame, or are without end")

    def frames(self, samples: int) -> int:
        """How many frames a sound of so many samples has."""
        if self.seconds is not None:
            return int(self.seconds * self.rate) // self.hop
        return max(math.ceil(samples / self.hop), self.n_fft // 2 // self.hop + 1)

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> MelSpec:
        """The settings of Whisper's `preprocessor_config.json`.

        Raises:
            CapabilityError: another feature extractor, or settings that change its numbers otherwise.
            CheckpointError: a value is not of its kind.
        """
        named = config.get("feature_extractor_type")
        if named != "WhisperFeatureExtractor":
            raise CapabilityError(f"{named} is not read here; WhisperFeatureExtractor is", fix="Use its own extractor")
        rate = config.get("sampling_rate", 16_000)
        if rate != 16_000 or config.get("dither", 0.0) or config.get("padding_value", 0.0):
            raise CapabilityError("only 16000 Hz without dither, padded with 0, is read here")
        spec = {"n_fft": "n_fft", "hop": "hop_length", "mels": "feature_size", "seconds": "chunk_length"}
        given = {field: config[key] for field, key in spec.items() if key in config}
        if wrong := {key: value for key, value in given.items() if type(value) is not int}:
            raise CheckpointError(f"not whole numbers: {wrong}", fix="Copy or download the model anew")
        try:
            return cls(**{**given, "seconds": float(given.get("seconds", 30))})
        except ConfigError as error:
            raise CheckpointError(error.problem, fix="Copy or download the model anew") from error

    def to_dict(self) -> dict[str, Any]:
        """The same as a `preprocessor_config.json` that stock `transformers` opens.

        Raises:
            CapabilityError: Whisper's extractor cannot compute this.
        """
        if self.rate != 16_000 or self.seconds is None or self.seconds != int(self.seconds):
            raise CapabilityError("Whisper's extractor takes 16000 Hz, padded to whole seconds", fix="Set these")
        seconds = int(self.seconds)
        return {
            "feature_extractor_type": "WhisperFeatureExtractor",
            "feature_size": self.mels,
            "sampling_rate": self.rate,
            "hop_length": self.hop,
            "chunk_length": seconds,
            "n_fft": self.n_fft,
            "n_samples": seconds * self.rate,
            "nb_max_frames": seconds * self.rate // self.hop,
            "padding_side": "right",
            "padding_value": 0.0,
            "dither": 0.0,
            "return_attention_mask": False,
        }


def log_mel(
    sounds: Float[Tensor, " samples"] | Float[Tensor, "batch samples"] | Sequence[Float[Tensor, " _"]], spec: MelSpec
) -> Float[Tensor, "batch mels frames"]:
    """Log-mel spectrograms: log10 of the power, what lies 8 below a sound's own greatest raised to that, (x + 4) / 4.

    Without `spec.seconds`, each sound is filled with silence to a whole frame, and the batch to its longest sound:
    `spec.frames` says how many frames of a row are its own. What a row holds does not depend on its neighbours.

    Args:
        sounds: one sound, a batch, or sounds of different lengths; at `spec.rate`.
        spec: how.

    Raises:
        InputError: there are no sounds.
        DataError: one is empty, or holds samples that are not finite.
    """
    rows = [sounds] if isinstance(sounds, Tensor) and sounds.ndim == 1 else list(sounds)
    if not rows:
        raise InputError("no sounds were given", fix="Give one or more")
    if empty := [index for index, row in enumerate(rows) if not len(row)]:
        raise DataError("there are no samples in it", where=f"sound {empty[0]}", fix="Leave it out")
    places = _lay_out(rows, spec)
    powers = _log_powers(_flat(rows, places, spec), spec)
    result = powers.new_empty(len(rows), spec.mels, max(place.own for place in places))

    def finish(index: int) -> None:
        place, row = places[index], result[index]
        heard = powers[:, place.first : place.first + place.heard]
        loudest = float(heard.max())
        if not math.isfinite(loudest):
            raise DataError("samples are not finite numbers", where=f"sound {index}", fix="Leave it out")
        floor = max(_FLOOR, loudest - _RANGE)
        torch.clamp(heard, min=floor, out=row[:, : place.heard])
        row[:, place.heard :] = floor

    for_each(finish, range(len(rows)), threads=_threads(result.device))
    return result.add_(4.0).div_(4.0)


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where one sound stands among the frames of all."""

    first: int
    own: int
    heard: int
    """Frames that hold more than silence."""
    whole: int
    """Samples that the sound is padded with silence or cut to."""

    def reach(self, spec: MelSpec) -> int:
        """The sample up to which its heard frames look."""
        return (self.heard - 1) * spec.hop + spec.n_fft // 2


def _lay_out(rows: Sequence[Float[Tensor, " _"]], spec: MelSpec) -> list[_Place]:
    places, first = [], 0
    for row in rows:
        own = spec.frames(len(row))
        whole = own * spec.hop if spec.seconds is None else int(spec.seconds * spec.rate)
        heard = min(own, math.ceil((min(len(row), whole) + spec.n_fft // 2) / spec.hop))
        places.append(_Place(first=first, own=own, heard=heard, whole=whole))
        first += heard + math.ceil(spec.n_fft / spec.hop)  # so that no frame of this sound looks into the next
    return places


def _flat(
    rows: Sequence[Float[Tensor, " _"]], places: Sequence[_Place], spec: MelSpec
) -> Float[Tensor, " all_samples"]:
    """All sounds in one row, each at a whole frame, its ends mirrored by half of a frame."""
    half, last = spec.n_fft // 2, places[-1]
    frames = last.first + last.heard + math.ceil(spec.n_fft / spec.hop)
    flat = rows[0].new_zeros(frames * spec.hop, dtype=torch.float32)
    for row, place in zip(rows, places, strict=True):
        sound = flat[place.first * spec.hop :]
        heard = row[: place.whole]
        sound[half : half + len(heard)] = heard
        sound[:half] = sound[half + 1 : 2 * half + 1].flip(0)
        if (beyond := place.reach(spec) - place.whole) > 0:
            end = half + place.whole
            sound[end : end + beyond] = sound[end - 1 - beyond : end - 1].flip(0)
    return flat


def _log_powers(flat: Float[Tensor, " all_samples"], spec: MelSpec) -> Float[Tensor, "mels all_frames"]:
    frames = flat.unfold(0, spec.n_fft, spec.hop)
    window, bands = _window(spec.n_fft, flat.device), mel_bands(spec).to(flat.device)
    powers = flat.new_empty(spec.mels, len(frames))

    def work(start: int) -> None:
        spectrum = torch.fft.rfft(frames[start : start + _FRAMES] * window)
        squares = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)
        part = powers[:, start : start + _FRAMES]
        torch.mm(bands, squares.T, out=part)
        part.clamp_(min=10**_FLOOR).log10_()

    for_each(work, range(0, len(frames), _FRAMES), threads=_threads(flat.device))
    return powers


def _threads(device: torch.device) -> int | None:
    """Side by side on a CPU, one after another on a device that computes side by side itself."""
    return None if device.type == "cpu" else 1


@lru_cache(maxsize=8)
def mel_bands(spec: MelSpec) -> Float[Tensor, "mels bins"]:
    """Triangles of equal area, evenly spaced on Slaney's (1998) scale: even to 1 kHz, then logarithmic."""
    top = _to_mel(spec.rate / 2)
    edges = _to_hertz(np.linspace(0.0, top, spec.mels + 2))
    bins = np.linspace(0.0, spec.rate / 2, spec.n_fft // 2 + 1)
    slopes = edges[:, None] - bins
    widths = np.diff(edges)[:, None]
    triangles = np.maximum(0.0, np.minimum(-slopes[:-2] / widths[:-1], slopes[2:] / widths[1:]))
    triangles *= (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return torch.from_numpy(triangles.astype(np.float32))


@lru_cache(maxsize=8)
def _window(n_fft: int, device: torch.device) -> Float[Tensor, " n_fft"]:
    return torch.hann_window(n_fft, device=device)


_LINEAR, _BEND, _STEP = 3.0 / 200.0, 1000.0, math.log(6.4) / 27.0


def _to_mel(hertz: float) -> float:
    if hertz < _BEND:
        return hertz * _LINEAR
    return _BEND * _LINEAR + math.log(hertz / _BEND) / _STEP


def _to_hertz(mels: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    bend = _BEND * _LINEAR
    return np.where(mels < bend, mels / _LINEAR, _BEND * np.exp(_STEP * (np.maximum(mels, bend) - bend)))
