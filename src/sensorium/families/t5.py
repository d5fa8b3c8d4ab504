"""T5 (Raffel et al. 2020), T5 1.1, mT5 (Xue et al. 2021) and Flan-T5 (Chung et al. 2022).

Unusual: scores are not scaled by the heads' width; positions are a bias of the scores, whose table stands in the first
layer's tensors and serves all layers; no layer has a bias vector. T5 has a plain feed-forward network and a tied
output, read after the hidden states are scaled down; its successors have a gated one and an output of their own.
`transformers` 5 decides whether to tie by the tensors that are there, and whether to scale by the configuration; so
does this. mT5 is written as the T5 1.1 that it is.
"""

from __future__ import annotations

from collections.abc import Collection

import torch

from sensorium.core.config import (
    AttentionConfig,
    BlockConfig,
    EncoderDecoderConfig,
    FeedForwardConfig,
    LanguageHeadConfig,
    NormConfig,
    RelativePosition,
    StackConfig,
    TokenEmbedConfig,
)
from sensorium.errors import CheckpointError
from sensorium.families.hf_config import ANEW, HF_ACTIVATIONS, HFConfig, activation, depth, number, refuse, require
from sensorium.families.keymap import KeyMap, Row, Tensors, row

MODEL_TYPES = ("t5", "mt5")
ARCHITECTURES = ("T5ForConditionalGeneration", "MT5ForConditionalGeneration", "T5WithLMHeadModel")
SPECIAL = {
    "pad_token_id": "pad",
    "eos_token_id": "eos",
    "decoder_start_token_id": ("start", "pad"),
}
_SIDES = ("encoder", "decoder")
_OUTPUT, _SHARED = "lm_head.weight", "shared.weight"


def to_config(hf: HFConfig, architecture: str, names: Collection[str]) -> EncoderDecoderConfig:
    """Our configuration of theirs.

    Args:
        hf: config.json.
        architecture: one of ARCHITECTURES.
        names: the checkpoint's tensors.
    """
    require(
        hf,
        ("vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_heads", "relative_attention_num_buckets",
         "layer_norm_epsilon"),
    )  # fmt: skip
    refuse(hf, is_decoder=False)
    mt5 = hf["model_type"] == "mt5"
    scaled = not mt5 and hf.get("tie_word_embeddings") is not False and hf.get("scale_decoder_outputs") is not False
    name, gated = _feedforward(hf.get("feed_forward_proj") or ("gated-gelu" if mt5 else "relu"))
    return sized(
        vocab_size=hf["vocab_size"],
        dim=hf["d_model"],
        layers=depth(hf, "num_layers", names),
        decoder_layers=depth(hf, "num_decoder_layers" if hf.get("num_decoder_layers") else "num_layers", names),
        heads=hf["num_heads"],
        head_dim=hf["d_kv"],
        feedforward=hf["d_ff"],
        activation_name=name,
        gated=gated,
        buckets=hf["relative_attention_num_buckets"],
        max_distance=int(number(hf, "relative_attention_max_distance", 128.0)),
        eps=float(hf["layer_norm_epsilon"]),
        dropout=number(hf, "dropout_rate", 0.1),
        tied=_OUTPUT not in names,
        scaled=scaled,
    )


def _feedforward(stated: str) -> tuple[str, bool]:
    """The activation and whether it is gated: "relu", "gated-silu"; "gated-gelu" means gelu's approximation."""
    kind, _, name = stated.rpartition("-")
    if kind not in ("", "gated"):
        raise CheckpointError(f"feed_forward_proj={stated!r} is neither an activation nor a gated one", fix=ANEW)
    return ("gelu_new" if stated == "gated-gelu" else name), kind == "gated"


def sized(
    *,
    vocab_size: int,
    dim: int,
    layers: int,
    heads: int,
    feedforward: int,
    head_dim: int = 64,
    decoder_layers: int | None = None,
    activation_name: str = "gelu_new",
    gated: bool = True,
    buckets: int = 32,
    max_distance: int = 128,
    eps: float = 1e-6,
    dropout: float = 0.1,
    tied: bool = False,
    scaled: bool = False,
) -> EncoderDecoderConfig:
    """A T5 1.1 of a given size; with `activation_name="relu", gated=False, tied=True, scaled=True` a T5 1.0.

    Args:
        vocab_size: tokens.
        dim: width of the model.
        layers: blocks of each stack.
        heads: of each attention.
        feedforward: width of the feed-forward network.
        head_dim: width of a head, whatever that of the model.
        decoder_layers: blocks of the decoder, where it has another number.
        activation_name: of the feed-forward network.
        gated: whether it is gated.
        buckets: of distances.
        max_distance: from which on all distances share a bucket.
        eps: of the norms.
        dropout: in training, everywhere.
        tied: the output matrix is the embedding.
        scaled: what it reads is multiplied by 1 / sqrt(dim).
    """
    norm = NormConfig(kind="rmsnorm", eps=eps)
    attention = AttentionConfig(
        n_heads=heads, n_kv_heads=heads, head_dim=head_dim, q_bias=False, k_bias=False, v_bias=False, out_bias=False,
        scale=1.0, dropout=dropout,
    )  # fmt: skip
    feed = FeedForwardConfig(
        width=feedforward, activation=activation(activation_name), gated=gated, bias=False, dropout=dropout
    )
    stacks = [
        StackConfig(
            dim=dim,
            embed=TokenEmbedConfig(vocab_size=vocab_size, dropout=dropout),
            blocks=(
                BlockConfig(
                    attention=attention,
                    cross=attention if causal else None,
                    feedforward=feed,
                    norm=norm,
                    placement="pre",
                    dropout=dropout,
                ),
            )
            * count,
            causal=causal,
            relative=RelativePosition(buckets=buckets, max_distance=max_distance),
            final_norm=norm,
            out_dropout=dropout,
        )
        for causal, count in ((False, layers), (True, decoder_layers or layers))
    ]
    return EncoderDecoderConfig(
        encoder=stacks[0],
        decoder=stacks[1],
        language=LanguageHeadConfig(tied=tied, bias=False, scale=dim**-0.5 if scaled else 1.0),
        shared=True,
    )


def expresses(config: EncoderDecoderConfig) -> bool:
    """Whether T5's format can hold this model."""
    return config.shared and all(
        stack.relative is not None
        and all(
            block.placement == "pre" and block.norm.kind == "rmsnorm" and block.attention.scale == 1.0
            for block in stack.blocks
        )
        for stack in (config.encoder, config.decoder)
    )


def to_hf(config: EncoderDecoderConfig) -> HFConfig:
    """Their configuration of ours."""
    stack, block = config.decoder, config.decoder.blocks[0]
    name = HF_ACTIVATIONS[block.feedforward.activation]
    kind = "gated-gelu" if name == "gelu_new" else f"gated-{name}"
    scaled = config.language.scale != 1.0
    relative = stack.relative
    return {
        "architectures": ["T5ForConditionalGeneration"],
        "model_type": "t5",
        "is_encoder_decoder": True,
        "vocab_size": stack.embed.vocab_size,
        "d_model": stack.dim,
        "d_kv": block.attention.head_dim,
        "d_ff": block.feedforward.width,
        "num_layers": len(config.encoder.blocks),
        "num_decoder_layers": len(stack.blocks),
        "num_heads": block.attention.n_heads,
        "relative_attention_num_buckets": relative.buckets if relative else None,
        "relative_attention_max_distance": relative.max_distance if relative else None,
        "feed_forward_proj": kind if block.feedforward.gated else name,
        "layer_norm_epsilon": block.norm.eps,
        "dropout_rate": block.dropout,
        "tie_word_embeddings": scaled,
        "scale_decoder_outputs": scaled,
    }


def tidy(tensors: Tensors, *, where: str) -> Tensors:
    """Their tensors without an output matrix that is the embedding again: what is stored twice is tied."""
    output, shared = tensors.get(_OUTPUT), tensors.get(_SHARED)
    if output is None or shared is None or output.shape != shared.shape or not torch.equal(output, shared):
        return tensors
    return {name: tensor for name, tensor in tensors.items() if name != _OUTPUT}


def keymap(config: EncoderDecoderConfig, architecture: str) -> KeyMap:
    """Their names and ours."""
    rows = [row(_SHARED, "encoder.embed.tokens.weight"), row(_OUTPUT, "language.output.weight")]
    for side in _SIDES:
        theirs, ours = f"{side}.block.{{layer}}.layer", f"{side}.blocks.{{layer}}"
        last = 2 if side == "decoder" else 1
        table = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        rows += [
            row(table, f"{side}.relative.weight"),
            *_attention(f"{theirs}.0.SelfAttention", f"{ours}.attention"),
            row(f"{theirs}.0.layer_norm.weight", f"{ours}.attention_norm.weight"),
            *_feedforward_rows(f"{theirs}.{last}.DenseReluDense", f"{ours}.feedforward", _is_gated(config)),
            row(f"{theirs}.{last}.layer_norm.weight", f"{ours}.feedforward_norm.weight"),
            row(f"{side}.final_layer_norm.weight", f"{side}.final_norm.weight"),
        ]
    theirs, ours = "decoder.block.{layer}.layer.1", "decoder.blocks.{layer}"
    rows += [
        *_attention(f"{theirs}.EncDecAttention", f"{ours}.cross"),
        row(f"{theirs}.layer_norm.weight", f"{ours}.cross_norm.weight"),
    ]
    return KeyMap(
        rows,
        layers=max(len(config.encoder.blocks), len(config.decoder.blocks)),
        # The original conversion left a table in the first cross-attention, which nothing reads.
        ignored=[r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight"],
        same={f"{side}.embed_tokens.weight": _SHARED for side in _SIDES},
    )


def _is_gated(config: EncoderDecoderConfig) -> bool:
    return config.decoder.blocks[0].feedforward.gated


def _attention(theirs: str, ours: str) -> list[Row]:
    names = {"q": "q", "k": "k", "v": "v", "o": "out"}
    return [row(f"{theirs}.{name}.weight", f"{ours}.{our}.weight") for name, our in names.items()]


def _feedforward_rows(theirs: str, ours: str, gated: bool) -> list[Row]:
    names = {"wi_0": "gate", "wi_1": "up", "wo": "down"} if gated else {"wi": "up", "wo": "down"}
    return [row(f"{theirs}.{name}.weight", f"{ours}.{our}.weight") for name, our in names.items()]
