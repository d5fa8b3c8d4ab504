"""Masked modelling of pictures, spectrograms and clips: most patches are hidden, and their values are predicted.

The encoder reads the visible patches alone; a light decoder of its own width reads their vectors and a learned one in
the place of each hidden patch (masked autoencoders, He et al. 2022). Spectrograms are pictures of one channel
(AudioMAE, Huang et al. 2022). Of clips in tubelets the same places are hidden at all times, as a patch is easily
guessed from the one before it (VideoMAE, Tong et al. 2022).

Unusual: the decoder's positions are learned, where He et al. take sines and cosines.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor, nn

from sensorium.core.config import NormConfig
from sensorium.core.count_senses import tower_flops
from sensorium.core.linear import Linear
from sensorium.core.sense_encoder import SenseEncoder, SenseModelConfig
from sensorium.core.senses import PatchEmbed, PatchEmbedConfig, SenseConfig, SenseStack, VectorEmbedConfig
from sensorium.core.tower import PoolConfig, TowerConfig
from sensorium.data.decoded import Spec
from sensorium.data.sense_pairs import SensePairs, TextColumn
from sensorium.data.sense_table import Kind
from sensorium.errors import ConfigError
from sensorium.families.towers import blocks
from sensorium.objectives.alignment import Augment, prepared
from sensorium.objectives.objective import Loss, Units

_EPS = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskedConfig:
    """An encoder of patches, and the decoder that is thrown away after training."""

    encoder: SenseModelConfig
    decoder: SenseConfig
    """Reads vectors, one a patch and one more where the encoder has a class vector."""
    hidden: float = 0.75
    """Share of the patches."""
    normalised: bool = True
    """Each patch's values are predicted as they are with its own mean and deviation taken out."""

    def __post_init__(self) -> None:
        if not 0 < self.hidden < 1 or not 1 <= self.kept < self.embed.n_patches:
            raise ConfigError(f"hidden={self.hidden} leaves no patch to read or none to predict", fix="Try 0.75")
        reads = self.decoder.embed
        if not isinstance(reads, VectorEmbedConfig) or reads.tokens != self.embed.tokens or reads.cls:
            raise ConfigError("the decoder must read one vector for each vector of the encoder")

    @property
    def embed(self) -> PatchEmbedConfig:
        """How the encoder cuts its input.

        Raises:
            ConfigError: it cuts none.
        """
        stack = self.encoder.tower.stack
        if not isinstance(stack, SenseConfig) or not isinstance(stack.embed, PatchEmbedConfig):
            raise ConfigError("only what is read in patches can be masked", fix="Give a tower of patches")
        return stack.embed

    @property
    def kept(self) -> int:
        """Patches that are read."""
        embed = self.embed
        places = math.prod(embed.grid[-2:])
        return int(places * (1 - self.hidden)) * (embed.n_patches // places)


class MaskedAutoencoder(nn.Module):
    """Predicts the patches that it does not read."""

    def __init__(self, config: MaskedConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = SenseEncoder(config.encoder)
        dim, width = config.encoder.tower.stack.dim, config.decoder.dim
        self.bridge = Linear(dim, width)
        self.cls = nn.Parameter(torch.zeros(width))
        """Stands for each hidden patch; drawn anew as class vectors are."""
        self.decoder = SenseStack(config.decoder)
        self.values = Linear(width, config.embed.channels * math.prod(config.embed.patch))

    @property
    def embed(self) -> PatchEmbed:
        """What cuts the encoder's input."""
        embed = self.encoder.tower.stack.embed
        if not isinstance(embed, PatchEmbed):
            raise ConfigError("only what is read in patches can be masked")
        return embed

    def forward(
        self, x: Float[Tensor, "batch channels *size"], visible: Int[Tensor, "batch kept"]
    ) -> Float[Tensor, "batch patches values"]:
        """What each patch is thought to hold, visible ones too.

        Args:
            x: what the encoder reads.
            visible: the patches that it may read, by their number in the grid.
        """
        read = self.bridge(self.encoder.tower.stack(x, visible=visible))
        first = int(self.config.embed.cls)
        vectors = self.cls.to(read.dtype).expand(len(x), self.config.embed.n_patches, -1)
        vectors = vectors.scatter(1, visible[..., None].expand(-1, -1, read.shape[-1]), read[:, first:])
        found: Tensor = self.decoder(torch.cat((read[:, :first], vectors), dim=1))
        return self.values(found[:, first:])  # type: ignore[no-any-return]

    def targets(self, x: Float[Tensor, "batch channels *size"]) -> Float[Tensor, "batch patches values"]:
        """What each patch holds, as it is to be predicted."""
        patches = self.embed.cut(x).float()
        if not self.config.normalised:
            return patches
        mean, variance = patches.mean(-1, keepdim=True), patches.var(-1, keepdim=True)
        return (patches - mean) / (variance + _EPS).sqrt()


def masked_loss(
    found: Float[Tensor, "batch patches values"],
    targets: Float[Tensor, "batch patches values"],
    visible: Int[Tensor, "batch kept"],
) -> Float[Tensor, ""]:
    """Mean squared error over the values of the hidden patches."""
    errors = (found.float() - targets).square().mean(-1)
    hidden = torch.ones_like(errors).scatter_(1, visible, 0.0)
    return (errors * hidden).sum() / hidden.sum()


def masked_autoencoder(
    encoder: SenseModelConfig, *, dim: int, layers: int, heads: int, hidden: float = 0.75, normalised: bool = True
) -> MaskedConfig:
    """The configuration for an encoder of patches, with a decoder of this width and depth."""
    stack = encoder.tower.stack
    if not isinstance(stack, SenseConfig) or not isinstance(stack.embed, PatchEmbedConfig):
        raise ConfigError("only what is read in patches can be masked", fix="Give a tower of patches")
    decoder = SenseConfig(
        dim=dim,
        embed=VectorEmbedConfig(width=dim, tokens=stack.embed.tokens, cls=False),
        blocks=blocks(dim=dim, layers=layers, heads=heads, feedforward=4 * dim, activation_name="gelu", eps=_EPS),
        causal=False,
        final_norm=NormConfig(kind="layernorm", eps=_EPS),
    )
    return MaskedConfig(encoder=encoder, decoder=decoder, hidden=hidden, normalised=normalised)


def draw_visible(config: MaskedConfig, rng: np.random.Generator) -> NDArray[np.int64]:
    """The patches that one example may show, sorted; of tubelets, the same places at all times."""
    places = math.prod(config.embed.grid[-2:])
    times = config.embed.n_patches // places
    shown = np.sort(rng.permutation(places)[: config.kept // times])
    return (np.arange(times)[:, None] * places + shown).reshape(-1).astype(np.int64)


@dataclass(frozen=True, eq=False)
class MaskedExample:
    """One picture, sound or clip."""

    x: Tensor
    visible: NDArray[np.int64]
    seed: int | None


@dataclass(frozen=True, eq=False)
class MaskedPatchBatch:
    """Some of one kind."""

    x: Float[Tensor, "batch channels *size"]
    visible: Int[Tensor, "batch kept"]
    targets: Int[Tensor, " batch"]

    @property
    def tokens(self) -> int:
        """Files, which are what is counted here."""
        return len(self.targets)


class MaskedPatches:
    """Predicts hidden patches of the files of a table. Its size of an example is one file.

    Args:
        config: the model's.
        kind: what the files hold. Of clips read frame by frame one frame is drawn each time; an encoder of tubelets
            reads them whole.
        spec: how they were brought to one size.
        augment: how much they are changed in training.
    """

    name = "masked_patches"

    def __init__(self, config: MaskedConfig, *, kind: Kind, spec: Spec, augment: Augment = "light") -> None:
        self._config, self._kind, self._spec, self._augment = config, kind, spec, augment
        self._tubelets = len(config.embed.size) == 3

    def units(self, data: SensePairs, rng: np.random.Generator) -> Units:
        """Rows of (row of the table,)."""
        return data.rows[:, None]

    def example(self, data: SensePairs, unit: Units, rng: np.random.Generator) -> MaskedExample:
        """One file, and which of its patches are read."""
        row = int(unit[0])
        names = data.choices(row)[self._kind]
        column = data.columns[names[int(rng.integers(len(names)))]]
        if isinstance(column, TextColumn):
            raise ConfigError("texts have no patches")
        x = column.rows([row])[0]
        if self._kind == "video" and not self._tubelets:
            x = x[int(rng.integers(len(x)))][None]
        seed = int(rng.integers(1 << 62)) if data.augment and self._augment != "none" else None
        return MaskedExample(x, draw_visible(self._config, rng), seed)

    def size(self, example: MaskedExample) -> int:
        """One file."""
        return 1

    def collate(self, examples: Sequence[MaskedExample], device: torch.device | str = "cpu") -> MaskedPatchBatch:
        """Files of one size."""
        seed = examples[0].seed
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        x = prepared(self._kind, torch.stack([e.x for e in examples]), self._spec, self._augment, generator)
        if self._kind == "video":
            x = x.transpose(1, 2) if self._tubelets else x[:, 0]
        visible = torch.from_numpy(np.stack([example.visible for example in examples]))
        return MaskedPatchBatch(x.to(device), visible.to(device), torch.arange(len(examples), device=device))

    def flops(self, config: MaskedConfig) -> float:
        """Of a file."""
        read = config.kept + config.embed.cls
        decoder = TowerConfig(stack=config.decoder, pool=PoolConfig(kind="mean"), projection=None)
        return 3.0 * (tower_flops(config.encoder.tower, length=read) + tower_flops(decoder))

    def loss(self, model: MaskedAutoencoder, batch: MaskedPatchBatch) -> Loss:
        """Mean squared error of the hidden patches; 1 is what their mean would give, where they are normalised."""
        found = masked_loss(model(batch.x, batch.visible), model.targets(batch.x), batch.visible)
        return Loss(found, {"loss": found.detach()})

    @torch.inference_mode()
    def evaluate(self, model: MaskedAutoencoder, batches: Iterator[MaskedPatchBatch], n_bytes: int) -> dict[str, float]:
        """Mean squared error of the hidden patches."""
        losses, counts = list[float](), list[int]()
        for batch in batches:
            losses.append(float(masked_loss(model(batch.x, batch.visible), model.targets(batch.x), batch.visible)))
            counts.append(batch.tokens)
        return {"loss": float(np.average(losses, weights=counts))} if counts else {}
