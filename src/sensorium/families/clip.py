"""CLIP (Radford et al. 2021): both towers, or one of them alone.

Unusual: pictures are normed after the positions (their `pre_layrnorm`), and only the pooled vector is normed at the
end. Texts are pooled at the first end token; where the configuration says that its id is 2, as the first checkpoints
wrongly do, at the highest id of each row. The configurations of the towers leave out what has its default.
"""

from __future__ import annotations

from collections.abc import Collection

from sensorium.core.config import LearnedPosition, NormConfig, StackConfig, TokenEmbedConfig
from sensorium.core.sense_encoder import SenseModelConfig
from sensorium.core.senses import PatchEmbedConfig, SenseConfig
from sensorium.core.tower import CLIP_SCALE, AlignedConfig, PoolConfig, TowerConfig
from sensorium.errors import CapabilityError
from sensorium.families.hf_config import OTHER_ENGINE, HFConfig, depth, number
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

MODEL_TYPES = ("clip", "clip_vision_model", "clip_text_model")
ARCHITECTURES = (
    "CLIPModel", "CLIPVisionModel", "CLIPVisionModelWithProjection", "CLIPTextModel", "CLIPTextModelWithProjection",
)  # fmt: skip
_BLOCKS: HFConfig = {
    "num_hidden_layers": 12,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "attention_dropout": 0.0,
    "projection_dim": 512,
}
TEXT_DEFAULTS: HFConfig = {
    **_BLOCKS,
    "vocab_size": 49408,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "eos_token_id": 49407,
}
VISION_DEFAULTS: HFConfig = {
    **_BLOCKS,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "num_channels": 3,
    "image_size": 224,
    "patch_size": 32,
}
DEFAULTS: HFConfig = {"projection_dim": 512, "logit_scale_init_value": 2.6592}
"""Of the whole; the two above are of the towers."""
_LEGACY_EOS = 2


def to_config(hf: HFConfig, architecture: str, names: Collection[str]) -> AlignedConfig | SenseModelConfig:
    """Our configuration of theirs.

    Args:
        hf: config.json.
        architecture: one of ARCHITECTURES.
        names: the checkpoint's tensors.
    """
    if architecture == "CLIPModel":
        image, text = nested(hf, "vision_config", VISION_DEFAULTS), nested(hf, "text_config", TEXT_DEFAULTS)
        whole = filled(hf, DEFAULTS)
        width, scale = whole["projection_dim"], float(whole["logit_scale_init_value"])
        return sized(
            image=read_image(image, layers=depth(image, "num_hidden_layers", names), projection=width),
            text=read_text(text, layers=depth(text, "num_hidden_layers", names), projection=width),
            scale=scale,
        )
    pictures = architecture.startswith("CLIPVision")
    settings = filled(hf, VISION_DEFAULTS if pictures else TEXT_DEFAULTS)
    layers = depth(settings, "num_hidden_layers", names)
    projection = settings["projection_dim"] if architecture.endswith("WithProjection") else None
    read = read_image if pictures else read_text
    return SenseModelConfig(tower=read(settings, layers=layers, projection=projection))


def read_image(settings: HFConfig, *, layers: int, projection: int | None) -> TowerConfig:
    """The tower of pictures of their settings, which are complete."""
    return image_tower(layers=layers, projection=projection, **_sizes(settings), **picture_sizes(settings))


def read_text(settings: HFConfig, *, layers: int, projection: int | None) -> TowerConfig:
    """The tower of texts of their settings, which are complete.

    Raises:
        CapabilityError: texts have several end tokens.
    """
    eos = settings["eos_token_id"]
    if type(eos) is not int:
        raise CapabilityError(f"eos_token_id={eos!r} is not supported (only one token)", fix=OTHER_ENGINE)
    return text_tower(
        layers=layers,
        projection=projection,
        vocab_size=settings["vocab_size"],
        context=settings["max_position_embeddings"],
        eos_id=None if eos == _LEGACY_EOS else eos,
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
    projection: int | None,
    channels: int = 3,
    activation_name: str = "quick_gelu",
    eps: float = 1e-5,
    attention_dropout: float = 0.0,
) -> TowerConfig:
    """CLIP's tower of pictures, of a given size."""
    norm = NormConfig(kind="layernorm", eps=eps)
    stack = SenseConfig(
        dim=dim,
        embed=PatchEmbedConfig(channels=channels, size=size, patch=patch, bias=False, cls=True, norm=norm),
        blocks=blocks(
            dim=dim, layers=layers, heads=heads, feedforward=feedforward, activation_name=activation_name, eps=eps,
            attention_dropout=attention_dropout,
        ),
        causal=False,
    )  # fmt: skip
    return TowerConfig(stack=stack, pool=PoolConfig(kind="first", norm=norm), projection=projection)


def text_tower(
    *,
    vocab_size: int,
    context: int,
    dim: int,
    layers: int,
    heads: int,
    feedforward: int,
    projection: int | None,
    eos_id: int | None,
    activation_name: str = "quick_gelu",
    eps: float = 1e-5,
    attention_dropout: float = 0.0,
) -> TowerConfig:
    """CLIP's tower of texts, of a given size; `eos_id` None pools at the highest id of each row."""
    stack = StackConfig(
        dim=dim,
        embed=TokenEmbedConfig(vocab_size=vocab_size, position=LearnedPosition(size=context)),
        blocks=blocks(
            dim=dim, layers=layers, heads=heads, feedforward=feedforward, activation_name=activation_name, eps=eps,
            attention_dropout=attention_dropout,
        ),
        causal=True,
        final_norm=NormConfig(kind="layernorm", eps=eps),
    )  # fmt: skip
    return TowerConfig(stack=stack, pool=PoolConfig(kind="eos", eos_id=eos_id), projection=projection)


def sized(*, image: TowerConfig, text: TowerConfig, scale: float = CLIP_SCALE) -> AlignedConfig:
    """A CLIP of two towers."""
    return AlignedConfig(towers=(("image", image), ("text", text)), scale=scale)


def expresses(config: AlignedConfig | SenseModelConfig) -> bool:
    """Whether CLIP's format can hold this model: whether it comes back the same."""
    if isinstance(config, SenseModelConfig):
        return not config.n_classes and expresses_tower(config.tower)
    towers = image_and_text(config)
    return (
        towers is not None
        and config.bias is None
        and all(tower.projection is not None and expresses_tower(tower) for tower in towers.values())
    )


def expresses_tower(tower: TowerConfig) -> bool:
    """Whether this is one of CLIP's towers."""
    layers, projection = len(tower.stack.blocks), tower.projection
    if is_of_pictures(tower):
        square = all(len(set(sides)) == 1 for sides in (patches(tower).size, patches(tower).patch))
        return square and read_image(image_keys(tower), layers=layers, projection=projection) == tower
    if not isinstance(tower.stack, StackConfig) or tower.stack.context is None:
        return False
    return read_text(text_keys(tower), layers=layers, projection=projection) == tower


def to_hf(config: AlignedConfig | SenseModelConfig) -> HFConfig:
    """Their configuration of ours."""
    if isinstance(config, AlignedConfig):
        towers = dict(config.towers)
        return {
            "architectures": ["CLIPModel"],
            "model_type": "clip",
            "vision_config": image_keys(towers["image"]),
            "text_config": text_keys(towers["text"]),
            "projection_dim": towers["image"].width,
            "logit_scale_init_value": config.scale,
        }
    keys = image_keys(config.tower) if is_of_pictures(config.tower) else text_keys(config.tower)
    kind = "Vision" if is_of_pictures(config.tower) else "Text"
    ending = "" if config.tower.projection is None else "WithProjection"
    return {"architectures": [f"CLIP{kind}Model{ending}"], **keys}


def image_keys(tower: TowerConfig) -> HFConfig:
    """Their configuration of a tower of pictures."""
    return {"model_type": "clip_vision_model", **_keys(tower), **picture_keys(patches(tower))}


def text_keys(tower: TowerConfig) -> HFConfig:
    """Their configuration of a tower of texts.

    Raises:
        CheckpointError: it is none.
    """
    eos = tower.pool.eos_id
    return {
        "model_type": "clip_text_model",
        **_keys(tower),
        **token_keys(tower),
        "eos_token_id": _LEGACY_EOS if eos is None else eos,
    }


def _keys(tower: TowerConfig) -> HFConfig:
    return {
        **block_keys(tower.stack),
        "attention_dropout": tower.stack.blocks[0].attention.dropout,
        **({} if tower.projection is None else {"projection_dim": tower.projection}),
    }


def keymap(config: AlignedConfig | SenseModelConfig, architecture: str) -> KeyMap:
    """Their names and ours."""
    ignored = [r"(.*\.)?embeddings\.position_ids"]
    if isinstance(config, AlignedConfig):
        rows = [
            *under(
                "towers.image.", [*image_rows("vision_model."), row("visual_projection.weight", "projection.weight")]
            ),
            *under("towers.text.", [*text_rows("text_model."), row("text_projection.weight", "projection.weight")]),
            row("logit_scale", "scale"),
        ]
        return KeyMap(rows, layers=max(len(tower.stack.blocks) for _, tower in config.towers), ignored=ignored)
    pictures = is_of_pictures(config.tower)
    name, projection = ("vision_model.", "visual_projection") if pictures else ("text_model.", "text_projection")
    base = name if architecture.endswith("WithProjection") else ""
    rows = [*(image_rows if pictures else text_rows)(base), row(f"{projection}.weight", "projection.weight")]
    # Before `transformers` 5 a tower without a projection had the names of one with it.
    spelled = {} if base else {rf"^{name}": ""}
    return KeyMap(under("tower.", rows), layers=len(config.tower.stack.blocks), ignored=ignored, spelled=spelled)


def image_rows(base: str) -> list[Row]:
    """The table of the tower of pictures, behind a prefix."""
    return [
        row(f"{base}embeddings.class_embedding", "stack.embed.cls"),
        row(f"{base}embeddings.patch_embedding.weight", "stack.embed.weight"),
        row(f"{base}embeddings.position_embedding.weight", "stack.embed.positions.weight"),
        *affine(f"{base}pre_layrnorm", "stack.embed.norm"),
        *clip_block_rows(base),
        *affine(f"{base}post_layernorm", "norm"),
    ]


def text_rows(base: str) -> list[Row]:
    """The table of the tower of texts, behind a prefix."""
    return [*token_rows(base), *clip_block_rows(base), *affine(f"{base}final_layer_norm", "stack.final_norm")]
