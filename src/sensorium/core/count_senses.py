"""Parameters and floating-point operations of towers and of other senses' stacks, from their configuration alone."""

from __future__ import annotations

import math

from sensorium.core.config import FeedForwardConfig, StackConfig
from sensorium.core.count import head_parameters, norm_parameters, stack_parameters, trunk_flops, trunk_parameters
from sensorium.core.sense_encoder import SenseModelConfig
from sensorium.core.senses import MelEmbedConfig, PatchEmbedConfig, SenseConfig, VectorEmbedConfig, has_class_vector
from sensorium.core.speech import SpeechConfig
from sensorium.core.tower import AlignedConfig, PoolConfig, TowerConfig

AnySense = SenseConfig | TowerConfig | SenseModelConfig | AlignedConfig | SpeechConfig


def sense_parameters(config: AnySense) -> int:
    """Numbers in the model; Whisper's positions, which are not trained, are among them."""
    match config:
        case AlignedConfig():
            return sum(_tower(tower) for _, tower in config.towers) + 1 + (config.bias is not None)
        case SenseModelConfig():
            return _tower(config.tower) + config.n_classes * (config.tower.width + 1)
        case TowerConfig():
            return _tower(config)
        case SenseConfig():
            return _embed(config) + trunk_parameters(config)
        case SpeechConfig():
            written = stack_parameters(config.decoder) + head_parameters(config.language, config.decoder)
            return sense_parameters(config.encoder) + written


def tower_flops(config: TowerConfig, *, length: int | None = None) -> float:
    """Floating-point operations of a forward pass of one input, counted as in `core/count.py`.

    Args:
        config: the tower.
        length: tokens of a text; vectors after the embedding of anything else, by default the most that it reads. Of
            clips, frames.
    """
    stack, pool = config.stack, config.pool
    total, frames = 0.0, 1
    if config.time is not None:
        frames, length = config.time.embed.tokens if length is None else length, None
        total += _flops(config.time, frames + has_class_vector(config.time))
    if isinstance(stack, SenseConfig):
        length = _most(stack) if length is None else length
        total += frames * _flops(stack, length)
    else:
        length = (stack.context or 0) if length is None else length
        total += trunk_flops(stack, length) * length
    if pool.kind == "attention" and pool.feedforward is not None:
        total += frames * 2.0 * stack.dim * stack.dim * (2 * length + 2)
        total += frames * 4.0 * length * stack.dim + frames * 4.0 * stack.dim * pool.feedforward.width
    if pool.pooler:
        total += frames * 2.0 * stack.dim * stack.dim
    last = (config.time or stack).dim
    return total + (2.0 * last * config.projection if config.projection is not None else 0.0)


def _flops(config: SenseConfig, length: int) -> float:
    """Of a stack over so many vectors."""
    made = length - has_class_vector(config)
    match config.embed:
        case PatchEmbedConfig() as embed:
            embedding = 2.0 * made * embed.channels * math.prod(embed.patch) * config.dim
        case MelEmbedConfig() as embed:
            # The first convolution makes twice as many vectors as the second.
            embedding = 2.0 * made * 3 * config.dim * (2 * embed.mels + config.dim)
        case VectorEmbedConfig() as embed:
            embedding = 2.0 * made * embed.width * config.dim if embed.width != config.dim else 0.0
    return embedding + length * trunk_flops(config, length)


def _most(config: SenseConfig) -> int:
    """Vectors that the blocks read, at most."""
    if isinstance(config.embed, VectorEmbedConfig):
        return config.embed.tokens + config.embed.cls
    return config.embed.tokens


def _tower(config: TowerConfig) -> int:
    stack, dim = config.stack, config.stack.dim
    total = stack_parameters(stack) if isinstance(stack, StackConfig) else sense_parameters(stack)
    if config.time is not None:
        total += sense_parameters(config.time)
    last = (config.time or stack).dim
    if config.projection is not None:
        total += config.projection * (last + config.projection_bias)
    return total + _pool(config.pool, dim)


def _pool(pool: PoolConfig, dim: int) -> int:
    total = norm_parameters(pool.norm, dim) + (dim * (dim + 1) if pool.pooler else 0)
    if pool.kind == "attention" and pool.feedforward is not None:
        total += dim + 4 * dim * (dim + 1) + _feedforward(pool.feedforward, dim)
    return total


def _feedforward(config: FeedForwardConfig, dim: int) -> int:
    maps = 2 if config.gated else 1
    return (maps + 1) * dim * config.width + (maps * config.width + dim if config.bias else 0)


def _embed(config: SenseConfig) -> int:
    dim = config.dim
    match config.embed:
        case PatchEmbedConfig() as embed:
            values = embed.channels * math.prod(embed.patch)
            total = dim * (values + embed.bias + embed.cls + embed.tokens)
            return total + norm_parameters(embed.norm, dim)
        case MelEmbedConfig() as embed:
            return dim * (3 * embed.mels + 3 * dim + 2 + embed.tokens)
        case VectorEmbedConfig() as embed:
            linear = dim * (embed.width + 1) if embed.width != dim else 0
            return linear + dim * (2 * embed.cls + embed.tokens) + norm_parameters(embed.norm, dim)
