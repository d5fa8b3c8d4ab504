"""`VisionTextDualEncoder` (after LiT, Zhai et al. 2022): a ViT or CLIP's tower of pictures beside a BERT or RoBERTa.

Unusual: this is a frame around two other families, each with its own settings and names. It is what an alignment is
written as whose text tower is one of our encoders, with its pooler.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from types import ModuleType

from sensorium.core.config import ModelConfig, StackConfig
from sensorium.core.sense_encoder import SenseModelConfig
from sensorium.core.tower import CLIP_SCALE, AlignedConfig, PoolConfig, TowerConfig
from sensorium.errors import CapabilityError, CheckpointError
from sensorium.families import bert, clip, roberta, vit
from sensorium.families.heads import BARE
from sensorium.families.hf_config import OTHER_ENGINE, HFConfig, depth
from sensorium.families.keymap import KeyMap, Row, row
from sensorium.families.towers import filled, image_and_text, nested, under

MODEL_TYPES = ("vision-text-dual-encoder",)
ARCHITECTURES = ("VisionTextDualEncoderModel",)
DEFAULTS: HFConfig = {"projection_dim": 512, "logit_scale_init_value": 2.6592}
_BERT: HFConfig = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
}
TEXTS: dict[str, tuple[ModuleType, HFConfig]] = {
    "bert": (bert, _BERT),
    "roberta": (roberta, {**_BERT, "vocab_size": 50265, "pad_token_id": 1}),
    "xlm-roberta": (roberta, {**_BERT, "pad_token_id": 1}),
}
"""Their types of texts: the family, and the defaults of what the configuration leaves out."""
_VIT, _CLIP = "vit", "clip_vision_model"


def to_config(hf: HFConfig, architecture: str, names: Collection[str]) -> AlignedConfig:
    """Our configuration of theirs; see `bert.to_config`.

    Raises:
        CapabilityError: a tower is of a family that the core does not know here.
    """
    whole = filled(hf, DEFAULTS)
    return sized(
        image=_image(hf, names),
        text=_text(hf, names),
        projection=whole["projection_dim"],
        scale=float(whole["logit_scale_init_value"]),
    )


def _image(hf: HFConfig, names: Collection[str]) -> TowerConfig:
    if _type_of(hf, "vision_config", _VIT, (_VIT, _CLIP)) == _CLIP:
        settings = nested(hf, "vision_config", clip.VISION_DEFAULTS)
        return clip.read_image(settings, layers=depth(settings, "num_hidden_layers", names), projection=None)
    settings = nested(hf, "vision_config", vit.DEFAULTS)
    return vit.sized(layers=depth(settings, "num_hidden_layers", names), pooler=True, **vit.sizes(settings)).tower


def _text(hf: HFConfig, names: Collection[str]) -> ModelConfig:
    family, defaults = TEXTS[_type_of(hf, "text_config", "bert", tuple(TEXTS))]
    settings = nested(hf, "text_config", defaults)
    config: ModelConfig = family.to_config(settings, BARE, names)
    return config


def _type_of(hf: HFConfig, key: str, default: str, known: Sequence[str]) -> str:
    part = hf.get(key)
    kind = part.get("model_type", default) if isinstance(part, dict) else default
    if kind not in known:
        raise CapabilityError(
            f"a tower of type {kind!r} is not supported here (supported: {', '.join(known)})", fix=OTHER_ENGINE
        )
    return str(kind)


def sized(*, image: TowerConfig, text: ModelConfig, projection: int, scale: float = CLIP_SCALE) -> AlignedConfig:
    """A ViT's tower (with its pooler) or CLIP's, beside an encoder of text, whose pooler tells a text's vector."""
    pool = PoolConfig(kind="first", pooler=True)
    towers = (
        ("image", replace(image, projection=projection)),
        ("text", TowerConfig(stack=text.stack, pool=pool, projection=projection)),
    )
    return AlignedConfig(towers=towers, scale=scale)


def expresses(config: AlignedConfig | SenseModelConfig) -> bool:
    """Whether this format can hold this model: whether its towers come back the same."""
    if not isinstance(config, AlignedConfig) or config.bias is not None:
        return False
    towers = image_and_text(config)
    if towers is None or None in (tower.projection for tower in towers.values()):
        return False
    return (_is_vit(towers["image"]) or clip.expresses_tower(towers["image"])) and _text_family(
        towers["text"]
    ) is not None


def _is_vit(tower: TowerConfig) -> bool:
    return tower.pool.pooler and vit.expresses(SenseModelConfig(tower=replace(tower, projection=None)))


def _text_family(tower: TowerConfig) -> ModuleType | None:
    """The family of a tower of texts."""
    pool = PoolConfig(kind="first", pooler=True)
    if not isinstance(tower.stack, StackConfig) or tower != TowerConfig(
        stack=tower.stack, pool=pool, projection=tower.projection
    ):
        return None
    config = ModelConfig(stack=tower.stack, pooler=True)
    for family in (bert, roberta):
        if family.expresses(config):
            again = family.to_config(family.to_hf(config), BARE, ["pooler.dense.weight"] * len(tower.stack.blocks))
            return family if again == config else None
    return None


def to_hf(config: AlignedConfig) -> HFConfig:
    """Their configuration of ours.

    Raises:
        CheckpointError: no family holds the tower of texts.
    """
    image, text = dict(config.towers)["image"], dict(config.towers)["text"]
    family = _text_family(text)
    if family is None or not isinstance(text.stack, StackConfig):
        raise CheckpointError("no family holds the tower of texts")
    return {
        "architectures": ["VisionTextDualEncoderModel"],
        "model_type": "vision-text-dual-encoder",
        "vision_config": vit.tower_keys(image) if image.pool.pooler else clip.image_keys(image),
        "text_config": family.to_hf(ModelConfig(stack=text.stack, pooler=True)),
        "projection_dim": text.width,
        "logit_scale_init_value": config.scale,
    }


def keymap(config: AlignedConfig, architecture: str) -> KeyMap:
    """Their names and ours."""
    image = dict(config.towers)["image"]
    rows: list[Row] = [
        *under("towers.image.", (vit.rows if image.pool.pooler else clip.image_rows)("vision_model.")),
        row("visual_projection.weight", "towers.image.projection.weight"),
        *under("towers.text.", bert.encoder_rows("text_model.")),
        row("text_projection.weight", "towers.text.projection.weight"),
        row("logit_scale", "scale"),
    ]
    return KeyMap(
        rows,
        layers=max(len(tower.stack.blocks) for _, tower in config.towers),
        ignored=[r"(text|vision)_model\.embeddings\.position_ids"],
        # Before `transformers` 5 CLIP's tower had the name that it has in the whole.
        spelled={r"^vision_model\.vision_model\.": "vision_model."},
    )
