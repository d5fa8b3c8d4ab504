"""What a loaded model does with sounds: the part of `LanguageModel` that hears."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import Any, Unpack, overload

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from sensorium.errors import CapabilityError, DataError, InputError
from sensorium.files import StrPath
from sensorium.inference.engine import Capability, Engine
from sensorium.inference.speech import SpeechEngine
from sensorium.modalities.audio import MAX_SECONDS, read_audio
from sensorium.results import Transcription
from sensorium.tasks.texts import place
from sensorium.tasks.transcribe import transcribe_all
from sensorium.tasks.transcribe_wish import TranscribeOptions, transcribe_wish

Sound = StrPath | bytes | NDArray[Any] | Tensor
"""A file, its bytes, or samples of one channel."""
Sounds = list[Any] | tuple[Any, ...]


class Hears(ABC):
    """A handle of a model that may be able to hear."""

    source: str

    @abstractmethod
    def engine_for(self, task: Capability, *, causal: bool | None = None) -> Engine:
        """The engine that does a task."""

    @overload
    def transcribe(
        self, sound: Sound, *, max_seconds: float = MAX_SECONDS, **options: Unpack[TranscribeOptions]
    ) -> Transcription: ...
    @overload
    def transcribe(
        self, sound: Sounds, *, max_seconds: float = MAX_SECONDS, **options: Unpack[TranscribeOptions]
    ) -> list[Transcription]: ...
    def transcribe(
        self, sound: Sound | Sounds, *, max_seconds: float = MAX_SECONDS, **options: Unpack[TranscribeOptions]
    ) -> Transcription | list[Transcription]:
        """Write down what is said in a sound, or in each sound of a list.

        Args:
            sound: a file of any format, rate and number of channels; its bytes; or samples of one channel at the
                model's rate (Whisper's is 16 kHz), an array of floats within -1 to 1.
            max_seconds: longer sounds are refused.
            options: see `TranscribeOptions`.

        Raises:
            InputError: there is no such file, an option is out of range, or the language is not known.
            DataError: a sound is empty, damaged or too long, or holds samples that are no numbers.
            CapabilityError: the model does not transcribe, or a package that reads sounds is not installed.
        """
        engine = self.engine_for("transcribe")
        if not isinstance(engine, SpeechEngine):
            raise CapabilityError("the model does not transcribe", where=self.source)
        wish = transcribe_wish(engine, **options)
        if not max_seconds > 0:
            raise InputError(f"max_seconds={max_seconds} leaves nothing to hear", fix="Give seconds above 0")
        several = isinstance(sound, list | tuple)
        sounds = list(sound) if isinstance(sound, list | tuple) else [sound]
        samples = [
            samples_of(one, rate=engine.mel.rate, max_seconds=max_seconds, where=place(number, sounds, "sound"))
            for number, one in enumerate(sounds)
        ]
        found = transcribe_all(engine, samples, wish)
        return found if several else found[0]


def samples_of(
    sound: object, *, rate: int, max_seconds: float = MAX_SECONDS, where: str | None = None
) -> Float[Tensor, " samples"]:
    """The samples of a sound that is handed in.

    Args:
        sound: a file, its bytes, or samples of one channel at `rate`.
        rate: samples a second.
        max_seconds: longer sounds are refused.
        where: how a message names samples that were handed in.

    Raises:
        InputError: it is no sound, of several channels, or of whole numbers.
        DataError: it is empty, damaged or too long, or holds samples that are no numbers.
    """
    if isinstance(sound, str | bytes | os.PathLike):
        return read_audio(sound, rate=rate, max_seconds=max_seconds)
    if not isinstance(sound, np.ndarray | Tensor):
        raise InputError(
            f"expected a sound, got {type(sound).__name__}",
            where=where,
            fix="Give a path, bytes, or an array of samples",
        )
    samples = torch.as_tensor(sound).detach().cpu()
    if samples.ndim != 1:
        raise InputError(
            f"samples of shape {list(samples.shape)} are not of one channel",
            where=where,
            fix="Give one row of samples: the mean of the channels",
        )
    if not samples.is_floating_point():
        raise InputError(
            f"samples of {samples.dtype} have no known range", where=where, fix="Scale them to floats within -1 to 1"
        )
    if not len(samples):
        raise DataError("there are no samples in it", where=where, fix="Leave it out")
    if len(samples) > max_seconds * rate:
        raise DataError(
            f"{len(samples) / rate:,.0f} s long, and the limit is {max_seconds:,.0f} s",
            where=where,
            fix="Cut it, or raise the limit (max_seconds)",
        )
    samples = samples.float()
    if not bool(samples.isfinite().all()):
        at = int((~samples.isfinite()).nonzero()[0])
        raise DataError(f"sample {at:,} ({at / rate:.3f} s) is no finite number", where=where, fix="Leave it out")
    return samples
