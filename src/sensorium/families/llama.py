"""Llama and its like: Llama, SmolLM2, Mistral (sliding window), Qwen2 (q, k, v biases), Qwen3 (normed heads).

Unusual: `head_dim` is free of hidden_size / heads; Qwen2 and Qwen3 may give a sliding window to some layers only.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from sensorium.core.config import (
    AttentionConfig,
    BlockConfig,
    FeedForwardConfig,
    LanguageHeadConfig,
    ModelConfig,
    NormConfig,
    RotaryPosition,
    StackConfig,
    TokenEmbedConfig,
)
from sensorium.errors import CapabilityError, CheckpointError
from sensorium.families.hf_config import (
    ANEW,
    HF_ACTIVATIONS,
    OTHER_ENGINE,
    HFConfig,
    activation,
    default_head_dim,
    depth,
    flag,
    number,
    refuse,
    require,
    rope_parameters,
    rotary,
)
from sensorium.families.keymap import KeyMap, affine, row

MODEL_TYPES = ("llama", "mistral", "qwen2", "qwen3")
_CLASS = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2", "qwen3": "Qwen3"}
ARCHITECTURES = tuple(f"{name}{head}" for name in _CLASS.values() for head in ("ForCausalLM", "Model"))
_LAYER = "layers.{layer}"
_BLOCK = "stack.blocks.{layer}"


def to_config(hf: HFConfig, architecture: str, names: Collection[str]) -> ModelConfig:
    """Our configuration of theirs; `names` are the checkpoint's tensors."""
    require(
        hf,
        ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act",
         "rms_norm_eps"),
    )  # fmt: skip
    refuse(hf, pretraining_tp=1)
    kind, heads = hf["model_type"], hf["num_attention_heads"]
    if kind == "qwen3":
        require(hf, ("head_dim",))
    head_dim = hf.get("head_dim") or default_head_dim(hf["hidden_size"], heads)
    norm = NormConfig(kind="rmsnorm", eps=float(hf["rms_norm_eps"]))
    bias = kind == "qwen2" or (kind != "mistral" and flag(hf, "attention_bias", False))
    attention = AttentionConfig(
        n_heads=heads,
        n_kv_heads=hf.get("num_key_value_heads") or heads,
        head_dim=head_dim,
        q_bias=bias,
        k_bias=bias,
        v_bias=bias,
        out_bias=bias and kind != "qwen2",
        qk_norm=norm if kind == "qwen3" else None,
        dropout=number(hf, "attention_dropout", 0.0),
    )
    feedforward = FeedForwardConfig(
        width=hf["intermediate_size"],
        activation=activation(hf["hidden_act"]),
        gated=True,
        bias=kind == "llama" and flag(hf, "mlp_bias", False),
    )
    blocks = tuple(
        BlockConfig(attention=replace(attention, window=window), feedforward=feedforward, norm=norm, placement="pre")
        for window in _windows(hf, depth(hf, "num_hidden_layers", names))
    )
    return ModelConfig(
        stack=StackConfig(
            dim=hf["hidden_size"],
            embed=TokenEmbedConfig(vocab_size=hf["vocab_size"]),
            blocks=blocks,
            causal=True,
            rotary=rotary(hf, head_dim),
            final_norm=norm,
        ),
        language=LanguageHeadConfig(tied=flag(hf, "tie_word_embeddings", False), bias=False)
        if architecture.endswith("ForCausalLM")
        else None,
    )


def _windows(hf: HFConfig, layers: int) -> Sequence[int | None]:
    """The window of each layer."""
    window, kind, types = hf.get("sliding_window"), hf["model_type"], hf.get("layer_types")
    if kind == "mistral":
        if "sliding_window" not in hf:
            raise CheckpointError("the configuration lacks sliding_window", fix="Add it; null stands for no window")
        return [window] * layers
    if kind == "llama" or not flag(hf, "use_sliding_window", False) or window is None:
        return [None] * layers
    if types is None:
        require(hf, ("max_window_layers",))
        return [window if i >= hf["max_window_layers"] else None for i in range(layers)]
    if len(types) != layers:
        raise CheckpointError(f"layer_types names {len(types)} layers, num_hidden_layers is {layers}", fix=ANEW)
    unknown = sorted(set(types) - {"sliding_attention", "full_attention"})
    if unknown:
        raise CapabilityError(f"attention of the type {unknown[0]!r} is not supported", fix=OTHER_ENGINE)
    return [window if kind == "sliding_attention" else None for kind in types]


def sized(
    *,
    vocab_size: int,
    dim: int,
    layers: int,
    heads: int,
    kv_heads: int | None = None,
    feedforward: int,
    context: int,
    theta: float = 10000.0,
    eps: float = 1e-5,
    dropout: float = 0.0,
    tied: bool = True,
) -> ModelConfig:
    """A Llama of a given size."""
    norm = NormConfig(kind="rmsnorm", eps=eps)
    head_dim = default_head_dim(dim, heads)
    attention = AttentionConfig(
        n_heads=heads, n_kv_heads=kv_heads or heads, head_dim=head_dim, dropout=dropout,
        q_bias=False, k_bias=False, v_bias=False, out_bias=False,
    )  # fmt: skip
    feed = FeedForwardConfig(width=feedforward, activation="silu", gated=True, bias=False)
    block = BlockConfig(attention=attention, feedforward=feed, norm=norm, placement="pre")
    return ModelConfig(
        stack=StackConfig(
            dim=dim,
            embed=TokenEmbedConfig(vocab_size=vocab_size),
            blocks=(block,) * layers,
            causal=True,
            rotary=RotaryPosition(theta=theta, dim=head_dim, context=context),
            final_norm=norm,
        ),
        language=LanguageHeadConfig(tied=tied, bias=False),
    )


def expresses(config: ModelConfig) -> bool:
    """Whether a format of Llama's like can hold this model."""
    return config.stack.causal and config.stack.rotary is not None


def to_hf(config: ModelConfig) -> HFConfig:
    """Their configuration of ours, in the narrowest family member that expresses it."""
    stack = config.stack
    attention, feedforward = stack.blocks[0].attention, stack.blocks[0].feedforward
    windows = [block.attention.window for block in stack.blocks]
    if attention.qk_norm is not None:
        kind = "qwen3"
    elif attention.q_bias and not attention.out_bias:
        kind = "qwen2"
    else:
        kind = "mistral" if any(windows) else "llama"
    hf: HFConfig = {
        "architectures": [f"{_CLASS[kind]}{'ForCausalLM' if config.language is not None else 'Model'}"],
        "model_type": kind,
        "vocab_size": stack.embed.vocab_size,
        "hidden_size": stack.dim,
        "num_hidden_layers": len(stack.blocks),
        "num_attention_heads": attention.n_heads,
        "num_key_value_heads": attention.n_kv_heads,
        "head_dim": attention.head_dim,
        "intermediate_size": feedforward.width,
        "hidden_act": HF_ACTIVATIONS[feedforward.activation],
        "rms_norm_eps": stack.blocks[0].norm.eps,
        "max_position_embeddings": stack.context,
        "attention_dropout": attention.dropout,
        "tie_word_embeddings": config.language is None or config.language.tied,
    }
    if stack.rotary is not None:
        hf["rope_parameters"] = rope_parameters(stack.rotary)
        hf["rope_theta"] = stack.rotary.theta
    if kind in ("llama", "qwen3"):
        hf["attention_bias"] = attention.q_bias
    if kind == "llama":
        hf["mlp_bias"] = feedforward.bias
    elif kind == "mistral":
        hf["sliding_window"] = windows[0]
    else:
        hf["use_sliding_window"] = any(windows)
        hf["sliding_window"] = next((window for window in windows if window), None)
        hf["layer_types"] = ["sliding_attention" if window else "full_attention" for window in windows]
        hf["max_window_layers"] = next((i for i, window in enumerate(windows) if window), len(windows))
    return hf


def keymap(config: ModelConfig, architecture: str) -> KeyMap:
    """Their names and ours."""
    base = "" if architecture.endswith("Model") else "model."
    rows = [
        row(f"{base}embed_tokens.weight", "stack.embed.tokens.weight"),
        *affine(f"{base}{_LAYER}.self_attn.q_proj", f"{_BLOCK}.attention.q"),
        *affine(f"{base}{_LAYER}.self_attn.k_proj", f"{_BLOCK}.attention.k"),
        *affine(f"{base}{_LAYER}.self_attn.v_proj", f"{_BLOCK}.attention.v"),
        *affine(f"{base}{_LAYER}.self_attn.o_proj", f"{_BLOCK}.attention.out"),
        row(f"{base}{_LAYER}.self_attn.q_norm.weight", f"{_BLOCK}.attention.q_norm.weight"),
        row(f"{base}{_LAYER}.self_attn.k_norm.weight", f"{_BLOCK}.attention.k_norm.weight"),
        *affine(f"{base}{_LAYER}.mlp.gate_proj", f"{_BLOCK}.feedforward.gate"),
        *affine(f"{base}{_LAYER}.mlp.up_proj", f"{_BLOCK}.feedforward.up"),
        *affine(f"{base}{_LAYER}.mlp.down_proj", f"{_BLOCK}.feedforward.down"),
        row(f"{base}{_LAYER}.input_layernorm.weight", f"{_BLOCK}.attention_norm.weight"),
        row(f"{base}{_LAYER}.post_attention_layernorm.weight", f"{_BLOCK}.feedforward_norm.weight"),
        row(f"{base}norm.weight", "stack.final_norm.weight"),
        row("lm_head.weight", "language.output.weight"),
    ]
    tied = config.language is not None and config.language.tied
    return KeyMap(
        rows,
        layers=len(config.stack.blocks),
        ignored=[rf"{base}(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq"],
        same={"lm_head.weight": f"{base}embed_tokens.weight"} if tied else None,
    )
