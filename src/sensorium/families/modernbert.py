"""ModernBERT (Warner et al. 2024): BERT's tasks on a pre-norm stack with rotary positions.

Unusual: only some layers see the whole text, the others a window, with another base of the rotation; the first
block has no norm at its attention, because the embeddings are normed. All heads read the same dense + activation +
norm. Their `local_attention` counts tokens on both sides of a token, but not itself.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Literal

from sensorium.core.config import (
    AttentionConfig,
    BlockConfig,
    FeatureConfig,
    FeedForwardConfig,
    LanguageHeadConfig,
    ModelConfig,
    NormConfig,
    RotaryPosition,
    StackConfig,
    TokenEmbedConfig,
)
from sensorium.errors import CapabilityError, CheckpointError
from sensorium.families.heads import MASKED, Task, architectures, ending, label_keys, task_of, with_head
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
    require,
    rope_parameters,
    rotary,
)
from sensorium.families.keymap import KeyMap, affine, row

MODEL_TYPES = ("modernbert",)
ARCHITECTURES = architectures("ModernBert")
SPECIAL = {
    "pad_token_id": "pad",
    "bos_token_id": "cls",
    "eos_token_id": "sep",
    "cls_token_id": "cls",
    "sep_token_id": "sep",
}
_POOLING: dict[str, Literal["first", "mean"]] = {"cls": "first", "mean": "mean"}
_LAYER = "layers.{layer}"
_BLOCK = "stack.blocks.{layer}"


def to_config(hf: HFConfig, architecture: str, names: Collection[str]) -> ModelConfig:
    """Our configuration of theirs; `names` are the checkpoint's tensors."""
    require(
        hf,
        ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
         "hidden_activation", "max_position_embeddings", "norm_eps", "local_attention"),
    )  # fmt: skip
    layers = depth(hf, "num_hidden_layers", names)
    head_dim = default_head_dim(hf["hidden_size"], hf["num_attention_heads"])
    attention, mlp = flag(hf, "attention_bias", False), flag(hf, "mlp_bias", False)
    rate = number(hf, "attention_dropout", 0.0)
    norm = NormConfig(kind="layernorm", eps=float(hf["norm_eps"]), bias=flag(hf, "norm_bias", False))
    block = BlockConfig(
        attention=AttentionConfig(
            n_heads=hf["num_attention_heads"], n_kv_heads=hf["num_attention_heads"], head_dim=head_dim,
            q_bias=attention, k_bias=attention, v_bias=attention, out_bias=attention, dropout=rate, out_dropout=rate,
        ),
        feedforward=FeedForwardConfig(
            width=hf["intermediate_size"], activation=activation(hf["hidden_activation"]), gated=True, bias=mlp,
            dropout=number(hf, "mlp_dropout", 0.0),
        ),
        norm=norm,
        placement="pre",
    )  # fmt: skip
    windows = _windows(hf, layers)
    config = _model(
        hf["vocab_size"],
        hf["hidden_size"],
        [replace(block, attention=replace(block.attention, window=window)) for window in windows],
        rotary(_rotation(hf, "full_attention", "global_rope_theta"), head_dim),
        rotary(_rotation(hf, "sliding_attention", "local_rope_theta"), head_dim),
        embed_dropout=number(hf, "embedding_dropout", 0.0),
    )
    bias, act = flag(hf, "classifier_bias", False), activation(hf.get("classifier_activation") or "gelu")
    if architecture.endswith(MASKED):
        head = LanguageHeadConfig(
            tied=flag(hf, "tie_word_embeddings", True),
            bias=flag(hf, "decoder_bias", True),
            transform=act,
            transform_bias=bias,
            norm=norm,
        )
        return replace(config, language=head)
    pooling = hf.get("classifier_pooling") or "cls"
    if pooling not in _POOLING:
        raise CapabilityError(f"classifier_pooling={pooling!r} is not supported (cls, mean)", fix=OTHER_ENGINE)
    task = task_of(hf, architecture)
    if task is None:
        return config
    features = FeatureConfig(transform=act, bias=bias, norm=norm, dropout=number(hf, "classifier_dropout", 0.0))
    return with_head(config, task, features, pooling=_POOLING[pooling])


def _windows(hf: HFConfig, layers: int) -> list[int | None]:
    """The window of each layer."""
    types = hf.get("layer_types")
    if types is None:
        require(hf, ("global_attn_every_n_layers",))
        every = hf["global_attn_every_n_layers"]
        types = ["sliding_attention" if i % every else "full_attention" for i in range(layers)]
    if len(types) != layers:
        raise CheckpointError(f"layer_types names {len(types)} layers, num_hidden_layers is {layers}", fix=ANEW)
    unknown = sorted(set(types) - {"sliding_attention", "full_attention"})
    if unknown:
        raise CapabilityError(f"attention of the type {unknown[0]!r} is not supported", fix=OTHER_ENGINE)
    window = hf["local_attention"] // 2 + 1
    return [window if kind == "sliding_attention" else None for kind in types]


def _rotation(hf: HFConfig, kind: str, older: str) -> HFConfig:
    """The settings as other families have them, for one kind of layers."""
    settings = dict(hf.get("rope_parameters") or {}).get(kind) or {}
    return {**hf, "rope_parameters": settings, "rope_theta": hf.get(older)}


def _model(
    vocab_size: int,
    dim: int,
    blocks: list[BlockConfig],
    global_rotary: RotaryPosition,
    local_rotary: RotaryPosition,
    *,
    embed_dropout: float = 0.0,
) -> ModelConfig:
    norm = blocks[0].norm
    return ModelConfig(
        stack=StackConfig(
            dim=dim,
            embed=TokenEmbedConfig(vocab_size=vocab_size, norm=norm, dropout=embed_dropout),
            blocks=(replace(blocks[0], attention_norm=False), *blocks[1:]),
            causal=False,
            rotary=global_rotary,
            local_rotary=local_rotary,
            final_norm=norm,
        )
    )


def sized(
    *,
    vocab_size: int,
    dim: int,
    layers: int,
    heads: int,
    feedforward: int,
    context: int,
    window: int = 128,
    global_every: int = 3,
    global_theta: float = 160000.0,
    local_theta: float = 10000.0,
    eps: float = 1e-5,
    dropout: float = 0.0,
    language: bool = True,
) -> ModelConfig:
    """A ModernBERT of a given size.

    Args:
        vocab_size: tokens.
        dim: width.
        layers: blocks.
        heads: of the attention.
        feedforward: width of the gated feed-forward network.
        context: longest sequence.
        window: tokens that a local layer sees around one, half of them before it.
        global_every: the first of so many layers sees everything.
        global_theta: rotary base of the global layers.
        local_theta: rotary base of the local layers.
        eps: of the norms.
        dropout: in training, of attention and feed-forward.
        language: whether there is a masked language head.
    """
    norm = NormConfig(kind="layernorm", eps=eps, bias=False)
    head_dim = default_head_dim(dim, heads)

    def block(layer: int) -> BlockConfig:
        attention = AttentionConfig(
            n_heads=heads, n_kv_heads=heads, head_dim=head_dim, q_bias=False, k_bias=False, v_bias=False,
            out_bias=False, window=window // 2 + 1 if layer % global_every else None, dropout=dropout,
            out_dropout=dropout,
        )  # fmt: skip
        feed = FeedForwardConfig(width=feedforward, activation="gelu", gated=True, bias=False, dropout=dropout)
        return BlockConfig(attention=attention, feedforward=feed, norm=norm, placement="pre")

    config = _model(
        vocab_size,
        dim,
        [block(layer) for layer in range(layers)],
        RotaryPosition(theta=global_theta, dim=head_dim, context=context),
        RotaryPosition(theta=local_theta, dim=head_dim, context=context),
    )
    head = LanguageHeadConfig(tied=True, bias=True, transform="gelu", transform_bias=False, norm=norm)
    return replace(config, language=head if language else None)


def for_task(
    config: ModelConfig, task: Task, *, pooling: Literal["first", "mean"] = "first", dropout: float | None = None
) -> ModelConfig:
    """The same encoder with the head of a task; the dense layer and norm of the given head, whichever it is, are of
    the same form.

    Args:
        config: the encoder.
        task: what it is to tell.
        pooling: for classes of a sequence: from its first token or the mean of all.
        dropout: before the outputs, in training; None for none.
    """
    head, features = config.language, config.features
    act, bias = (features.transform, features.bias) if head is None else (head.transform, head.transform_bias)
    features = FeatureConfig(
        transform=act or "gelu", bias=act is not None and bias, norm=config.stack.final_norm, dropout=dropout or 0.0
    )
    return with_head(config, task, features, pooling=pooling)


def expresses(config: ModelConfig) -> bool:
    """Whether ModernBERT's format can hold this model."""
    stack, head, features = config.stack, config.language, config.features
    has_task = config.spans or config.n_tags > 0 or config.classes is not None
    return (
        not stack.causal
        and stack.rotary is not None
        and stack.local_rotary is not None
        and [block.attention_norm for block in stack.blocks] == [False] + [True] * (len(stack.blocks) - 1)
        and not config.pooler
        and ending(config) is not None
        and (head is None or (head.transform is not None and head.norm is not None))
        and has_task == (features.transform is not None and features.norm is not None)
    )


def to_hf(config: ModelConfig) -> HFConfig:
    """Their configuration of ours."""
    stack, head, features = config.stack, config.language, config.features
    block = stack.blocks[0]
    windows = [block.attention.window for block in stack.blocks]
    if stack.rotary is None or stack.local_rotary is None:
        raise CheckpointError("a ModernBERT needs rotary positions")
    act, bias = (features.transform, features.bias) if head is None else (head.transform, head.transform_bias)
    return {
        "architectures": [f"ModernBert{ending(config)}"],
        "model_type": "modernbert",
        "vocab_size": stack.embed.vocab_size,
        "hidden_size": stack.dim,
        "num_hidden_layers": len(stack.blocks),
        "num_attention_heads": block.attention.n_heads,
        "intermediate_size": block.feedforward.width,
        "hidden_activation": HF_ACTIVATIONS[block.feedforward.activation],
        "max_position_embeddings": stack.context,
        "norm_eps": block.norm.eps,
        "norm_bias": block.norm.bias,
        "attention_bias": block.attention.q_bias,
        "mlp_bias": block.feedforward.bias,
        "attention_dropout": block.attention.dropout,
        "mlp_dropout": block.feedforward.dropout,
        "embedding_dropout": stack.embed.dropout,
        "layer_types": ["sliding_attention" if window else "full_attention" for window in windows],
        "local_attention": next((2 * (window - 1) for window in windows if window), 128),
        "global_rope_theta": stack.rotary.theta,
        "local_rope_theta": stack.local_rotary.theta,
        "rope_parameters": {
            "full_attention": rope_parameters(stack.rotary),
            "sliding_attention": rope_parameters(stack.local_rotary),
        },
        "tie_word_embeddings": head is None or head.tied,
        "decoder_bias": head is None or head.bias,
        "classifier_activation": HF_ACTIVATIONS[act or "gelu"],
        "classifier_bias": act is not None and bias,
        "classifier_dropout": features.dropout,
        "classifier_pooling": "mean" if config.classes is not None and config.classes.pooling == "mean" else "cls",
        **dict.fromkeys(SPECIAL),
        **label_keys(config),
    }


def keymap(config: ModelConfig, architecture: str) -> KeyMap:
    """Their names and ours."""
    base = "" if architecture.endswith("Model") else "model."
    head = "language" if config.language is not None else "features"
    rows = [
        row(f"{base}embeddings.tok_embeddings.weight", "stack.embed.tokens.weight"),
        *affine(f"{base}embeddings.norm", "stack.embed.norm"),
        *affine(f"{base}{_LAYER}.attn_norm", f"{_BLOCK}.attention_norm"),
        *affine(f"{base}{_LAYER}.attn.Wqkv", [f"{_BLOCK}.attention.{name}" for name in ("q", "k", "v")]),
        *affine(f"{base}{_LAYER}.attn.Wo", f"{_BLOCK}.attention.out"),
        *affine(f"{base}{_LAYER}.mlp_norm", f"{_BLOCK}.feedforward_norm"),
        *affine(f"{base}{_LAYER}.mlp.Wi", [f"{_BLOCK}.feedforward.{name}" for name in ("gate", "up")]),
        *affine(f"{base}{_LAYER}.mlp.Wo", f"{_BLOCK}.feedforward.down"),
        *affine(f"{base}final_norm", "stack.final_norm"),
        *affine("head.dense", f"{head}.dense"),
        *affine("head.norm", f"{head}.norm"),
        row("decoder.weight", "language.output.weight"),
        row("decoder.bias", "language.bias"),
        *affine("classifier", _output(config)),
    ]
    tied = config.language is not None and config.language.tied
    return KeyMap(
        rows,
        layers=len(config.stack.blocks),
        same={"decoder.weight": f"{base}embeddings.tok_embeddings.weight"} if tied else None,
    )


def _output(config: ModelConfig) -> str:
    if config.spans:
        return "spans"
    return "classes" if config.classes is not None else "tags"
