"""The encoders of a fused model behind one interface: what was read to hidden states.

A text's is an `Encoder`, a picture's and a sound's a `SenseEncoder`; each is saved as a stock Hugging Face folder.
Clips are read frame by frame by a `SenseEncoder`, and the frames' vectors by a small stack (ViViT's factorised encoder,
Arnab et al. 2021). Numbers and categories go through a small network.

Unusual: Whisper's encoder comes with its decoder, which is neither run nor trained, so that its folder stays Whisper's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sensorium.core.config import ModelConfig, NormConfig
from sensorium.core.linear import Linear
from sensorium.core.model import Encoder
from sensorium.core.sense_encoder import SenseEncoder, SenseModelConfig
from sensorium.core.senses import PatchEmbedConfig, SenseConfig, SenseStack, VectorEmbedConfig
from sensorium.core.speech import SpeechConfig, SpeechToText
from sensorium.errors import ConfigError
from sensorium.families.towers import blocks

_EPS = 1e-12


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeConfig:
    """What reads the vectors of a clip's frames."""

    dim: int
    heads: int
    layers: int
    frames: int

    def stack(self, width: int) -> SenseConfig:
        """Its stack, over vectors of a width."""
        return SenseConfig(
            dim=self.dim,
            embed=VectorEmbedConfig(width=width, tokens=self.frames, cls=False),
            blocks=blocks(
                dim=self.dim, layers=self.layers, heads=self.heads, feedforward=4 * self.dim, activation_name="gelu",
                eps=_EPS,
            ),
            causal=False,
            final_norm=NormConfig(kind="layernorm", eps=_EPS),
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class NumbersConfig:
    """A network over numbers and categories.

    Args:
        numbers: how many numbers, which come first.
        categories: how many codes each category has.
        dim: of what is told.
        hidden: between.
        embedding: width of a category.
    """

    numbers: int
    categories: tuple[int, ...]
    dim: int
    hidden: int
    embedding: int = 8

    @property
    def inputs(self) -> int:
        return 2 * self.numbers + self.embedding * len(self.categories)


class NumbersEncoder(nn.Module):
    """Numbers, whether each is missing, and embedded categories, through two linear maps."""

    def __init__(self, config: NumbersConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = nn.ModuleList(nn.Embedding(size, config.embedding) for size in config.categories)
        self.first = Linear(config.inputs, config.hidden)
        self.second = Linear(config.hidden, config.dim)

    def forward(self, x: Float[Tensor, "batch width"], *, valid: None = None) -> Float[Tensor, "batch 1 dim"]:
        """Encode; see `NumbersSpec.encode`."""
        numbers, codes = x[:, : self.config.numbers], x[:, self.config.numbers :].long()
        missing = numbers.isnan()
        parts = [torch.where(missing, 0.0, numbers), missing.to(x.dtype)]
        parts += [embedding(codes[:, place]) for place, embedding in enumerate(self.embeddings)]
        return self.second(F.gelu(self.first(torch.cat(parts, dim=1))))[:, None]  # type: ignore[no-any-return]


class TextEncoder(nn.Module):
    """An `Encoder` that is handed all by keyword or place alike."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.model = Encoder(config)

    def forward(
        self, ids: Int[Tensor, "batch seq"], *, valid: Bool[Tensor, "batch seq"] | None = None
    ) -> Float[Tensor, "batch seq dim"]:
        return self.model(ids, valid=valid)  # type: ignore[no-any-return]


class PatchEncoder(nn.Module):
    """A `SenseEncoder`; a spectrogram gets the one channel that patches are cut of."""

    def __init__(self, config: SenseModelConfig) -> None:
        super().__init__()
        self.model = SenseEncoder(config)

    def forward(self, x: Float[Tensor, "batch ..."], *, valid: None = None) -> Float[Tensor, "batch seq dim"]:
        return self.model(x[:, None] if x.ndim == 3 else x)  # type: ignore[no-any-return]


class SpeechEncoder(nn.Module):
    """The encoder of a Whisper (Radford et al. 2023)."""

    def __init__(self, config: SpeechConfig) -> None:
        super().__init__()
        self.model = SpeechToText(config)
        for name, parameter in self.model.named_parameters():
            if not name.startswith("encoder."):
                parameter.requires_grad_(False)

    def forward(self, mel: Float[Tensor, "batch mels frames"], *, valid: None = None) -> Float[Tensor, "batch seq dim"]:
        return self.model.encode(mel)


class ClipEncoder(nn.Module):
    """Frames one by one, then their vectors."""

    def __init__(self, config: SenseModelConfig, time: TimeConfig) -> None:
        super().__init__()
        self.model = SenseEncoder(config)
        self.time = SenseStack(time.stack(config.tower.width))

    def forward(
        self, x: Float[Tensor, "batch frames 3 height width"], *, valid: None = None
    ) -> Float[Tensor, "batch frames dim"]:
        vectors = self.model.pooled(self.model(x.flatten(0, 1)))
        return self.time(vectors.unflatten(0, x.shape[:2]))  # type: ignore[no-any-return,no-untyped-call]


EncoderConfig = ModelConfig | SenseModelConfig | SpeechConfig | NumbersConfig
AnyEncoder = TextEncoder | PatchEncoder | SpeechEncoder | ClipEncoder | NumbersEncoder


def build_encoder(config: EncoderConfig, time: TimeConfig | None) -> AnyEncoder:
    """The encoder of a configuration, with weights that are to be drawn.

    Raises:
        ConfigError: sounds or pictures are not read in patches.
    """
    match config:
        case ModelConfig():
            return TextEncoder(config)
        case NumbersConfig():
            return NumbersEncoder(config)
        case SpeechConfig():
            return SpeechEncoder(config)
        case SenseModelConfig():
            stack = config.tower.stack
            if not isinstance(stack, SenseConfig) or not isinstance(stack.embed, PatchEmbedConfig):
                raise ConfigError("the encoder does not read patches", fix="Give the folder of a ViT")
            return PatchEncoder(config) if time is None else ClipEncoder(config, time)
