"""Sound to text: an encoder of log-mel frames, and a decoder that writes what it heard (Whisper: Radford et al. 2023).

Unusual: there is no padding of sounds to mask. Each row is a window of the same length, silence to its end.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from sensorium.core.attend import Backend
from sensorium.core.attention import Source
from sensorium.core.capture import Capture
from sensorium.core.config import LanguageHeadConfig, StackConfig
from sensorium.core.encoder_decoder import Writer
from sensorium.core.mask import MaskSpec
from sensorium.core.senses import MelEmbedConfig, SenseConfig, SenseStack
from sensorium.core.stack import Hidden, Ids
from sensorium.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeechConfig:
    """A stack over log-mel frames, and a causal one over tokens whose blocks attend to it."""

    encoder: SenseConfig
    decoder: StackConfig
    language: LanguageHeadConfig
    """Over the decoder; tied means to the decoder's embedding."""

    def __post_init__(self) -> None:
        if not isinstance(self.encoder.embed, MelEmbedConfig):
            raise ConfigError("the encoder of a speech model reads log-mel frames", fix="Give it a MelEmbedConfig")
        if self.encoder.causal or not self.decoder.causal:
            raise ConfigError("a speech model is a bidirectional stack and a causal one, in this order")
        if any(block.cross is None for block in self.decoder.blocks):
            raise ConfigError("a block of the decoder has no cross-attention", fix="Set BlockConfig.cross")
        if self.encoder.dim != self.decoder.dim:
            raise ConfigError(
                f"the encoder's width is {self.encoder.dim}, the decoder's {self.decoder.dim}: they must be equal"
            )

    @property
    def mel(self) -> MelEmbedConfig:
        """What makes vectors of the frames."""
        embed = self.encoder.embed
        if not isinstance(embed, MelEmbedConfig):
            raise ConfigError("the encoder of a speech model reads log-mel frames")
        return embed

    @property
    def frames(self) -> int:
        """Log-mel frames of a window: two for each position of the encoder."""
        return 2 * self.mel.tokens


class SpeechToText(Writer):
    """A stack over sound, a stack over text, and a language head over the second."""

    encoder: SenseStack

    def __init__(self, config: SpeechConfig) -> None:
        super().__init__(SenseStack(config.encoder), config.decoder, config.language)
        self.config = config

    def forward(
        self,
        mel: Float[Tensor, "batch mels frames"],
        target: Ids,
        *,
        target_valid: Bool[Tensor, "batch seq"] | None = None,
        target_positions: Ids | None = None,
        backend: Backend = "auto",
        capture: Capture | None = None,
    ) -> Hidden:
        """Hidden states of the targets, each token of which sees those before it and the whole window.

        Args:
            mel: log-mel frames, at most `SpeechConfig.frames` of them.
            target: token ids, each row begun by the token that starts decoding.
            target_valid: False at padding, where the result is zeros.
            target_positions: see `Stack.forward`.
            backend: see `attend`.
            capture: filled from the decoder; for the encoder's part see `encode`.
        """
        source = Source(MaskSpec(causal=False), self.encoder(mel, backend=backend))
        hidden: Tensor = self.decoder(
            target, positions=target_positions, valid=target_valid, source=source, backend=backend, capture=capture
        )
        return hidden if target_valid is None else hidden * target_valid[..., None]

    def encode(
        self,
        mel: Float[Tensor, "batch mels frames"],
        *,
        backend: Backend = "auto",
        capture: Capture | None = None,
    ) -> Hidden:
        """Hidden states of the sounds, one for every two frames."""
        return self.encoder(mel, backend=backend, capture=capture)  # type: ignore[no-any-return]
