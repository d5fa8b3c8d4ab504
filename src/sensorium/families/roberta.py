"""RoBERTa (Liu et al. 2019) and XLM-R (Conneau et al. 2020).

Unusual: positions are counted from the row after the padding token's id, so that the table's first rows are never
read and its size is more than the longest sequence. XLM-R differs in its tokenizer alone and is written as RoBERTa.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from sensorium.core.config import FeatureConfig, LearnedPosition, ModelConfig
from sensorium.errors import CheckpointError
from sensorium.families import bert
from sensorium.families.heads import (
    MASKED,
    Task,
    architectures,
    ending,
    is_dense_before_classes,
    masked_head,
    task_of,
    with_head,
)
from sensorium.families.hf_config import ANEW, HFConfig, refuse
from sensorium.families.keymap import KeyMap, affine, row

MODEL_TYPES = ("roberta", "xlm-roberta")
ARCHITECTURES = (*architectures("Roberta"), *architectures("XLMRoberta"))
SPECIAL = {"bos_token_id": "cls", "eos_token_id": "sep"}


def to_config(hf: HFConfig, architecture: str, names: Collection[str]) -> ModelConfig:
    """Our configuration of theirs; `names` are the checkpoint's tensors."""
    bert.refuse_others(hf, "pad_token_id")
    language = architecture.endswith(MASKED)
    if language:
        refuse(hf, tie_word_embeddings=True)
    pad, rows = hf["pad_token_id"], hf["max_position_embeddings"]
    if type(pad) is not int or not 0 <= pad < rows - 1:
        raise CheckpointError(
            f"pad_token_id={pad!r} leaves no positions in a table of {rows}, which begin after it", fix=ANEW
        )
    config = sized(
        context=rows - pad - 1,
        pad_id=pad,
        language=language,
        pooler=any(name.endswith("pooler.dense.weight") for name in names),
        **bert.sizes(hf, names),
    )
    task = task_of(hf, architecture)
    return config if task is None else for_task(config, task, dropout=hf.get("classifier_dropout"))


def sized(
    *,
    vocab_size: int,
    dim: int,
    layers: int,
    heads: int,
    feedforward: int,
    context: int,
    pad_id: int = 1,
    types: int = 1,
    eps: float = 1e-5,
    activation_name: str = "gelu",
    dropout: float = 0.1,
    attention_dropout: float = 0.1,
    language: bool = True,
    pooler: bool = False,
) -> ModelConfig:
    """A RoBERTa of a given size; `pad_id` must be the tokenizer's."""
    config = bert.sized(
        vocab_size=vocab_size, dim=dim, layers=layers, heads=heads, feedforward=feedforward, context=context,
        types=types, eps=eps, activation_name=activation_name, dropout=dropout, attention_dropout=attention_dropout,
        language=False, pooler=pooler,
    )  # fmt: skip
    stack = config.stack
    embed = replace(stack.embed, position=LearnedPosition(size=context, offset=pad_id + 1))
    # Whatever the blocks' activation, the head's is GELU.
    head = masked_head("gelu", stack.blocks[0].norm) if language else None
    return replace(config, stack=replace(stack, embed=embed), language=head)


def for_task(config: ModelConfig, task: Task, *, dropout: float | None = None) -> ModelConfig:
    """The same encoder with the head of a task, which for classes of a sequence has a dense layer of its own.

    Args:
        config: the encoder.
        task: what it is to tell.
        dropout: before the dense layer and the outputs, in training; None takes the blocks'. There is none before
            spans.
    """
    rate = config.stack.blocks[0].dropout if dropout is None else float(dropout)
    features = FeatureConfig(dropout=0.0 if task.kind == "spans" else rate)
    if task.kind == "classes":
        features = FeatureConfig(transform="tanh", input_dropout=rate, dropout=rate)
    return with_head(config, task, features)


def expresses(config: ModelConfig) -> bool:
    """Whether RoBERTa's format can hold this model."""
    embed = config.stack.embed
    return (
        bert.is_post_norm(config, head=masked_head("gelu", config.stack.blocks[0].norm))
        and isinstance(embed.position, LearnedPosition)
        and embed.position.offset > 0
        and embed.n_types > 0
        and not config.n_pair_classes
        and is_dense_before_classes(config, "tanh")
    )


def to_hf(config: ModelConfig) -> HFConfig:
    """Their configuration of ours."""
    position = config.stack.embed.position
    if not isinstance(position, LearnedPosition):
        raise CheckpointError("a RoBERTa needs a table of positions")
    return {
        "architectures": [f"Roberta{ending(config)}"],
        "model_type": "roberta",
        "max_position_embeddings": position.size + position.offset,
        "pad_token_id": position.offset - 1,
        **bert.size_keys(config),
    }


def keymap(config: ModelConfig, architecture: str) -> KeyMap:
    """Their names and ours."""
    base = "" if architecture.endswith("Model") else "roberta."
    classes = [
        *affine("classifier.dense", "features.dense"),
        *affine("classifier.out_proj", "classes"),
    ]
    rows = [
        *bert.encoder_rows(base),
        *affine("lm_head.dense", "language.dense"),
        *affine("lm_head.layer_norm", "language.norm"),
        row("lm_head.bias", "language.bias"),
        *affine("qa_outputs", "spans"),
        *(classes if config.classes is not None else affine("classifier", "tags")),
    ]
    same = {
        "lm_head.decoder.bias": "lm_head.bias",
        "lm_head.decoder.weight": f"{base}embeddings.word_embeddings.weight",
    }
    return KeyMap(rows, layers=len(config.stack.blocks), ignored=[rf"{base}embeddings\.position_ids"], same=same)
