"""What the families of pictures share: pre-norm blocks, pictures in patches, CLIP's names of blocks, nested settings.

Unusual: in a configuration that holds others, stock `transformers` leaves out each setting of theirs that has its
default, so that these defaults belong to the format; each family has a table of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sensorium.core.config import AttentionConfig, BlockConfig, FeedForwardConfig, NormConfig, StackConfig, TrunkConfig
from sensorium.core.senses import PatchEmbedConfig, SenseConfig
from sensorium.core.tower import AlignedConfig, TowerConfig
from sensorium.errors import CheckpointError, SensoriumError
from sensorium.families.hf_config import (
    ANEW,
    HF_ACTIVATIONS,
    HFConfig,
    activation,
    check,
    default_head_dim,
    refuse_quantised,
)
from sensorium.families.keymap import Row, affine, row


def filled(hf: HFConfig, defaults: HFConfig) -> HFConfig:
    """A configuration, with the defaults of what it leaves out."""
    return defaults | {name: value for name, value in hf.items() if value is not None}


def nested(hf: HFConfig, key: str, defaults: HFConfig) -> HFConfig:
    """A configuration inside another, with the defaults of what it leaves out. The oldest ones have a second one beside
    it (`text_config_dict`), which goes before it as a whole.

    Raises:
        CheckpointError: it is no configuration, or a setting is not of its kind.
    """
    settings = dict(defaults)
    for name, base in ((key, {}), (f"{key}_dict", defaults)):
        part = hf.get(name)
        if part is not None and not isinstance(part, dict):
            raise CheckpointError(f"{name} is not a configuration", fix=ANEW)
        settings |= {} if part is None else filled(part, base)
    try:
        check(settings)
        refuse_quantised(settings)
    except SensoriumError as error:
        raise type(error)(f"{key}: {error.problem}", fix=error.fix) from error
    return settings


def blocks(
    *,
    dim: int,
    layers: int,
    heads: int,
    feedforward: int,
    activation_name: str,
    eps: float,
    attention_dropout: float = 0.0,
    dropout: float = 0.0,
    qkv_bias: bool = True,
) -> tuple[BlockConfig, ...]:
    """Equal blocks with their norms before the branches."""
    attention = AttentionConfig(
        n_heads=heads, n_kv_heads=heads, head_dim=default_head_dim(dim, heads), dropout=attention_dropout,
        q_bias=qkv_bias, k_bias=qkv_bias, v_bias=qkv_bias, out_bias=True,
    )  # fmt: skip
    block = BlockConfig(
        attention=attention,
        feedforward=FeedForwardConfig(
            width=feedforward, activation=activation(activation_name), gated=False, bias=True
        ),
        norm=NormConfig(kind="layernorm", eps=eps),
        placement="pre",
        dropout=dropout,
    )
    return (block,) * layers


def block_keys(trunk: TrunkConfig) -> HFConfig:
    """Their settings of the first block, for all of them."""
    block = trunk.blocks[0]
    act = block.feedforward.activation
    return {
        "hidden_size": trunk.dim,
        "num_hidden_layers": len(trunk.blocks),
        "num_attention_heads": block.attention.n_heads,
        "intermediate_size": block.feedforward.width,
        "hidden_act": "gelu_pytorch_tanh" if act == "gelu_tanh" else HF_ACTIVATIONS[act],
        "layer_norm_eps": block.norm.eps,
    }


def picture_sizes(hf: HFConfig) -> HFConfig:
    """The size of a picture and a patch, (height, width), and its channels, of their settings."""
    return {
        "size": _sides(hf["image_size"]),
        "patch": _sides(hf["patch_size"]),
        "channels": hf["num_channels"],
    }


def picture_keys(embed: PatchEmbedConfig) -> HFConfig:
    """Their settings of the size of a picture and a patch."""
    return {
        "image_size": _side(embed.size),
        "patch_size": _side(embed.patch),
        "num_channels": embed.channels,
    }


def _sides(value: int | list[int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _side(sides: tuple[int, ...]) -> int | list[int]:
    return sides[0] if len(set(sides)) == 1 else list(sides)


def clip_block_rows(base: str) -> list[Row]:
    """CLIP's table of the blocks, which is SigLIP's too."""
    theirs, ours = f"{base}encoder.layers.{{layer}}", "stack.blocks.{layer}"
    return [
        *affine(f"{theirs}.self_attn.q_proj", f"{ours}.attention.q"),
        *affine(f"{theirs}.self_attn.k_proj", f"{ours}.attention.k"),
        *affine(f"{theirs}.self_attn.v_proj", f"{ours}.attention.v"),
        *affine(f"{theirs}.self_attn.out_proj", f"{ours}.attention.out"),
        *affine(f"{theirs}.layer_norm1", f"{ours}.attention_norm"),
        *affine(f"{theirs}.mlp.fc1", f"{ours}.feedforward.up"),
        *affine(f"{theirs}.mlp.fc2", f"{ours}.feedforward.down"),
        *affine(f"{theirs}.layer_norm2", f"{ours}.feedforward_norm"),
    ]


def token_keys(tower: TowerConfig) -> HFConfig:
    """CLIP's settings of the embeddings of texts.

    Raises:
        CheckpointError: the tower reads no texts.
    """
    if not isinstance(tower.stack, StackConfig):
        raise CheckpointError("the tower reads no texts")
    return {"vocab_size": tower.stack.embed.vocab_size, "max_position_embeddings": tower.stack.context}


def token_rows(base: str) -> list[Row]:
    """CLIP's table of the embeddings of texts."""
    return [
        row(f"{base}embeddings.token_embedding.weight", "stack.embed.tokens.weight"),
        row(f"{base}embeddings.position_embedding.weight", "stack.embed.positions.weight"),
    ]


def under(prefix: str, rows: Sequence[Row]) -> list[Row]:
    """The table of a part of a model, for the model."""
    return [replace(row, ours=tuple(f"{prefix}{name}" for name in row.ours)) for row in rows]


def is_of_pictures(tower: TowerConfig) -> bool:
    """Whether a tower reads pictures in patches."""
    stack = tower.stack
    return (
        isinstance(stack, SenseConfig)
        and isinstance(stack.embed, PatchEmbedConfig)
        and len(stack.embed.size) == 2
        and tower.time is None
    )


def image_and_text(config: AlignedConfig) -> dict[str, TowerConfig] | None:
    """The towers "image" and "text", where there are these and no others."""
    towers = dict(config.towers)
    return towers if towers.keys() == {"image", "text"} and is_of_pictures(towers["image"]) else None


def patches(tower: TowerConfig) -> PatchEmbedConfig:
    """The patches of a tower of pictures.

    Raises:
        CheckpointError: it is none.
    """
    if isinstance(tower.stack, SenseConfig) and isinstance(tower.stack.embed, PatchEmbedConfig):
        return tower.stack.embed
    raise CheckpointError("the tower reads no pictures")
