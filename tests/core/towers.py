"""Tiny configurations of other senses' stacks and towers that the core's tests share."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from sensorium.core.config import NormConfig
from sensorium.core.senses import MelEmbedConfig, PatchEmbedConfig, SenseConfig, VectorEmbedConfig
from sensorium.core.tower import PoolConfig, TowerConfig
from tests.core import models

NORM = NormConfig(kind="layernorm", eps=1e-5)
PICTURES = PatchEmbedConfig(channels=3, size=(8, 12), patch=(4, 3), bias=True, cls=True)
SPECTROGRAM = PatchEmbedConfig(channels=1, size=(10, 7), patch=(4, 2), bias=False, cls=False, norm=NORM)
CLIPS = PatchEmbedConfig(channels=2, size=(4, 6, 6), patch=(2, 3, 2), bias=True, cls=True)
MEL = MelEmbedConfig(mels=5, tokens=6)
VECTORS = VectorEmbedConfig(width=16, tokens=4, cls=True)
EMBEDS = {
    "pictures": PICTURES,
    "spectrogram": SPECTROGRAM,
    "clips": CLIPS,
    "mel": MEL,
    "vectors": VECTORS,
    "vectors of another width": replace(VECTORS, width=9, cls=False, norm=NORM),
}


def sense(embed: PatchEmbedConfig | MelEmbedConfig | VectorEmbedConfig) -> SenseConfig:
    stack = models.bert().stack
    return SenseConfig(dim=stack.dim, embed=embed, blocks=stack.blocks, causal=False, final_norm=NORM)


def tower(pool: PoolConfig, *, projection: int | None = 7, time: SenseConfig | None = None) -> TowerConfig:
    return TowerConfig(stack=sense(PICTURES), pool=pool, projection=projection, time=time)


def varied(model: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter perturbed; in evaluation."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def given(embed: PatchEmbedConfig | MelEmbedConfig | VectorEmbedConfig, batch: int = 3) -> torch.Tensor:
    """An input of the size that the embedding reads."""
    generator = torch.Generator().manual_seed(1)
    match embed:
        case PatchEmbedConfig():
            return torch.randn(batch, embed.channels, *embed.size, generator=generator)
        case MelEmbedConfig():
            return torch.randn(batch, embed.mels, 2 * embed.tokens, generator=generator)
        case VectorEmbedConfig():
            return torch.randn(batch, embed.tokens, embed.width, generator=generator)
