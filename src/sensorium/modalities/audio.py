"""Sounds: any file that libsndfile knows to one channel at one rate, in 32-bit floats.

Unusual: the length is checked from the header, before a sample is decoded; what is longer, or has many channels, is
read in blocks, each brought to one channel at once, so that memory holds one channel.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from sensorium.errors import DataError, InputError, require
from sensorium.files import StrPath
from sensorium.modalities.kinds import looks_like
from sensorium.modalities.source import Opened, opened, where

MAX_SECONDS = 3600.0

_BLOCK = 1 << 22
"""Values that are read at a time, over all channels."""
_UNKNOWN = 1 << 48
"""From here on, a number of samples in a header only says that nobody knows."""
_STREAMED = 0x7FFF0000
"""From here on, so does a size in the header of a WAV or an AIFF file."""
_EXACT = ("WAV", "WAVEX", "FLAC", "AIFF", "W64", "RF64", "CAF", "AU")
"""Formats whose headers count their samples exactly."""
_COPY = "Copy it anew, or leave it out"


def read_audio(
    source: StrPath | bytes, *, rate: int = 16_000, max_seconds: float = MAX_SECONDS
) -> Float[Tensor, " samples"]:
    """A sound as one channel, mostly within -1 to 1, at `rate` samples a second.

    Channels are averaged; another rate is resampled by soxr in its high quality. Silence is a sound like any other.

    Raises:
        InputError: there is no such file, it cannot be opened, or the rate is not above 0.
        DataError: it is empty, truncated, longer than `max_seconds`, not a sound, or holds samples that are no numbers.
        CapabilityError: the extra `audio` is not installed.
    """
    if rate < 1:
        raise InputError(f"a rate of {rate} samples a second is impossible", fix="Give one above 0, such as 16000")
    soundfile = require("soundfile", extra="audio", purpose="reading sound")
    with opened(source) as file, _damage(source, soundfile):
        _refuse_truncated(file, source)
        with soundfile.SoundFile(_handed(file, source)) as sound:
            known = int(sound.frames)
            if known < _UNKNOWN:
                refuse_long(known / sound.samplerate, max_seconds, where(source))
            samples = _one_channel(sound, source, most=int(max_seconds * sound.samplerate))
            if not len(samples):
                raise DataError("there are no samples in it", where=where(source), fix=_COPY)
            if len(samples) < known < _UNKNOWN and sound.format in _EXACT:
                raise DataError(
                    f"truncated: {len(samples):,} of {known:,} samples are there", where=where(source), fix=_COPY
                )
            original = int(sound.samplerate)
    return torch.from_numpy(resampled(samples, original, rate, where(source)))


def resampled(samples: NDArray[np.float32], original: int, rate: int, place: str) -> NDArray[np.float32]:
    """One channel at another rate.

    Raises:
        DataError: the rates are too far apart, or too few samples are there to make one of.
    """
    if original == rate:
        return samples
    soxr = require("soxr", extra="audio", purpose="resampling sound")
    try:
        changed: NDArray[np.float32] = np.ascontiguousarray(soxr.resample(samples, original, rate, quality="HQ"))
    except (RuntimeError, ValueError) as error:
        raise DataError(f"cannot be resampled from {original} Hz to {rate} Hz: {error}", where=place) from error
    if not len(changed):
        raise DataError(f"too short to be resampled from {original} Hz to {rate} Hz", where=place, fix="Leave it out")
    return changed


def refuse_long(seconds: float, most: float, place: str) -> None:
    """Raise if a sound or a clip is longer than is allowed.

    Raises:
        DataError: it is.
    """
    if seconds > most:
        raise DataError(
            f"{seconds:,.0f} s long, and the limit is {most:,.0f} s", where=place, fix="Cut it, or raise the limit"
        )


def refuse_not_finite(block: NDArray[np.float32], start: int, rate: int, place: str) -> None:
    """Raise if samples, of shape (samples, channels), hold NaN or infinity.

    Raises:
        DataError: they do; it says where.
    """
    good = np.isfinite(block)
    if not good.all():
        sample, channel = (int(part) for part in np.argwhere(~good)[0])
        at = f"sample {start + sample:,} ({(start + sample) / rate:.3f} s), channel {channel + 1}"
        raise DataError(f"{at} is {block[sample, channel]}, not a finite number", where=place, fix="Leave it out")


def _one_channel(sound: Any, source: StrPath | bytes, *, most: int) -> NDArray[np.float32]:
    """All samples, averaged over the channels."""
    parts: list[NDArray[np.float32]] = []
    length = max(1, _BLOCK // int(sound.channels))
    done, more = 0, True
    while more and len(block := sound.read(length, dtype="float32", always_2d=True)):
        more = len(block) == length
        refuse_not_finite(block, done, sound.samplerate, where(source))
        parts.append(block[:, 0] if block.shape[1] == 1 else block.mean(axis=1))
        done += len(block)
        if done > most:
            refuse_long(done / sound.samplerate, most / sound.samplerate, where(source))
    return np.ascontiguousarray(np.concatenate(parts)) if parts else np.empty(0, np.float32)


@contextmanager
def _damage(source: StrPath | bytes, soundfile: Any) -> Iterator[None]:
    try:
        yield
    except soundfile.LibsndfileError as error:
        looks = looks_like(source, meant="audio")
        raise DataError(
            f"not a sound that can be read{looks} ({error.error_string})", where=where(source), fix="Save it as WAV"
        ) from error


def _handed(file: Opened, source: StrPath | bytes) -> Any:
    """What libsndfile is given: a path, which it reads faster than a Python file, unless its name would mislead it."""
    file.seek(0)
    misleading = not isinstance(source, bytes) and os.fspath(source).lower().endswith(".raw")
    if isinstance(source, bytes):
        return file
    return _Nameless(file) if misleading else os.fsencode(source)


class _Nameless:
    """A file without its name: `soundfile` takes all that is called .raw for samples without a header."""

    def __init__(self, file: Opened) -> None:
        self.read, self.readinto = file.read, file.readinto
        self.seek, self.tell, self.write = file.seek, file.tell, file.write


def _refuse_truncated(file: Opened, source: StrPath | bytes) -> None:
    """libsndfile reads a truncated WAV or AIFF file as if it had ended there; its header knows better."""
    head = file.read(12)
    order: Literal["little", "big"] = "little" if head[:4] == b"RIFF" else "big"
    size = int.from_bytes(head[4:8], order)
    there = file.seek(0, os.SEEK_END)
    chunks = (head[:4], head[8:12]) in ((b"RIFF", b"WAVE"), (b"FORM", b"AIFF"), (b"FORM", b"AIFC"))
    if chunks and there < size < _STREAMED:
        raise DataError(f"truncated: {there:,} of {size + 8:,} bytes are there", where=where(source), fix=_COPY)
