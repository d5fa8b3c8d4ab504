"""Whisper (Radford et al. 2023): speech to text in many languages, and from them into English.

Unusual: the encoder's positions are sines and cosines that the checkpoint stores beside the weights; they are compared,
kept as they are stored, and not trained. Keys have no bias. What tells languages, tasks and timestamps apart are tokens
that generation_config.json names, all of which is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch

from sensorium.core.config import (
    AttentionConfig,
    BlockConfig,
    FeedForwardConfig,
    LanguageHeadConfig,
    LearnedPosition,
    NormConfig,
    StackConfig,
    TokenEmbedConfig,
)
from sensorium.core.senses import MelEmbedConfig, SenseConfig, whisper_sinusoids
from sensorium.core.speech import SpeechConfig
from sensorium.errors import CapabilityError
from sensorium.families.bart import stack_rows
from sensorium.families.hf_config import (
    HF_ACTIVATIONS,
    HFConfig,
    activation,
    default_head_dim,
    depth,
    flag,
    number,
    refuse,
    require,
)
from sensorium.families.keymap import KeyMap, Row, Tensors, affine, row

MODEL_TYPES = ("whisper",)
ARCHITECTURES = ("WhisperForConditionalGeneration", "WhisperModel")
SPECIAL = {
    "pad_token_id": ("pad", "eos"),
    "bos_token_id": ("bos", "eos"),
    "eos_token_id": "eos",
    "decoder_start_token_id": "start",
}
KEPT = ("suppress_tokens", "begin_suppress_tokens", "forced_decoder_ids", "median_filter_width")
"""Settings of config.json that say how to use the model."""
REQUIRED = (
    "vocab_size", "d_model", "encoder_layers", "decoder_layers", "encoder_attention_heads", "decoder_attention_heads",
    "encoder_ffn_dim", "decoder_ffn_dim", "num_mel_bins", "max_source_positions", "max_target_positions",
    "activation_function",
)  # fmt: skip
_NORM = NormConfig(kind="layernorm", eps=1e-5)
"""Their eps is PyTorch's default, which no configuration states."""
_TABLE = "model.encoder.embed_positions.weight"
_SIDES = ("encoder", "decoder")


def to_config(hf: HFConfig, architecture: str, names: Collection[str]) -> SpeechConfig:
    """Our configuration of theirs.

    Args:
        hf: config.json.
        architecture: one of ARCHITECTURES.
        names: the checkpoint's tensors.
    """
    require(hf, REQUIRED)
    refuse(hf, tie_word_embeddings=True)
    if flag(hf, "scale_embedding", False):
        refuse(hf, scale_embedding=False)
    return sized(
        vocab_size=hf["vocab_size"],
        dim=hf["d_model"],
        layers=depth(hf, "encoder_layers", names),
        decoder_layers=depth(hf, "decoder_layers", names),
        heads=hf["encoder_attention_heads"],
        decoder_heads=hf["decoder_attention_heads"],
        feedforward=hf["encoder_ffn_dim"],
        decoder_feedforward=hf["decoder_ffn_dim"],
        mels=hf["num_mel_bins"],
        tokens=hf["max_source_positions"],
        context=hf["max_target_positions"],
        activation_name=hf["activation_function"],
        dropout=number(hf, "dropout", 0.0),
        attention_dropout=number(hf, "attention_dropout", 0.0),
        activation_dropout=number(hf, "activation_dropout", 0.0),
    )


def sized(
    *,
    vocab_size: int,
    dim: int,
    layers: int,
    heads: int,
    feedforward: int,
    mels: int = 80,
    tokens: int = 1500,
    context: int = 448,
    decoder_layers: int | None = None,
    decoder_heads: int | None = None,
    decoder_feedforward: int | None = None,
    activation_name: str = "gelu",
    dropout: float = 0.0,
    attention_dropout: float = 0.0,
    activation_dropout: float = 0.0,
) -> SpeechConfig:
    """A Whisper of a given size; the decoder is of the encoder's size where nothing else is said. `tokens` are the
    encoder's positions, half as many as a window's frames; `context` is the decoder's."""

    def trunk(layers: int, heads: int, feedforward: int, *, causal: bool) -> dict[str, Any]:
        attention = AttentionConfig(
            n_heads=heads, n_kv_heads=heads, head_dim=default_head_dim(dim, heads), dropout=attention_dropout,
            q_bias=True, k_bias=False, v_bias=True, out_bias=True,
        )  # fmt: skip
        feed = FeedForwardConfig(
            width=feedforward, activation=activation(activation_name), gated=False, bias=True,
            dropout=activation_dropout,
        )  # fmt: skip
        block = BlockConfig(
            attention=attention,
            cross=attention if causal else None,
            feedforward=feed,
            norm=_NORM,
            placement="pre",
            dropout=dropout,
        )
        return {"dim": dim, "blocks": (block,) * layers, "causal": causal, "final_norm": _NORM}

    embed = TokenEmbedConfig(vocab_size=vocab_size, position=LearnedPosition(size=context), dropout=dropout)
    return SpeechConfig(
        encoder=SenseConfig(
            embed=MelEmbedConfig(mels=mels, tokens=tokens, dropout=dropout),
            **trunk(layers, heads, feedforward, causal=False),
        ),
        decoder=StackConfig(
            embed=embed,
            **trunk(decoder_layers or layers, decoder_heads or heads, decoder_feedforward or feedforward, causal=True),
        ),
        language=LanguageHeadConfig(tied=True, bias=False),
    )


def expresses(config: object) -> bool:
    """Whether Whisper's format can hold this model."""
    if not isinstance(config, SpeechConfig) or config.mel.trained_positions:
        return False
    return config == _again(config)


def _again(config: SpeechConfig) -> SpeechConfig:
    """The configuration that the settings of Whisper's format describe of ours."""
    encoder, decoder = config.encoder.blocks[0], config.decoder.blocks[0]
    return sized(
        vocab_size=config.decoder.embed.vocab_size,
        dim=config.decoder.dim,
        layers=len(config.encoder.blocks),
        decoder_layers=len(config.decoder.blocks),
        heads=encoder.attention.n_heads,
        decoder_heads=decoder.attention.n_heads,
        feedforward=encoder.feedforward.width,
        decoder_feedforward=decoder.feedforward.width,
        mels=config.mel.mels,
        tokens=config.mel.tokens,
        context=config.decoder.context or 0,
        activation_name=HF_ACTIVATIONS[decoder.feedforward.activation],
        dropout=decoder.dropout,
        attention_dropout=decoder.attention.dropout,
        activation_dropout=decoder.feedforward.dropout,
    )


def to_hf(config: SpeechConfig) -> HFConfig:
    """Their configuration of ours."""
    decoder = config.decoder.blocks[0]
    keys: HFConfig = {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "is_encoder_decoder": True,
        "vocab_size": config.decoder.embed.vocab_size,
        "d_model": config.decoder.dim,
        "num_mel_bins": config.mel.mels,
        "max_source_positions": config.mel.tokens,
        "max_target_positions": config.decoder.context,
        "activation_function": HF_ACTIVATIONS[decoder.feedforward.activation],
        "dropout": decoder.dropout,
        "attention_dropout": decoder.attention.dropout,
        "activation_dropout": decoder.feedforward.dropout,
        "scale_embedding": False,
        "tie_word_embeddings": True,
        # Stock `transformers` has ids of its own vocabulary where nothing is said.
        "begin_suppress_tokens": None,
    }
    for side, stack in zip(_SIDES, (config.encoder, config.decoder), strict=True):
        keys |= {
            f"{side}_layers": len(stack.blocks),
            f"{side}_attention_heads": stack.blocks[0].attention.n_heads,
            f"{side}_ffn_dim": stack.blocks[0].feedforward.width,
        }
    return keys


def generation(ids: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of generation_config.json of a model that was not one of theirs."""
    return {"return_timestamps": False}


def tidy(tensors: Tensors, *, where: str) -> Tensors:
    """Their tensors, the encoder's positions looked over.

    Raises:
        CapabilityError: they are no sines and cosines: they were trained.
    """
    table = tensors.get(_TABLE, tensors.get(_TABLE.removeprefix("model.")))
    if table is not None and table.dim() == 2 and table.shape[1] >= 4:
        exact = whisper_sinusoids(*table.shape)
        if not torch.allclose(table.float(), exact, atol=1e-2):  # half precision's rounding of angles is in the table
            raise CapabilityError(
                f"{_TABLE} holds no sines and cosines of position: trained positions are not supported", where=where
            )
    return tensors


def rows() -> list[Row]:
    """The table."""
    found = [
        *affine("model.encoder.conv1", "encoder.embed.first"),
        *affine("model.encoder.conv2", "encoder.embed.second"),
        row("model.decoder.embed_tokens.weight", "decoder.embed.tokens.weight"),
        *stack_rows(),
    ]
    for side in _SIDES:
        found += [
            row(f"model.{side}.embed_positions.weight", f"{side}.embed.positions.weight"),
            *affine(f"model.{side}.layer_norm", f"{side}.final_norm"),
        ]
    return found


def keymap(config: SpeechConfig, architecture: str) -> KeyMap:
    """Their names and ours. A model without the output is read as one with it, for it has no weights of its own."""
    return KeyMap(
        rows(),
        layers=max(len(config.encoder.blocks), len(config.decoder.blocks)),
        same={"proj_out.weight": "model.decoder.embed_tokens.weight"},
        spelled={r"^(encoder|decoder)\.": r"model.\1."},
    )
