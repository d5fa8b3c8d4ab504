"""SigLIP (Zhai et al. 2023): both towers, or one of them alone.

Unusual: a learned query pools the pictures, by attention whose q, k and v are one matrix in their checkpoints. Texts
are pooled at their last place, which is padding more often than not: they must be padded to the full length, as the
tokenizer is told by `padding="max_length"`, and the padding is read like any token. The cosines are shifted as well
as scaled, and a pair's probability is a sigmoid's.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from sensorium.core.config import FeedForwardConfig, LearnedPosition, NormConfig, StackConfig, TokenEmbedConfig
from sensorium.core.sense_encoder import SenseModelConfig
from sensorium.core.senses import PatchEmbedConfig, SenseConfig
from sensorium.core.tower import AlignedConfig, PoolConfig, TowerConfig
from sensorium.families.hf_config import HFConfig, activation, depth, number, refuse
from sensorium.families.keymap import KeyMap, Row, affine, row
from sensorium.families.towers import (
    block_keys,
    blocks,
    clip_block_rows,
    filled,
    image_and_text,
    is_of_pictures,
    nested,
    patches,
    picture_keys,
    picture_sizes,
    token_keys,
    token_rows,
    under,
)

MODEL_TYPES = ("siglip", "siglip_vision_model", "siglip_text_model")
ARCHITECTURES = ("SiglipModel", "SiglipVisionModel", "SiglipTextModel")
_BLOCKS: HFConfig = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "hidden_act": "gelu_pytorch_tanh",
    "layer_norm_eps": 1e-6,
    "attention_dropout": 0.0,
}
TEXT_DEFAULTS: HFConfig = {**_BLOCKS, "vocab_size": 32000, "max_position_embeddings": 64}
VISION_DEFAULTS: HFConfig = {
    **_BLOCKS,
    "num_channels": 3,
    "image_size": 224,
    "patch_size": 16,
    "vision_use_head": True,
}
SCALE, BIAS = math.log(10.0), -10.0
"""Where training starts, by the paper; no configuration states them."""


def to_config(hf: HFConfig, architecture: str, names: Collection[str]) -> AlignedConfig | SenseModelConfig:
    """Our configuration of theirs.

    Args:
        hf: config.json.
        architecture: one of ARCHITECTURES.
        names: the checkpoint's tensors.
    """
    if architecture == "SiglipModel":
        image, text = nested(hf, "vision_config", VISION_DEFAULTS), nested(hf, "text_config", TEXT_DEFAULTS)
        return sized(
            image=read_image(image, layers=depth(image, "num_hidden_layers", names)),
            text=read_text(text, layers=depth(text, "num_hidden_layers", names)),
        )
    pictures = architecture == "SiglipVisionModel"
    settings = filled(hf, VISION_DEFAULTS if pictures else TEXT_DEFAULTS)
    read = read_image if pictures else read_text
    return SenseModelConfig(tower=read(settings, layers=depth(settings, "num_hidden_layers", names)))


def read_image(settings: HFConfig, *, layers: int) -> TowerConfig:
    """The tower of pictures of their settings, which are complete.

    Raises:
        CapabilityError: it does not pool.
    """
    refuse(settings, vision_use_head=True)
    return image_tower(layers=layers, **_sizes(settings), **picture_sizes(settings))


def read_text(settings: HFConfig, *, layers: int) -> TowerConfig:
    """The tower of texts of their settings, which are complete."""
    return text_tower(
        layers=layers,
        vocab_size=settings["vocab_size"],
        context=settings["max_position_embeddings"],
        projection=filled(settings, {"projection_size": settings["hidden_size"]})["projection_size"],
        **_sizes(settings),
    )


def _sizes(settings: HFConfig) -> HFConfig:
    return {
        "dim": settings["hidden_size"],
        "heads": settings["num_attention_heads"],
        "feedforward": settings["intermediate_size"],
        "activation_name": settings["hidden_act"],
        "eps": float(settings["layer_norm_eps"]),
        "attention_dropout": number(settings, "attention_dropout", 0.0),
    }


def image_tower(
    *,
    size: tuple[int, int],
    patch: tuple[int, int],
    dim: int,
    layers: int,
    heads: int,
    feedforward: int,
    channels: int = 3,
    activation_name: str = "gelu_pytorch_tanh",
    eps: float = 1e-6,
    attention_dropout: float = 0.0,
) -> TowerConfig:
    """SigLIP's tower of pictures, of a given size."""
    norm = NormConfig(kind="layernorm", eps=eps)
    feed = FeedForwardConfig(width=feedforward, activation=activation(activation_name), gated=False, bias=True)
    stack = SenseConfig(
        dim=dim,
        embed=PatchEmbedConfig(channels=channels, size=size, patch=patch, bias=True, cls=False),
        blocks=blocks(
            dim=dim, layers=layers, heads=heads, feedforward=feedforward, activation_name=activation_name, eps=eps,
            attention_dropout=attention_dropout,
        ),
        causal=False,
        final_norm=norm,
    )  # fmt: skip
    pool = PoolConfig(kind="attention", norm=norm, heads=heads, feedforward=feed)
    return TowerConfig(stack=stack, pool=pool, projection=None)


def text_tower(
    *,
    vocab_size: int,
    context: int,
    dim: int,
    layers: int,
    heads: int,
    feedforward: int,
    projection: int,
    activation_name: str = "gelu_pytorch_tanh",
    eps: float = 1e-6,
    attention_dropout: float = 0.0,
) -> TowerConfig:
    """SigLIP's tower of texts, of a given size."""
    stack = StackConfig(
        dim=dim,
        embed=TokenEmbedConfig(vocab_size=vocab_size, position=LearnedPosition(size=context)),
        blocks=blocks(
            dim=dim, layers=layers, heads=heads, feedforward=feedforward, activation_name=activation_name, eps=eps,
            attention_dropout=attention_dropout,
        ),
        causal=False,
        final_norm=NormConfig(kind="layernorm", eps=eps),
    )  # fmt: skip
    return TowerConfig(
        stack=stack, pool=PoolConfig(kind="last"), projection=projection, projection_bias=True, reads_padding=True
    )


def sized(*, image: TowerConfig, text: TowerConfig, scale: float = SCALE, bias: float = BIAS) -> AlignedConfig:
    """A SigLIP of two towers."""
    return AlignedConfig(towers=(("image", image), ("text", text)), scale=scale, bias=bias)


def expresses(config: AlignedConfig | SenseModelConfig) -> bool:
    """Whether SigLIP's format can hold this model: whether it comes back the same."""
    if isinstance(config, SenseModelConfig):
        return not config.n_classes and _expresses_tower(config.tower)
    towers = image_and_text(config)
    return towers is not None and config.bias is not None and all(map(_expresses_tower, towers.values()))


def _expresses_tower(tower: TowerConfig) -> bool:
    layers = len(tower.stack.blocks)
    if is_of_pictures(tower):
        square = all(len(set(sides)) == 1 for sides in (patches(tower).size, patches(tower).patch))
        return square and read_image(image_keys(tower), layers=layers) == tower
    if not isinstance(tower.stack, StackConfig) or tower.stack.context is None:
        return False
    return read_text(text_keys(tower), layers=layers) == tower


def to_hf(config: AlignedConfig | SenseModelConfig) -> HFConfig:
    """Their configuration of ours."""
    if isinstance(config, AlignedConfig):
        towers = dict(config.towers)
        return {
            "architectures": ["SiglipModel"],
            "model_type": "siglip",
            "vision_config": image_keys(towers["image"]),
            "text_config": text_keys(towers["text"]),
        }
    if is_of_pictures(config.tower):
        return {"architectures": ["SiglipVisionModel"], **image_keys(config.tower)}
    return {"architectures": ["SiglipTextModel"], **text_keys(config.tower)}


def image_keys(tower: TowerConfig) -> HFConfig:
    """Their configuration of a tower of pictures."""
    return {
        "model_type": "siglip_vision_model",
        **_keys(tower),
        **picture_keys(patches(tower)),
        "vision_use_head": True,
    }


def text_keys(tower: TowerConfig) -> HFConfig:
    """Their configuration of a tower of texts.

    Raises:
        CheckpointError: it is none.
    """
    return {
        "model_type": "siglip_text_model",
        **_keys(tower),
        **token_keys(tower),
        "projection_size": tower.width,
    }


def _keys(tower: TowerConfig) -> HFConfig:
    return {**block_keys(tower.stack), "attention_dropout": tower.stack.blocks[0].attention.dropout}


def keymap(config: AlignedConfig | SenseModelConfig, architecture: str) -> KeyMap:
    """Their names and ours."""
    ignored = [r"(.*\.)?embeddings\.position_ids"]
    if isinstance(config, AlignedConfig):
        rows = [
            *under("towers.image.", image_rows("vision_model.")),
            *under("towers.text.", text_rows("text_model.")),
            row("logit_scale", "scale", leading=1),
            row("logit_bias", "bias", leading=1),
        ]
        return KeyMap(rows, layers=max(len(tower.stack.blocks) for _, tower in config.towers), ignored=ignored)
    pictures = is_of_pictures(config.tower)
    rows = under("tower.", image_rows("") if pictures else text_rows(""))
    # Before `transformers` 5 a tower alone had the names that it has in the whole.
    spelled = {r"^vision_model\.|^text_model\.": ""}
    return KeyMap(rows, layers=len(config.tower.stack.blocks), ignored=ignored, spelled=spelled)


def image_rows(base: str) -> list[Row]:
    """The table of the tower of pictures, behind a prefix."""
    fused = ("pool.q", "pool.k", "pool.v")
    return [
        *affine(f"{base}embeddings.patch_embedding", "stack.embed"),
        row(f"{base}embeddings.position_embedding.weight", "stack.embed.positions.weight"),
        *clip_block_rows(base),
        *affine(f"{base}post_layernorm", "stack.final_norm"),
        row(f"{base}head.probe", "pool.query", leading=2),
        row(f"{base}head.attention.in_proj_weight", [f"{name}.weight" for name in fused]),
        row(f"{base}head.attention.in_proj_bias", [f"{name}.bias" for name in fused]),
        *affine(f"{base}head.attention.out_proj", "pool.out"),
        *affine(f"{base}head.layernorm", "pool.norm"),
        *affine(f"{base}head.mlp.fc1", "pool.feedforward.up"),
        *affine(f"{base}head.mlp.fc2", "pool.feedforward.down"),
    ]


def text_rows(base: str) -> list[Row]:
    """The table of the tower of texts, behind a prefix."""
    return [
        *token_rows(base),
        *clip_block_rows(base),
        *affine(f"{base}final_layer_norm", "stack.final_norm"),
        *affine(f"{base}head", "projection"),
    ]
