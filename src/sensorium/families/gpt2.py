"""GPT-2 (Radford et al. 2019).

Unusual: its linear maps are stored input-major (Conv1D), with q, k and v in one matrix.
"""

from __future__ import annotations

from collections.abc import Collection

from sensorium.core.config import (
    AttentionConfig,
    BlockConfig,
    FeedForwardConfig,
    LanguageHeadConfig,
    LearnedPosition,
    ModelConfig,
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
from sensorium.families.keymap import KeyMap, affine, row

MODEL_TYPES = ("gpt2",)
ARCHITECTURES = ("GPT2LMHeadModel", "GPT2Model")
_LAYER = "h.{layer}"
_BLOCK = "stack.blocks.{layer}"


def to_config(hf: HFConfig, architecture: str, names: Collection[str]) -> ModelConfig:
    """Our configuration of theirs; `names` are the checkpoint's tensors."""
    require(
        hf,
        ("vocab_size", "n_embd", "n_layer", "n_head", "n_positions", "layer_norm_epsilon", "activation_function"),
    )
    refuse(hf, scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False, reorder_and_upcast_attn=False,
           add_cross_attention=False)  # fmt: skip
    return sized(
        vocab_size=hf["vocab_size"],
        dim=hf["n_embd"],
        layers=depth(hf, "n_layer", names),
        heads=hf["n_head"],
        feedforward=hf.get("n_inner") or 4 * hf["n_embd"],
        context=hf["n_positions"],
        eps=float(hf["layer_norm_epsilon"]),
        activation_name=hf["activation_function"],
        dropout=number(hf, "resid_pdrop", 0.1),
        embed_dropout=number(hf, "embd_pdrop", 0.1),
        attention_dropout=number(hf, "attn_pdrop", 0.1),
        tied=flag(hf, "tie_word_embeddings", True),
        language=architecture == "GPT2LMHeadModel",
    )


def sized(
    *,
    vocab_size: int,
    dim: int,
    layers: int,
    heads: int,
    feedforward: int,
    context: int,
    eps: float = 1e-5,
    activation_name: str = "gelu_new",
    dropout: float = 0.1,
    embed_dropout: float = 0.1,
    attention_dropout: float = 0.1,
    tied: bool = True,
    language: bool = True,
) -> ModelConfig:
    """A GPT-2 of a given size."""
    norm = NormConfig(kind="layernorm", eps=eps)
    attention = AttentionConfig(
        n_heads=heads, n_kv_heads=heads, head_dim=default_head_dim(dim, heads), dropout=attention_dropout,
        q_bias=True, k_bias=True, v_bias=True, out_bias=True,
    )  # fmt: skip
    feed = FeedForwardConfig(width=feedforward, activation=activation(activation_name), gated=False, bias=True)
    block = BlockConfig(attention=attention, feedforward=feed, norm=norm, placement="pre", dropout=dropout)
    embed = TokenEmbedConfig(vocab_size=vocab_size, position=LearnedPosition(size=context), dropout=embed_dropout)
    return ModelConfig(
        stack=StackConfig(dim=dim, embed=embed, blocks=(block,) * layers, causal=True, final_norm=norm),
        language=LanguageHeadConfig(tied=tied, bias=False) if language else None,
    )


def expresses(config: ModelConfig) -> bool:
    """Whether GPT-2's format can hold this model."""
    return config.stack.causal and config.stack.embed.position is not None


def to_hf(config: ModelConfig) -> HFConfig:
    """Their configuration of ours."""
    stack = config.stack
    block = stack.blocks[0]
    return {
        "architectures": ["GPT2LMHeadModel" if config.language is not None else "GPT2Model"],
        "model_type": "gpt2",
        "vocab_size": stack.embed.vocab_size,
        "n_embd": stack.dim,
        "n_layer": len(stack.blocks),
        "n_head": block.attention.n_heads,
        "n_inner": block.feedforward.width,
        "n_positions": stack.context,
        "activation_function": HF_ACTIVATIONS[block.feedforward.activation],
        "layer_norm_epsilon": block.norm.eps,
        "resid_pdrop": block.dropout,
        "embd_pdrop": stack.embed.dropout,
        "attn_pdrop": block.attention.dropout,
        "tie_word_embeddings": config.language is None or config.language.tied,
    }


def keymap(config: ModelConfig, architecture: str) -> KeyMap:
    """Their names and ours."""
    base = "" if architecture == "GPT2Model" else "transformer."
    qkv = [f"{_BLOCK}.attention.{name}" for name in ("q", "k", "v")]
    rows = [
        row(f"{base}wte.weight", "stack.embed.tokens.weight"),
        row(f"{base}wpe.weight", "stack.embed.positions.weight"),
        *affine(f"{base}{_LAYER}.ln_1", f"{_BLOCK}.attention_norm"),
        *affine(f"{base}{_LAYER}.attn.c_attn", qkv, transpose=True),
        *affine(f"{base}{_LAYER}.attn.c_proj", f"{_BLOCK}.attention.out", transpose=True),
        *affine(f"{base}{_LAYER}.ln_2", f"{_BLOCK}.feedforward_norm"),
        *affine(f"{base}{_LAYER}.mlp.c_fc", f"{_BLOCK}.feedforward.up", transpose=True),
        *affine(f"{base}{_LAYER}.mlp.c_proj", f"{_BLOCK}.feedforward.down", transpose=True),
        *affine(f"{base}ln_f", "stack.final_norm"),
        row("lm_head.weight", "language.output.weight"),
    ]
    tied = config.language is not None and config.language.tied
    # Checkpoints of GPT2LMHeadModel without the "transformer." prefix are as common as those with it.
    spelled = {r"^(wte|wpe|h|ln_f)\.": rf"{base}\1."} if base else {}
    return KeyMap(
        rows,
        layers=len(config.stack.blocks),
        ignored=[rf"{base}h\.\d+\.attn\.(bias|masked_bias)"],
        same={"lm_head.weight": f"{base}wte.weight"} if tied else None,
        spelled=spelled,
    )
