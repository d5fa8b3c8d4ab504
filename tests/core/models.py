"""Tiny model configurations that the core's tests share."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch

from sensorium.core.config import (
    Activation,
    AttentionConfig,
    BlockConfig,
    EncoderDecoderConfig,
    FeedForwardConfig,
    LanguageHeadConfig,
    LearnedPosition,
    ModelConfig,
    NormConfig,
    RelativePosition,
    RotaryPosition,
    SinusoidalPosition,
    StackConfig,
    TokenEmbedConfig,
)
from sensorium.core.encoder_decoder import EncoderDecoder
from sensorium.core.model import AnyConfig, Transformer, build, initialise

VOCAB = 50


def bert(*, layers: int = 2, dim: int = 16, heads: int = 4, dropout: float = 0.0) -> ModelConfig:
    """Post-norm encoder with types, learned positions, pooler and pair head."""
    norm = NormConfig(kind="layernorm", eps=1e-12)
    block = BlockConfig(
        attention=AttentionConfig(
            n_heads=heads, n_kv_heads=heads, head_dim=dim // heads, q_bias=True, k_bias=True, v_bias=True,
            out_bias=True, dropout=dropout,
        ),
        feedforward=FeedForwardConfig(width=2 * dim, activation="gelu", gated=False, bias=True),
        norm=norm,
        placement="post",
        dropout=dropout,
    )  # fmt: skip
    embed = TokenEmbedConfig(vocab_size=VOCAB, n_types=2, position=LearnedPosition(size=32), norm=norm, dropout=dropout)
    return ModelConfig(
        stack=StackConfig(dim=dim, embed=embed, blocks=(block,) * layers, causal=False),
        language=LanguageHeadConfig(tied=True, bias=True, transform="gelu", norm=norm),
        pooler=True,
        n_pair_classes=2,
    )


def llama(
    *,
    layers: int = 2,
    window: int | None = None,
    qk_norm: bool = False,
    bias: bool = False,
    tied: bool = True,
    activation: Activation = "silu",
) -> ModelConfig:
    """Pre-norm decoder with rotary positions, grouped keys and a gated feed-forward."""
    norm = NormConfig(kind="rmsnorm", eps=1e-5)
    block = BlockConfig(
        attention=AttentionConfig(
            n_heads=4, n_kv_heads=2, head_dim=8, q_bias=bias, k_bias=bias, v_bias=bias, out_bias=False,
            window=window, qk_norm=norm if qk_norm else None,
        ),
        feedforward=FeedForwardConfig(width=48, activation=activation, gated=True, bias=bias),
        norm=norm,
        placement="pre",
    )  # fmt: skip
    return ModelConfig(
        stack=StackConfig(
            dim=24,
            embed=TokenEmbedConfig(vocab_size=VOCAB),
            blocks=(block,) * layers,
            causal=True,
            rotary=RotaryPosition(theta=10000.0, dim=8, context=64),
            final_norm=norm,
        ),
        language=LanguageHeadConfig(tied=tied, bias=False),
    )


def gpt2(*, layers: int = 2) -> ModelConfig:
    """Pre-norm decoder with learned positions and LayerNorm."""
    norm = NormConfig(kind="layernorm", eps=1e-5)
    block = BlockConfig(
        attention=AttentionConfig(
            n_heads=4, n_kv_heads=4, head_dim=6, q_bias=True, k_bias=True, v_bias=True, out_bias=True
        ),
        feedforward=FeedForwardConfig(width=96, activation="gelu_tanh", gated=False, bias=True),
        norm=norm,
        placement="pre",
    )
    embed = TokenEmbedConfig(vocab_size=VOCAB, position=LearnedPosition(size=64))
    return ModelConfig(
        stack=StackConfig(dim=24, embed=embed, blocks=(block,) * layers, causal=True, final_norm=norm),
        language=LanguageHeadConfig(tied=True, bias=False),
    )


def seq2seq(
    kind: Literal["learned", "sinusoidal", "relative"],
    *,
    shared: bool = True,
    tied: bool = True,
    kv_heads: int = 4,
    dropout: float = 0.0,
) -> EncoderDecoderConfig:
    """An encoder-decoder as BART, Marian or T5 is; where nothing is shared, the decoder has a vocabulary of its own."""
    t5, dim = kind == "relative", 24
    norm = NormConfig(kind="rmsnorm" if t5 else "layernorm", eps=1e-5)
    attention = AttentionConfig(
        n_heads=4, n_kv_heads=kv_heads, head_dim=8, q_bias=not t5, k_bias=not t5, v_bias=not t5, out_bias=not t5,
        scale=0.5 if t5 else None, dropout=dropout,
    )  # fmt: skip
    block = BlockConfig(
        attention=attention,
        feedforward=FeedForwardConfig(width=40, activation="relu", gated=t5, bias=not t5, dropout=dropout),
        norm=norm,
        placement="pre" if t5 else "post",
        dropout=dropout,
    )
    position = {
        "learned": LearnedPosition(size=32, offset=2),
        "sinusoidal": SinusoidalPosition(size=32, layout="halves"),
    }
    embed = TokenEmbedConfig(vocab_size=VOCAB, position=position.get(kind), dropout=dropout, scale=1.0 if t5 else 2.0)
    encoder = StackConfig(
        dim=dim,
        embed=embed,
        blocks=(block,) * 2,
        causal=False,
        relative=RelativePosition(buckets=8, max_distance=10) if t5 else None,
        final_norm=norm if t5 else None,
        out_dropout=dropout,
    )
    return EncoderDecoderConfig(
        encoder=encoder,
        decoder=replace(
            encoder,
            embed=embed if shared else replace(embed, vocab_size=VOCAB - 6),
            blocks=(replace(block, cross=attention),) * 3,
            causal=True,
        ),
        language=LanguageHeadConfig(tied=tied, bias=not t5, scale=dim**-0.5 if t5 else 1.0),
        shared=shared,
    )


def built_seq2seq(config: EncoderDecoderConfig) -> EncoderDecoder:
    """See `built`."""
    model = built(config)
    assert isinstance(model, EncoderDecoder)
    return model


def built(config: AnyConfig, seed: int = 0) -> Transformer:
    """The model in evaluation, with every parameter perturbed so that no norm is 1 and no bias 0."""
    model = build(config)
    generator = torch.Generator().manual_seed(seed)
    initialise(model, std=0.3, generator=generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model.eval()
