"""What other senses give a Transformer: pictures and spectrograms in patches, sound as frames, clips as tubelets.

Unusual: one `PatchEmbed` cuts two dimensions (a picture; a spectrogram with one channel) or three (a clip, in
tubelets). A patch's convolution strides by its own size, so it is one matrix product of the cut patches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from sensorium.core.attend import Backend
from sensorium.core.capture import Capture
from sensorium.core.config import NormConfig, TrunkConfig
from sensorium.core.dropout import Dropout
from sensorium.core.norm import build_norm
from sensorium.core.stack import Hidden, Trunk
from sensorium.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchEmbedConfig:
    """Patches of a picture (ViT: Dosovitskiy et al. 2021), of a spectrogram (AST: Gong et al. 2021), or tubelets of a
    clip (ViViT: Arnab et al. 2021)."""

    channels: int
    size: tuple[int, ...]
    """Of the input: (height, width), (mels, frames) or (frames, height, width)."""
    patch: tuple[int, ...]
    """Of one patch, in the same order."""
    bias: bool
    cls: bool
    """Whether a learned vector stands before the patches, to gather what is told of the whole."""
    norm: NormConfig | None = None
    """After the positions (CLIP)."""
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if len(self.size) != len(self.patch) or len(self.size) not in (2, 3):
            raise ConfigError(f"size={self.size} and patch={self.patch} must have the same two or three dimensions")
        if any(part < 1 for part in self.patch) or any(a < b for a, b in zip(self.size, self.patch, strict=True)):
            raise ConfigError(f"a patch of {self.patch} does not fit into {self.size}")

    @property
    def grid(self) -> tuple[int, ...]:
        """Patches along each dimension; what is left over at the end of one is not read."""
        return tuple(a // b for a, b in zip(self.size, self.patch, strict=True))

    @property
    def n_patches(self) -> int:
        return math.prod(self.grid)

    @property
    def tokens(self) -> int:
        """Vectors that the blocks read."""
        return self.n_patches + self.cls


@dataclass(frozen=True, kw_only=True, slots=True)
class MelEmbedConfig:
    """Whisper's two convolutions over log-mel frames, the second of which halves their number (Radford et al. 2023)."""

    mels: int
    tokens: int
    """The most frames after the second convolution."""
    trained_positions: bool = False
    """Whisper stores its sines and cosines beside the weights and does not train them."""
    dropout: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class VectorEmbedConfig:
    """Vectors that something else made (frames of a clip, say), with learned positions."""

    width: int
    """Of the vectors given; a linear map brings them to the trunk's."""
    tokens: int
    """The most of them."""
    cls: bool
    norm: NormConfig | None = None
    dropout: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class SenseConfig(TrunkConfig):
    """A trunk and what makes its vectors of another sense's input."""

    embed: PatchEmbedConfig | MelEmbedConfig | VectorEmbedConfig

    def __post_init__(self) -> None:
        if any(block.cross is not None for block in self.blocks):
            raise ConfigError("a stack of another sense has no cross-attention: nothing is handed to it to read")


class PatchEmbed(nn.Module):
    """Patches through one linear map, after a class vector where there is one, plus learned positions."""

    def __init__(self, config: PatchEmbedConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        self.weight = nn.Parameter(torch.empty(dim, config.channels, *config.patch))
        self.bias = nn.Parameter(torch.zeros(dim)) if config.bias else None
        self.cls = nn.Parameter(torch.zeros(dim)) if config.cls else None
        self.positions = nn.Embedding(config.tokens, dim)
        self.norm = build_norm(config.norm, dim) if config.norm else None
        self.dropout = Dropout(config.dropout)
        nn.init.trunc_normal_(self.weight, std=0.02)

    def forward(
        self, x: Float[Tensor, "batch channels *size"], visible: Int[Tensor, "batch kept"] | None = None
    ) -> Float[Tensor, "batch tokens dim"]:
        """Embed.

        Args:
            x: pictures, spectrograms (one channel) or clips (channels before frames), of the configured size.
            visible: only these patches of each (He et al. 2022, masked autoencoders), by their number in the grid.

        Raises:
            ConfigError: the input has another size.
        """
        patches, places = self.cut(x), self.positions.weight[int(self.config.cls) :].expand(len(x), -1, -1)
        if visible is not None:
            patches, places = pick(patches, visible), pick(places, visible)
        vectors = F.linear(patches, self.weight.flatten(1), self.bias) + places
        if self.cls is not None:
            first = (self.cls + self.positions.weight[0]).to(vectors.dtype)
            vectors = torch.cat((first.expand(len(x), 1, -1), vectors), dim=1)
        if self.norm is not None:
            vectors = self.norm(vectors)
        return self.dropout(vectors)  # type: ignore[no-any-return]

    def cut(self, x: Float[Tensor, "batch channels *size"]) -> Float[Tensor, "batch patches values"]:
        """The patches, row by row, each with all its values, channel by channel.

        Raises:
            ConfigError: the input has another size.
        """
        config = self.config
        if tuple(x.shape[1:]) != (config.channels, *config.size):
            raise ConfigError(
                f"the input is {list(x.shape[1:])}, the model reads {[config.channels, *config.size]}",
                fix="Bring it to that size first",
            )
        for i, (n, size) in enumerate(zip(config.grid, config.patch, strict=True)):
            at = 2 + 2 * i  # each dimension before has become two
            x = x.narrow(at, 0, n * size).unflatten(at, (n, size))  # type: ignore[no-untyped-call]
        dims = len(config.grid)
        grid, inside = [2 + 2 * i for i in range(dims)], [3 + 2 * i for i in range(dims)]
        patches: Tensor = x.permute(0, *grid, 1, *inside).reshape(len(x), config.n_patches, -1)
        return patches.to(self.weight.dtype)


class MelEmbed(nn.Module):
    """conv(3) · GELU · conv(3, stride 2) · GELU, plus positions."""

    def __init__(self, config: MelEmbedConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        self.first = nn.Conv1d(config.mels, dim, 3, padding=1)
        self.second = nn.Conv1d(dim, dim, 3, stride=2, padding=1)
        self.positions = nn.Embedding(config.tokens, dim)
        self.positions.weight.requires_grad_(config.trained_positions)
        self.dropout = Dropout(config.dropout)
        if not config.trained_positions:
            with torch.no_grad():
                self.positions.weight.copy_(whisper_sinusoids(config.tokens, dim))

    def forward(self, mel: Float[Tensor, "batch mels frames"]) -> Float[Tensor, "batch tokens dim"]:
        """Embed.

        Raises:
            ConfigError: other mel bands, or more frames than there are positions for.
        """
        config = self.config
        if mel.shape[1] != config.mels or mel.shape[2] > 2 * config.tokens:
            raise ConfigError(
                f"the spectrogram is {list(mel.shape[1:])}, the model reads {config.mels} mel bands and at most "
                f"{2 * config.tokens} frames",
                fix="Make the spectrogram by the model's own settings, in shorter pieces",
            )
        x = F.gelu(self.second(F.gelu(self.first(mel)))).transpose(1, 2)
        return self.dropout(x + self.positions.weight[: x.shape[1]])  # type: ignore[no-any-return]


class VectorEmbed(nn.Module):
    """Given vectors through a linear map where their width differs, plus learned positions."""

    def __init__(self, config: VectorEmbedConfig, dim: int) -> None:
        super().__init__()
        self.config = config
        self.linear = nn.Linear(config.width, dim) if config.width != dim else None
        self.cls = nn.Parameter(torch.zeros(dim)) if config.cls else None
        self.positions = nn.Embedding(config.tokens + config.cls, dim)
        self.norm = build_norm(config.norm, dim) if config.norm else None
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "batch seq width"]) -> Float[Tensor, "batch tokens dim"]:
        """Embed.

        Raises:
            ConfigError: more vectors than there are positions for.
        """
        if x.shape[1] > self.config.tokens:
            raise ConfigError(f"{x.shape[1]} vectors, the model reads at most {self.config.tokens}")
        if self.linear is not None:
            x = self.linear(x)
        if self.cls is not None:
            x = torch.cat((self.cls.expand(len(x), 1, -1).to(x.dtype), x), dim=1)
        x = x + self.positions.weight[: x.shape[1]]
        if self.norm is not None:
            x = self.norm(x)
        return self.dropout(x)  # type: ignore[no-any-return]


class SenseStack(Trunk):
    """What makes vectors of a sense's input, blocks, final norm."""

    config: SenseConfig

    def __init__(self, config: SenseConfig) -> None:
        super().__init__(config, _embed(config))

    def forward(
        self,
        x: Tensor,
        *,
        visible: Int[Tensor, "batch kept"] | None = None,
        backend: Backend = "auto",
        capture: Capture | None = None,
    ) -> Hidden:
        """Hidden states of all vectors, the class vector's first.

        Args:
            x: what the embedding reads: pictures "batch channels height width", clips "batch channels frames height
                width", log-mel frames "batch mels frames", vectors "batch seq width".
            visible: see `PatchEmbed`.
            backend: see `attend`.
            capture: filled with what is asked of it.

        Raises:
            ConfigError: the input is not of the size that the stack reads.
        """
        if visible is not None and not isinstance(self.embed, PatchEmbed):
            raise ConfigError("only patches can be left out of what a stack reads")
        vectors = self.embed(x) if visible is None else self.embed(x, visible)
        return self.run(vectors, backend=backend, capture=capture)


def _embed(config: SenseConfig) -> nn.Module:
    match config.embed:
        case PatchEmbedConfig() as embed:
            return PatchEmbed(embed, config.dim)
        case MelEmbedConfig() as embed:
            return MelEmbed(embed, config.dim)
        case VectorEmbedConfig() as embed:
            return VectorEmbed(embed, config.dim)


def whisper_sinusoids(length: int, dim: int) -> Float[Tensor, "length dim"]:
    """Whisper's positions: sines, then cosines, of wavelengths from 2π to 10,000 · 2π."""
    steps = math.log(10_000.0) / (dim // 2 - 1)
    scales = torch.exp(-steps * torch.arange(dim // 2, dtype=torch.float32))
    angles = torch.arange(length, dtype=torch.float32)[:, None] * scales
    return torch.cat((angles.sin(), angles.cos()), dim=1)


def pick(x: Float[Tensor, "batch seq dim"], places: Int[Tensor, "batch kept"]) -> Float[Tensor, "batch kept dim"]:
    """The vectors that stand at these places of each row."""
    return x.gather(1, places[..., None].expand(-1, -1, x.shape[-1]))


def has_class_vector(config: SenseConfig) -> bool:
    """Whether the first hidden state is of no patch but of the whole."""
    return not isinstance(config.embed, MelEmbedConfig) and config.embed.cls
