"""Marian (Junczys-Dowmunt et al. 2018): the translation models of OPUS-MT.

Unusual: the original Transformer, with its norms after the branches and sinusoids for positions, which no checkpoint
need hold. Source and target have one vocabulary and one matrix, or each its own. Decoding starts from padding.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import torch

from sensorium.core.config import EncoderDecoderConfig, LanguageHeadConfig, SinusoidalPosition
from sensorium.core.sinusoid import sinusoids
from sensorium.errors import CapabilityError
from sensorium.families import bart
from sensorium.families.bart import REQUIRED, SECOND_NAMES, is_plain, size_keys, sizes, stack_rows
from sensorium.families.hf_config import OTHER_ENGINE, HFConfig, flag, require
from sensorium.families.keymap import KeyMap, Tensors, row

MODEL_TYPES = ("marian",)
ARCHITECTURES = ("MarianMTModel",)
SPECIAL = {
    "pad_token_id": "pad",
    "bos_token_id": "bos",
    "eos_token_id": "eos",
    "decoder_start_token_id": ("start", "pad"),
    "forced_eos_token_id": ("forced_eos", "eos"),
}
_TABLE = "model.{}.embed_positions.weight"


def to_config(hf: HFConfig, architecture: str, names: Collection[str]) -> EncoderDecoderConfig:
    """Our configuration of theirs.

    Args:
        hf: config.json.
        architecture: one of ARCHITECTURES.
        names: the checkpoint's tensors.
    """
    require(hf, REQUIRED)
    shared, tied = flag(hf, "share_encoder_decoder_embeddings", True), flag(hf, "tie_word_embeddings", True)
    if shared and not tied:
        raise CapabilityError(
            "tie_word_embeddings=False with share_encoder_decoder_embeddings=True is not supported", fix=OTHER_ENGINE
        )
    return sized(
        vocab_size=hf["vocab_size"],
        decoder_vocab_size=None if shared else hf.get("decoder_vocab_size") or hf["vocab_size"],
        context=hf["max_position_embeddings"],
        tied=tied,
        bias="final_logits_bias" in names,
        **sizes(hf, names),
    )


def sized(
    *,
    vocab_size: int,
    dim: int,
    layers: int,
    heads: int,
    feedforward: int,
    context: int,
    decoder_vocab_size: int | None = None,
    decoder_layers: int | None = None,
    decoder_heads: int | None = None,
    decoder_feedforward: int | None = None,
    activation_name: str = "swish",
    dropout: float = 0.1,
    attention_dropout: float = 0.0,
    activation_dropout: float = 0.0,
    scale_embedding: bool = True,
    tied: bool = True,
    bias: bool = True,
) -> EncoderDecoderConfig:
    """A Marian of a given size; the decoder is of the encoder's size where nothing else is said, and reads the same
    vocabulary unless it is given one of its own."""
    config = bart.sized(
        vocab_size=vocab_size, dim=dim, layers=layers, heads=heads, feedforward=feedforward, context=context,
        decoder_layers=decoder_layers, decoder_heads=decoder_heads, decoder_feedforward=decoder_feedforward,
        activation_name=activation_name, dropout=dropout, attention_dropout=attention_dropout,
        activation_dropout=activation_dropout, scale_embedding=scale_embedding,
    )  # fmt: skip
    position = SinusoidalPosition(size=context, layout="halves")
    encoder, decoder = (
        replace(stack, embed=replace(stack.embed, vocab_size=vocabulary, position=position, norm=None))
        for stack, vocabulary in ((config.encoder, vocab_size), (config.decoder, decoder_vocab_size or vocab_size))
    )
    return EncoderDecoderConfig(
        encoder=encoder,
        decoder=decoder,
        language=LanguageHeadConfig(tied=tied, bias=bias),
        shared=decoder_vocab_size is None,
    )


def expresses(config: EncoderDecoderConfig) -> bool:
    """Whether Marian's format can hold this model."""
    position = config.decoder.embed.position
    return (
        isinstance(position, SinusoidalPosition)
        and position.layout == "halves"
        and config.decoder.blocks[0].placement == "post"
        and (config.language.tied or not config.shared)
        and is_plain(config, embed_norm=None)
    )


def to_hf(config: EncoderDecoderConfig) -> HFConfig:
    """Their configuration of ours."""
    return {
        "architectures": ["MarianMTModel"],
        "model_type": "marian",
        **size_keys(config),
        "decoder_vocab_size": config.decoder.embed.vocab_size,
        "share_encoder_decoder_embeddings": config.shared,
        "tie_word_embeddings": config.language.tied,
    }


def generation(ids: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of generation_config.json: as with all of OPUS-MT's models, padding is never written."""
    pad = ids.get("pad_token_id")
    return {} if pad is None else {"bad_words_ids": [[pad]]}


def tidy(tensors: Tensors, *, where: str) -> Tensors:
    """Their tensors without the tables of sinusoids.

    Raises:
        CapabilityError: a table holds something else: its positions were trained.
    """
    for side in ("encoder", "decoder"):
        table = tensors.get(_TABLE.format(side))
        if table is None:
            continue
        size, dim = table.shape
        position = SinusoidalPosition(size=size, layout="halves")
        exact = sinusoids(position, dim, torch.device("cpu"), torch.float32)
        if not torch.allclose(table.float(), exact, atol=2e-3):
            raise CapabilityError(
                f"{_TABLE.format(side)} holds no sinusoids of position: trained positions are not supported",
                where=where,
                fix=OTHER_ENGINE,
            )
    held = {_TABLE.format(side) for side in ("encoder", "decoder")}
    return {name: tensor for name, tensor in tensors.items() if name not in held}


def keymap(config: EncoderDecoderConfig, architecture: str) -> KeyMap:
    """Their names and ours."""
    if config.shared:
        embeddings = [row("model.shared.weight", "encoder.embed.tokens.weight")]
        same = dict.fromkeys(SECOND_NAMES, "model.shared.weight")
    else:
        embeddings = [
            row(f"model.{side}.embed_tokens.weight", f"{side}.embed.tokens.weight") for side in ("encoder", "decoder")
        ]
        same = {"lm_head.weight": "model.decoder.embed_tokens.weight"} if config.language.tied else {}
    return KeyMap(
        [*embeddings, *stack_rows(), row("lm_head.weight", "language.output.weight")],
        layers=max(len(config.encoder.blocks), len(config.decoder.blocks)),
        same=same,
    )
