"""DistilBERT (Sanh et al. 2019).

Unusual: it has no segment types and no pooler, and the epsilon of its norms is a constant of its code.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from sensorium.core.config import FeatureConfig, LearnedPosition, ModelConfig
from sensorium.families import bert
from sensorium.families.heads import (
    MASKED,
    Task,
    architectures,
    ending,
    is_dense_before_classes,
    label_keys,
    masked_head,
    task_of,
    with_head,
)
from sensorium.families.hf_config import HF_ACTIVATIONS, HFConfig, depth, number, refuse, require
from sensorium.families.keymap import KeyMap, affine, row

MODEL_TYPES = ("distilbert",)
ARCHITECTURES = architectures("DistilBert")
SPECIAL = {"pad_token_id": "pad"}
_EPS = 1e-12
_LAYER = "transformer.layer.{layer}"
_BLOCK = "stack.blocks.{layer}"


def to_config(hf: HFConfig, architecture: str, names: Collection[str]) -> ModelConfig:
    """Our configuration of theirs; `names` are the checkpoint's tensors."""
    require(hf, ("vocab_size", "dim", "n_layers", "n_heads", "hidden_dim", "activation", "max_position_embeddings"))
    language = architecture.endswith(MASKED)
    if language:
        refuse(hf, tie_word_embeddings=True)
    config = sized(
        vocab_size=hf["vocab_size"],
        dim=hf["dim"],
        layers=depth(hf, "n_layers", names),
        heads=hf["n_heads"],
        feedforward=hf["hidden_dim"],
        context=hf["max_position_embeddings"],
        activation_name=hf["activation"],
        dropout=number(hf, "dropout", 0.1),
        attention_dropout=number(hf, "attention_dropout", 0.1),
        language=language,
    )
    task = task_of(hf, architecture)
    if task is None:
        return config
    rates = {"spans": number(hf, "qa_dropout", 0.1), "classes": number(hf, "seq_classif_dropout", 0.2)}
    return for_task(config, task, dropout=rates.get(task.kind))


def sized(
    *,
    vocab_size: int,
    dim: int,
    layers: int,
    heads: int,
    feedforward: int,
    context: int,
    activation_name: str = "gelu",
    dropout: float = 0.1,
    attention_dropout: float = 0.1,
    language: bool = True,
) -> ModelConfig:
    """A DistilBERT of a given size."""
    config = bert.sized(
        vocab_size=vocab_size, dim=dim, layers=layers, heads=heads, feedforward=feedforward, context=context,
        eps=_EPS, activation_name=activation_name, dropout=dropout, attention_dropout=attention_dropout,
        language=language,
    )  # fmt: skip
    stack = config.stack
    return replace(config, stack=replace(stack, embed=replace(stack.embed, n_types=0)))


def for_task(config: ModelConfig, task: Task, *, dropout: float | None = None) -> ModelConfig:
    """The same encoder with the head of a task, which for classes of a sequence has a dense layer of its own.

    Args:
        config: the encoder.
        task: what it is to tell.
        dropout: before the outputs, in training; None takes the blocks'. Before tags it is always theirs.
    """
    rate = config.stack.blocks[0].dropout if dropout is None or task.kind == "tags" else dropout
    return with_head(config, task, FeatureConfig(transform="relu" if task.kind == "classes" else None, dropout=rate))


def expresses(config: ModelConfig) -> bool:
    """Whether DistilBERT's format can hold this model."""
    block, embed = config.stack.blocks[0], config.stack.embed
    return (
        bert.is_post_norm(config, head=masked_head(block.feedforward.activation, block.norm))
        and block.norm.eps == _EPS
        and isinstance(embed.position, LearnedPosition)
        and embed.position.offset == 0
        and embed.n_types == 0
        and not config.pooler
        and is_dense_before_classes(config, "relu")
    )


def to_hf(config: ModelConfig) -> HFConfig:
    """Their configuration of ours."""
    stack = config.stack
    block = stack.blocks[0]
    hf: HFConfig = {
        "architectures": [f"DistilBert{ending(config)}"],
        "model_type": "distilbert",
        "vocab_size": stack.embed.vocab_size,
        "dim": stack.dim,
        "n_layers": len(stack.blocks),
        "n_heads": block.attention.n_heads,
        "hidden_dim": block.feedforward.width,
        "activation": HF_ACTIVATIONS[block.feedforward.activation],
        "dropout": block.dropout,
        "attention_dropout": block.attention.dropout,
        "max_position_embeddings": stack.context,
        **label_keys(config),
    }
    if config.spans:
        hf["qa_dropout"] = config.features.dropout
    if config.classes is not None:
        hf["seq_classif_dropout"] = config.features.dropout
    return hf


def keymap(config: ModelConfig, architecture: str) -> KeyMap:
    """Their names and ours."""
    base = "" if architecture.endswith("Model") else "distilbert."
    rows = [
        row(f"{base}embeddings.word_embeddings.weight", "stack.embed.tokens.weight"),
        row(f"{base}embeddings.position_embeddings.weight", "stack.embed.positions.weight"),
        *affine(f"{base}embeddings.LayerNorm", "stack.embed.norm"),
        *affine(f"{base}{_LAYER}.attention.q_lin", f"{_BLOCK}.attention.q"),
        *affine(f"{base}{_LAYER}.attention.k_lin", f"{_BLOCK}.attention.k"),
        *affine(f"{base}{_LAYER}.attention.v_lin", f"{_BLOCK}.attention.v"),
        *affine(f"{base}{_LAYER}.attention.out_lin", f"{_BLOCK}.attention.out"),
        *affine(f"{base}{_LAYER}.sa_layer_norm", f"{_BLOCK}.attention_norm"),
        *affine(f"{base}{_LAYER}.ffn.lin1", f"{_BLOCK}.feedforward.up"),
        *affine(f"{base}{_LAYER}.ffn.lin2", f"{_BLOCK}.feedforward.down"),
        *affine(f"{base}{_LAYER}.output_layer_norm", f"{_BLOCK}.feedforward_norm"),
        *affine("vocab_transform", "language.dense"),
        *affine("vocab_layer_norm", "language.norm"),
        row("vocab_projector.bias", "language.bias"),
        *affine("qa_outputs", "spans"),
        *affine("pre_classifier", "features.dense"),
        *affine("classifier", "classes" if config.classes is not None else "tags"),
    ]
    return KeyMap(
        rows,
        layers=len(config.stack.blocks),
        ignored=[rf"{base}embeddings\.position_ids"],
        same={"vocab_projector.weight": f"{base}embeddings.word_embeddings.weight"},
    )
