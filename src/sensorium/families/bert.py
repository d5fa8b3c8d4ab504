"""BERT (Devlin et al. 2019) and the sentence encoders built on it.

Unusual: the output matrix is the word embedding, and its bias goes by two names in their checkpoints. The pooler
and the next-sentence head are there or not by the weights, not by the configuration: many folders that say
`BertForMaskedLM` hold them too.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from sensorium.core.config import (
    AttentionConfig,
    BlockConfig,
    FeatureConfig,
    FeedForwardConfig,
    LanguageHeadConfig,
    LearnedPosition,
    ModelConfig,
    NormConfig,
    StackConfig,
    TokenEmbedConfig,
)
from sensorium.families.heads import Task, architectures, ending, label_keys, masked_head, task_of, with_head
from sensorium.families.hf_config import (
    HF_ACTIVATIONS,
    HFConfig,
    activation,
    default_head_dim,
    depth,
    number,
    refuse,
    require,
)
from sensorium.families.keymap import KeyMap, Row, affine, row

MODEL_TYPES = ("bert",)
ARCHITECTURES = architectures("Bert", "BertForPreTraining")
SPECIAL = {"pad_token_id": "pad"}
_LAYER = "encoder.layer.{layer}"
_BLOCK = "stack.blocks.{layer}"


def to_config(hf: HFConfig, architecture: str, names: Collection[str]) -> ModelConfig:
    """Our configuration of theirs.

    Args:
        hf: config.json.
        architecture: one of ARCHITECTURES.
        names: the checkpoint's tensors.
    """
    refuse_others(hf)
    language = architecture in ("BertForPreTraining", "BertForMaskedLM")
    if language:
        refuse(hf, tie_word_embeddings=True)
    pair = architecture == "BertForPreTraining" or (
        architecture == "BertForMaskedLM" and "cls.seq_relationship.weight" in names
    )
    pooler = pair or any(name.endswith("pooler.dense.weight") for name in names)
    config = sized(
        context=hf["max_position_embeddings"], language=language, pooler=pooler, pair=pair, **sizes(hf, names)
    )
    task = task_of(hf, architecture)
    return config if task is None else for_task(config, task, dropout=hf.get("classifier_dropout"))


def refuse_others(hf: HFConfig, *more: str) -> None:
    """Raise where a setting is missing, one of `more` among them, or is none of an encoder with absolute positions;
    RoBERTa's are the same.

    Raises:
        CheckpointError: settings are missing.
        CapabilityError: a setting is not supported.
    """
    require(
        hf,
        ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act",
         "max_position_embeddings", "type_vocab_size", "layer_norm_eps", *more),
    )  # fmt: skip
    refuse(hf, position_embedding_type="absolute", is_decoder=False, add_cross_attention=False)


def sizes(hf: HFConfig, names: Collection[str]) -> HFConfig:
    """The arguments of `sized` that RoBERTa has too."""
    return {
        "vocab_size": hf["vocab_size"],
        "dim": hf["hidden_size"],
        "layers": depth(hf, "num_hidden_layers", names),
        "heads": hf["num_attention_heads"],
        "feedforward": hf["intermediate_size"],
        "types": hf["type_vocab_size"],
        "eps": float(hf["layer_norm_eps"]),
        "activation_name": hf["hidden_act"],
        "dropout": number(hf, "hidden_dropout_prob", 0.1),
        "attention_dropout": number(hf, "attention_probs_dropout_prob", 0.1),
    }


def sized(
    *,
    vocab_size: int,
    dim: int,
    layers: int,
    heads: int,
    feedforward: int,
    context: int,
    types: int = 2,
    eps: float = 1e-12,
    activation_name: str = "gelu",
    dropout: float = 0.1,
    attention_dropout: float = 0.1,
    language: bool = True,
    pooler: bool = False,
    pair: bool = False,
) -> ModelConfig:
    """A BERT of a given size."""
    norm = NormConfig(kind="layernorm", eps=eps)
    attention = AttentionConfig(
        n_heads=heads, n_kv_heads=heads, head_dim=default_head_dim(dim, heads), dropout=attention_dropout,
        q_bias=True, k_bias=True, v_bias=True, out_bias=True,
    )  # fmt: skip
    act = activation(activation_name)
    block = BlockConfig(
        attention=attention,
        feedforward=FeedForwardConfig(width=feedforward, activation=act, gated=False, bias=True),
        norm=norm,
        placement="post",
        dropout=dropout,
    )
    embed = TokenEmbedConfig(
        vocab_size=vocab_size, n_types=types, position=LearnedPosition(size=context), norm=norm, dropout=dropout
    )
    return ModelConfig(
        stack=StackConfig(dim=dim, embed=embed, blocks=(block,) * layers, causal=False),
        language=masked_head(act, norm) if language else None,
        pooler=pooler,
        n_pair_classes=2 if pair else 0,
    )


def for_task(config: ModelConfig, task: Task, *, dropout: float | None = None) -> ModelConfig:
    """The same encoder with the head of a task, over the pooler for classes of a sequence.

    Args:
        config: the encoder.
        task: what it is to tell.
        dropout: before the outputs, in training; None takes the blocks'. There is none before spans.
    """
    rate = config.stack.blocks[0].dropout if dropout is None else float(dropout)
    pooled = replace(config, pooler=config.pooler or task.kind == "classes")
    return with_head(pooled, task, FeatureConfig(dropout=0.0 if task.kind == "spans" else rate), pooling="pooler")


def expresses(config: ModelConfig) -> bool:
    """Whether BERT's format can hold this model."""
    block, embed = config.stack.blocks[0], config.stack.embed
    return (
        is_post_norm(config, head=masked_head(block.feedforward.activation, block.norm))
        and isinstance(embed.position, LearnedPosition)
        and embed.position.offset == 0
        and embed.n_types > 0
        and config.features.transform is None
        and (config.classes is None or config.classes.pooling == "pooler")
    )


def is_post_norm(config: ModelConfig, *, head: LanguageHeadConfig) -> bool:
    """Whether this is an encoder with its norms after the branches and one head, which RoBERTa's and DistilBERT's are
    too; if it is a masked language head, this one."""
    stack = config.stack
    return (
        not stack.causal
        and stack.blocks[0].placement == "post"
        and ending(config) is not None
        and config.language in (None, head)
    )


def to_hf(config: ModelConfig) -> HFConfig:
    """Their configuration of ours."""
    return {
        "architectures": ["BertForPreTraining" if config.n_pair_classes else f"Bert{ending(config)}"],
        "model_type": "bert",
        "max_position_embeddings": config.stack.context,
        **size_keys(config),
    }


def size_keys(config: ModelConfig) -> HFConfig:
    """Their settings of ours that RoBERTa has too."""
    stack, block = config.stack, config.stack.blocks[0]
    return {
        "vocab_size": stack.embed.vocab_size,
        "hidden_size": stack.dim,
        "num_hidden_layers": len(stack.blocks),
        "num_attention_heads": block.attention.n_heads,
        "intermediate_size": block.feedforward.width,
        "hidden_act": HF_ACTIVATIONS[block.feedforward.activation],
        "hidden_dropout_prob": block.dropout,
        "attention_probs_dropout_prob": block.attention.dropout,
        "type_vocab_size": stack.embed.n_types,
        "layer_norm_eps": block.norm.eps,
        **label_keys(config),
        **_classifier_dropout(config),
    }


def _classifier_dropout(config: ModelConfig) -> HFConfig:
    """The dropout before classes and tags, where it differs from the blocks'."""
    rate = config.features.dropout
    has_any = config.classes is not None or config.n_tags > 0
    return {"classifier_dropout": rate} if has_any and rate != config.stack.blocks[0].dropout else {}


def keymap(config: ModelConfig, architecture: str) -> KeyMap:
    """Their names and ours."""
    base = "" if architecture == "BertModel" else "bert."
    rows = [
        *encoder_rows(base),
        *affine("cls.predictions.transform.dense", "language.dense"),
        *affine("cls.predictions.transform.LayerNorm", "language.norm"),
        row("cls.predictions.bias", "language.bias"),
        *affine("cls.seq_relationship", "pair"),
        *affine("qa_outputs", "spans"),
        *affine("classifier", "classes" if config.classes is not None else "tags"),
    ]
    same = {
        "cls.predictions.decoder.bias": "cls.predictions.bias",
        "cls.predictions.decoder.weight": f"{base}embeddings.word_embeddings.weight",
    }
    return KeyMap(
        rows,
        layers=len(config.stack.blocks),
        ignored=[rf"{base}embeddings\.position_ids"],
        same=same,
        spelled={r"LayerNorm\.gamma$": "LayerNorm.weight", r"LayerNorm\.beta$": "LayerNorm.bias"},
    )


def encoder_rows(base: str) -> list[Row]:
    """The table of the encoder and its pooler, behind a prefix; RoBERTa's is the same."""
    return [
        row(f"{base}embeddings.word_embeddings.weight", "stack.embed.tokens.weight"),
        row(f"{base}embeddings.position_embeddings.weight", "stack.embed.positions.weight"),
        row(f"{base}embeddings.token_type_embeddings.weight", "stack.embed.types.weight"),
        *affine(f"{base}embeddings.LayerNorm", "stack.embed.norm"),
        *affine(f"{base}{_LAYER}.attention.self.query", f"{_BLOCK}.attention.q"),
        *affine(f"{base}{_LAYER}.attention.self.key", f"{_BLOCK}.attention.k"),
        *affine(f"{base}{_LAYER}.attention.self.value", f"{_BLOCK}.attention.v"),
        *affine(f"{base}{_LAYER}.attention.output.dense", f"{_BLOCK}.attention.out"),
        *affine(f"{base}{_LAYER}.attention.output.LayerNorm", f"{_BLOCK}.attention_norm"),
        *affine(f"{base}{_LAYER}.intermediate.dense", f"{_BLOCK}.feedforward.up"),
        *affine(f"{base}{_LAYER}.output.dense", f"{_BLOCK}.feedforward.down"),
        *affine(f"{base}{_LAYER}.output.LayerNorm", f"{_BLOCK}.feedforward_norm"),
        *affine(f"{base}pooler.dense", "pooler"),
    ]
