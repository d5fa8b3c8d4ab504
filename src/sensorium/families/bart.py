"""BART (Lewis et al. 2020) and mBART (Liu et al. 2020).

Unusual: the table of positions has two rows before position 0. One matrix is the embedding of both stacks and the
output. The output's bias is a buffer in their code, which stock `transformers` never trains; here it is a parameter,
where a checkpoint holds it. mBART is the same model with its norms before the branches and one more at the end of
each stack. LayerDrop is not done in training: all layers are run.
"""

from __future__ import annotations

from collections.abc import Collection

from sensorium.core.config import (
    AttentionConfig,
    BlockConfig,
    EncoderDecoderConfig,
    FeedForwardConfig,
    LanguageHeadConfig,
    LearnedPosition,
    NormConfig,
    StackConfig,
    TokenEmbedConfig,
)
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
from sensorium.families.keymap import KeyMap, Row, affine, row

MODEL_TYPES = ("bart", "mbart")
ARCHITECTURES = ("BartForConditionalGeneration", "MBartForConditionalGeneration", "BartModel", "MBartModel")
SPECIAL = {
    "pad_token_id": "pad",
    "bos_token_id": "bos",
    "eos_token_id": "eos",
    "decoder_start_token_id": ("start", "eos"),
    "forced_bos_token_id": "forced_bos",
    "forced_eos_token_id": ("forced_eos", "eos"),
}
REQUIRED = (
    "vocab_size", "d_model", "encoder_layers", "decoder_layers", "encoder_attention_heads", "decoder_attention_heads",
    "encoder_ffn_dim", "decoder_ffn_dim", "max_position_embeddings", "activation_function",
)  # fmt: skip
"""Marian's too."""
_NORM = NormConfig(kind="layernorm", eps=1e-5)
"""Their eps is PyTorch's default, which no configuration states."""
_OFFSET = 2
_SIDES = ("encoder", "decoder")


def to_config(hf: HFConfig, architecture: str, names: Collection[str]) -> EncoderDecoderConfig:
    """Our configuration of theirs.

    Args:
        hf: config.json.
        architecture: one of ARCHITECTURES.
        names: the checkpoint's tensors.
    """
    require(hf, REQUIRED)
    refuse(hf, tie_word_embeddings=True)
    return sized(
        vocab_size=hf["vocab_size"],
        context=hf["max_position_embeddings"],
        pre_norm=hf["model_type"] == "mbart",
        bias="final_logits_bias" in names,
        **sizes(hf, names),
    )


def sizes(hf: HFConfig, names: Collection[str]) -> HFConfig:
    """The arguments of `sized` that Marian has too."""
    return {
        "dim": hf["d_model"],
        "layers": depth(hf, "encoder_layers", names),
        "decoder_layers": depth(hf, "decoder_layers", names),
        "heads": hf["encoder_attention_heads"],
        "decoder_heads": hf["decoder_attention_heads"],
        "feedforward": hf["encoder_ffn_dim"],
        "decoder_feedforward": hf["decoder_ffn_dim"],
        "activation_name": hf["activation_function"],
        "dropout": number(hf, "dropout", 0.1),
        "attention_dropout": number(hf, "attention_dropout", 0.0),
        "activation_dropout": number(hf, "activation_dropout", 0.0),
        "scale_embedding": flag(hf, "scale_embedding", False),
    }


def sized(
    *,
    vocab_size: int,
    dim: int,
    layers: int,
    heads: int,
    feedforward: int,
    context: int,
    decoder_layers: int | None = None,
    decoder_heads: int | None = None,
    decoder_feedforward: int | None = None,
    activation_name: str = "gelu",
    dropout: float = 0.1,
    attention_dropout: float = 0.0,
    activation_dropout: float = 0.0,
    scale_embedding: bool = False,
    pre_norm: bool = False,
    bias: bool = True,
) -> EncoderDecoderConfig:
    """A BART of a given size, or with `pre_norm` an mBART; the decoder is of the encoder's size where nothing else is
    said."""
    position = LearnedPosition(size=context, offset=_OFFSET)
    scale = dim**0.5 if scale_embedding else 1.0

    def stack(layers: int, heads: int, feedforward: int, *, causal: bool) -> StackConfig:
        attention = AttentionConfig(
            n_heads=heads, n_kv_heads=heads, head_dim=default_head_dim(dim, heads), dropout=attention_dropout,
            q_bias=True, k_bias=True, v_bias=True, out_bias=True,
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
            placement="pre" if pre_norm else "post",
            dropout=dropout,
        )
        return StackConfig(
            dim=dim,
            embed=TokenEmbedConfig(vocab_size=vocab_size, position=position, norm=_NORM, dropout=dropout, scale=scale),
            blocks=(block,) * layers,
            causal=causal,
            final_norm=_NORM if pre_norm else None,
        )

    return EncoderDecoderConfig(
        encoder=stack(layers, heads, feedforward, causal=False),
        decoder=stack(
            decoder_layers or layers, decoder_heads or heads, decoder_feedforward or feedforward, causal=True
        ),
        language=LanguageHeadConfig(tied=True, bias=bias),
        shared=True,
    )


def expresses(config: EncoderDecoderConfig) -> bool:
    """Whether BART's or mBART's format can hold this model."""
    position = config.decoder.embed.position
    return (
        isinstance(position, LearnedPosition)
        and position.offset == _OFFSET
        and config.shared
        and config.language.tied
        and is_plain(config, embed_norm=_NORM)
    )


def is_plain(config: EncoderDecoderConfig, *, embed_norm: NormConfig | None) -> bool:
    """Whether all that no setting of BART's or Marian's states is as in their code."""
    return config.language.scale == 1.0 and all(
        stack.embed.norm == embed_norm
        and all(
            block.norm == _NORM and block.attention.scale is None and not block.feedforward.gated
            for block in stack.blocks
        )
        for stack in (config.encoder, config.decoder)
    )


def to_hf(config: EncoderDecoderConfig) -> HFConfig:
    """Their configuration of ours."""
    mbart = config.decoder.blocks[0].placement == "pre"
    return {
        "architectures": ["MBartForConditionalGeneration" if mbart else "BartForConditionalGeneration"],
        "model_type": "mbart" if mbart else "bart",
        **size_keys(config),
        "tie_word_embeddings": True,
    }


def size_keys(config: EncoderDecoderConfig) -> HFConfig:
    """Their settings of ours that Marian has too."""
    block, embed = config.decoder.blocks[0], config.decoder.embed
    keys: HFConfig = {
        "is_encoder_decoder": True,
        "vocab_size": config.encoder.embed.vocab_size,
        "d_model": config.decoder.dim,
        "max_position_embeddings": config.decoder.context,
        "activation_function": HF_ACTIVATIONS[block.feedforward.activation],
        "dropout": block.dropout,
        "attention_dropout": block.attention.dropout,
        "activation_dropout": block.feedforward.dropout,
        "scale_embedding": embed.scale != 1.0,
    }
    for side, stack in zip(_SIDES, (config.encoder, config.decoder), strict=True):
        keys |= {
            f"{side}_layers": len(stack.blocks),
            f"{side}_attention_heads": stack.blocks[0].attention.n_heads,
            f"{side}_ffn_dim": stack.blocks[0].feedforward.width,
        }
    return keys


def keymap(config: EncoderDecoderConfig, architecture: str) -> KeyMap:
    """Their names and ours. A model without the output is read as one with it, for it has no weights of its own."""
    rows = [row("model.shared.weight", "encoder.embed.tokens.weight"), *stack_rows()]
    for side in _SIDES:
        rows += [
            row(f"model.{side}.embed_positions.weight", f"{side}.embed.positions.weight"),
            *affine(f"model.{side}.layernorm_embedding", f"{side}.embed.norm"),
            *affine(f"model.{side}.layer_norm", f"{side}.final_norm"),
        ]
    return KeyMap(
        rows,
        layers=max(len(config.encoder.blocks), len(config.decoder.blocks)),
        ignored=[r"(model\.)?(en|de)coder\.version"],
        same=dict.fromkeys(SECOND_NAMES, "model.shared.weight"),
        spelled={r"^(shared|encoder|decoder)\.": r"model.\1."},
    )


SECOND_NAMES = ("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight", "lm_head.weight")
"""Of the shared matrix."""


def stack_rows() -> list[Row]:
    """The table of the blocks of both stacks and the output's bias; Marian's is the same."""
    rows = [row("final_logits_bias", "language.bias", leading=1)]
    for side in _SIDES:
        theirs, ours = f"model.{side}.layers.{{layer}}", f"{side}.blocks.{{layer}}"
        rows += [
            *_attention(f"{theirs}.self_attn", f"{ours}.attention"),
            *affine(f"{theirs}.self_attn_layer_norm", f"{ours}.attention_norm"),
            *_attention(f"{theirs}.encoder_attn", f"{ours}.cross"),
            *affine(f"{theirs}.encoder_attn_layer_norm", f"{ours}.cross_norm"),
            *affine(f"{theirs}.fc1", f"{ours}.feedforward.up"),
            *affine(f"{theirs}.fc2", f"{ours}.feedforward.down"),
            *affine(f"{theirs}.final_layer_norm", f"{ours}.feedforward_norm"),
        ]
    return rows


def _attention(theirs: str, ours: str) -> list[Row]:
    names = {"q_proj": "q", "k_proj": "k", "v_proj": "v", "out_proj": "out"}
    return [entry for name, our in names.items() for entry in affine(f"{theirs}.{name}", f"{ours}.{our}")]
