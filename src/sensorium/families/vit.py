"""ViT (Dosovitskiy et al. 2021), alone or with classes.

Unusual: the class vector and the table of positions have dimensions of 1 in front. The pooler is there or not by the
weights, not by the configuration. Positions are not interpolated: a model reads pictures of its own size.
"""

from __future__ import annotations

from collections.abc import Collection

from sensorium.core.config import NormConfig, Problem
from sensorium.core.sense_encoder import SenseModelConfig
from sensorium.core.senses import PatchEmbedConfig, SenseConfig
from sensorium.core.tower import AlignedConfig, PoolConfig, TowerConfig
from sensorium.families.heads import label_names, named, problem_of
from sensorium.families.hf_config import HFConfig, depth, flag, number, refuse, require
from sensorium.families.keymap import KeyMap, Row, affine, row
from sensorium.families.towers import block_keys, blocks, is_of_pictures, patches, picture_keys, picture_sizes, under

MODEL_TYPES = ("vit",)
ARCHITECTURES = ("ViTModel", "ViTForImageClassification")
REQUIRED = (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act", "layer_norm_eps",
    "image_size", "patch_size", "num_channels",
)  # fmt: skip
DEFAULTS: HFConfig = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "layer_norm_eps": 1e-12,
    "image_size": 224,
    "patch_size": 16,
    "num_channels": 3,
    "qkv_bias": True,
}
"""What stock `transformers` leaves out where the configuration stands inside another."""


def to_config(hf: HFConfig, architecture: str, names: Collection[str]) -> SenseModelConfig:
    """Our configuration of theirs.

    Args:
        hf: config.json.
        architecture: one of ARCHITECTURES.
        names: the checkpoint's tensors.
    """
    classifies = architecture == "ViTForImageClassification"
    return sized(
        layers=depth(hf, "num_hidden_layers", names),
        pooler=not classifies and any(name.endswith("pooler.dense.weight") for name in names),
        labels=label_names(hf) if classifies else (),
        problem=problem_of(hf) if classifies else None,
        **sizes(hf),
    )


def sizes(hf: HFConfig) -> HFConfig:
    """The arguments of `sized` that the configuration alone decides.

    Raises:
        CheckpointError: settings are missing.
        CapabilityError: a setting is not supported.
    """
    require(hf, REQUIRED)
    refuse(hf, pooler_act="tanh", pooler_output_size=hf["hidden_size"])
    return {
        "dim": hf["hidden_size"],
        "heads": hf["num_attention_heads"],
        "feedforward": hf["intermediate_size"],
        "activation_name": hf["hidden_act"],
        "eps": float(hf["layer_norm_eps"]),
        "qkv_bias": flag(hf, "qkv_bias", True),
        "dropout": number(hf, "hidden_dropout_prob", 0.0),
        "attention_dropout": number(hf, "attention_probs_dropout_prob", 0.0),
        **picture_sizes(hf),
    }


def sized(
    *,
    size: tuple[int, int],
    patch: tuple[int, int],
    dim: int,
    layers: int,
    heads: int,
    feedforward: int,
    channels: int = 3,
    activation_name: str = "gelu",
    eps: float = 1e-12,
    qkv_bias: bool = True,
    dropout: float = 0.0,
    attention_dropout: float = 0.0,
    pooler: bool = False,
    labels: tuple[str, ...] = (),
    problem: Problem | None = None,
) -> SenseModelConfig:
    """A ViT for pictures and patches of these heights and widths."""
    stack = SenseConfig(
        dim=dim,
        embed=PatchEmbedConfig(channels=channels, size=size, patch=patch, bias=True, cls=True, dropout=dropout),
        blocks=blocks(
            dim=dim, layers=layers, heads=heads, feedforward=feedforward, activation_name=activation_name, eps=eps,
            attention_dropout=attention_dropout, dropout=dropout, qkv_bias=qkv_bias,
        ),
        causal=False,
        final_norm=NormConfig(kind="layernorm", eps=eps),
    )  # fmt: skip
    tower = TowerConfig(stack=stack, pool=PoolConfig(kind="first", pooler=pooler), projection=None)
    return SenseModelConfig(tower=tower, n_classes=len(labels), labels=labels, problem=problem)


def expresses(config: AlignedConfig | SenseModelConfig) -> bool:
    """Whether ViT's format can hold this model: whether it comes back the same."""
    if isinstance(config, AlignedConfig):
        return False
    tower = config.tower
    if not is_of_pictures(tower) or (config.n_classes and tower.pool.pooler):
        return False
    again = sized(
        layers=len(tower.stack.blocks),
        pooler=tower.pool.pooler,
        labels=config.labels or tuple(f"LABEL_{i}" for i in range(config.n_classes)),
        problem=config.problem,
        **sizes(to_hf(config)),
    )
    return again.tower == tower


def to_hf(config: SenseModelConfig) -> HFConfig:
    """Their configuration of ours."""
    return {
        "architectures": ["ViTForImageClassification" if config.n_classes else "ViTModel"],
        **tower_keys(config.tower),
        **named(config.labels, config.n_classes, config.problem),
    }


def tower_keys(tower: TowerConfig) -> HFConfig:
    """Their configuration of a tower."""
    block = tower.stack.blocks[0]
    return {
        "model_type": "vit",
        **block_keys(tower.stack),
        **picture_keys(patches(tower)),
        "qkv_bias": block.attention.q_bias,
        "hidden_dropout_prob": block.dropout,
        "attention_probs_dropout_prob": block.attention.dropout,
    }


def keymap(config: SenseModelConfig, architecture: str) -> KeyMap:
    """Their names and ours."""
    base = "" if architecture == "ViTModel" else "vit."
    return KeyMap(
        [*under("tower.", rows(base)), *affine("classifier", "classes")],
        layers=len(config.tower.stack.blocks),
        ignored=[r"vit\.pooler\..*"],
    )


def rows(base: str) -> list[Row]:
    """The table of a tower, behind a prefix."""
    theirs, ours = f"{base}encoder.layer.{{layer}}", "stack.blocks.{layer}"
    return [
        row(f"{base}embeddings.cls_token", "stack.embed.cls", leading=2),
        row(f"{base}embeddings.position_embeddings", "stack.embed.positions.weight", leading=1),
        *affine(f"{base}embeddings.patch_embeddings.projection", "stack.embed"),
        *affine(f"{theirs}.attention.attention.query", f"{ours}.attention.q"),
        *affine(f"{theirs}.attention.attention.key", f"{ours}.attention.k"),
        *affine(f"{theirs}.attention.attention.value", f"{ours}.attention.v"),
        *affine(f"{theirs}.attention.output.dense", f"{ours}.attention.out"),
        *affine(f"{theirs}.layernorm_before", f"{ours}.attention_norm"),
        *affine(f"{theirs}.intermediate.dense", f"{ours}.feedforward.up"),
        *affine(f"{theirs}.output.dense", f"{ours}.feedforward.down"),
        *affine(f"{theirs}.layernorm_after", f"{ours}.feedforward_norm"),
        *affine(f"{base}layernorm", "stack.final_norm"),
        *affine(f"{base}pooler.dense", "pooler"),
    ]
