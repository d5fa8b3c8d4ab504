"""Our core's model of speech as an engine: windows of sound in, beams as branches of one row a window."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sensorium.core.cache import CrossMemory
from sensorium.core.speech import SpeechToText
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import CheckpointError, SensoriumError
from sensorium.families.checkpoint import read_speech
from sensorium.families.senses import read_preprocessor
from sensorium.files import StrPath
from sensorium.inference.branches import BranchState, LogitsBuffer
from sensorium.inference.engine import Capability, Ids
from sensorium.inference.speech_facts import SpeechFacts, read_speech_facts
from sensorium.inference.unable import Unable
from sensorium.modalities.mel import MelSpec


class NativeSpeechEngine(Unable):
    """A model of the core that writes down speech, its tokenizer, and how sounds become what it hears.

    Args:
        model: on its device, in its precision. It is put into evaluation and its gradients are turned off.
        tokenizer: the model's.
        facts: the tokens that steer it.
        mel: how sounds become log-mel frames.
        source: where it came from, for messages.

    Raises:
        CheckpointError: tokenizer, spectrogram and model do not fit each other.
    """

    name = "native"
    causal = False
    capabilities: frozenset[Capability] = frozenset({"transcribe"})

    def __init__(
        self, model: SpeechToText, tokenizer: Tokenizer, *, facts: SpeechFacts, mel: MelSpec, source: str
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer, self.facts, self.mel, self.source = tokenizer, facts, mel, source
        self.eos_ids = facts.writing.eos_ids
        self.context: int | None = None
        self.frames = model.config.frames
        self.target_context = model.config.decoder.context or 0
        self.device = next(model.parameters()).device
        vocabulary = model.config.decoder.embed.vocab_size
        if tokenizer.vocab_size > vocabulary:
            raise CheckpointError(
                f"the tokenizer has {tokenizer.vocab_size} tokens, the model only {vocabulary}",
                where=source,
                fix="Put the tokenizer files that belong to this model into the folder",
            )
        if (mel.mels, mel.frames(0)) != (model.config.mel.mels, self.frames):
            raise CheckpointError(
                f"the spectrogram has {mel.mels} mel bands and {mel.frames(0)} frames, the model reads "
                f"{model.config.mel.mels} and {self.frames}",
                where=source,
                fix="Put the preprocessor_config.json that belongs to this model into the folder",
            )
        self._buffer = LogitsBuffer(model)

    @classmethod
    def open(cls, source: StrPath, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> NativeSpeechEngine:
        """Open a Hugging Face folder.

        Raises:
            CheckpointError: it is corrupt or incomplete.
            CapabilityError: the core does not know its family, or it is no model of speech.
        """
        folder = Path(source)
        loaded = read_speech(folder, dtype=dtype, device=device)
        if not (folder / "tokenizer.json").is_file() and (folder / "vocab.json").is_file():
            raise CheckpointError(
                "tokenizer.json is missing; vocab.json and merges.txt do not hold the tokens of languages and times",
                where=str(source),
                fix="Write it with stock transformers: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)",
            )
        tokenizer = Tokenizer.from_folder(folder)
        facts = read_speech_facts(loaded.config, folder, tokenizer=tokenizer)
        return cls(loaded.model, tokenizer, facts=facts, mel=_mel(folder, loaded.model), source=str(source))

    @torch.inference_mode()
    def hear(self, windows: Float[Tensor, "windows mels frames"]) -> CrossMemory:
        """See `SpeechEngine`."""
        dtype = self.model.decoder.embed.tokens.weight.dtype
        return self.model.memory(self.model.encode(windows.to(device=self.device, dtype=dtype)))

    @torch.inference_mode()
    def begin(
        self, heard: CrossMemory, prompts: Int[Tensor, "windows length"], places: Ids, beams: int = 1
    ) -> tuple[BranchState, Float[Tensor, "windows places vocab"]]:
        """See `SpeechEngine`."""
        state = BranchState(self.model, heard, beams, self._buffer)
        return state, state.begin(prompts.to(self.device), places)


def _mel(folder: Path, model: SpeechToText) -> MelSpec:
    """The settings of the spectrogram that the folder states, or else Whisper's."""
    settings = read_preprocessor(folder)
    if settings is not None:
        try:
            return MelSpec.from_dict(settings)
        except SensoriumError as error:
            raise type(error)(error.problem, where=str(folder), fix=error.fix) from error
    spec = MelSpec(mels=model.config.mel.mels)
    # Half a sample more, so that no rounding makes a window one sample short.
    return replace(spec, seconds=(model.config.frames * spec.hop + 0.5) / spec.rate)
