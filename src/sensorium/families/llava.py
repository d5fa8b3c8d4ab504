"""LLaVA (Liu et al. 2023): a tower of pictures (CLIP's, SigLIP's or a ViT), a projector, a decoder like Llama.

Unusual: this is a frame around other families, each with its own settings and names. The tower's last layers are
stored though they may not be read. Stock `transformers` stores the names of its first version and has others in memory;
both are read, the stored ones are written. A resampler in the projector's place is a format of our own, under a
`model_type` that stock does not know, so that it is never taken for a LLaVA.
"""

from __future__ import annotations

from collections.abc import Collection
from types import ModuleType
from typing import Any

import torch

from sensorium.core.config import ModelConfig
from sensorium.core.eyes import SeeingConfig
from sensorium.core.resampler import Resampler, ResamplerConfig
from sensorium.core.sense_encoder import SenseModelConfig
from sensorium.core.tower import TowerConfig
from sensorium.errors import CapabilityError, CheckpointError, ConfigError
from sensorium.families import clip, llama, siglip, vit
from sensorium.families.hf_config import (
    ANEW,
    HF_ACTIVATIONS,
    OTHER_ENGINE,
    HFConfig,
    activation,
    depth,
    flag,
    require,
)
from sensorium.families.keymap import KeyMap, Row, affine, row
from sensorium.families.towers import filled, nested, under

MODEL_TYPES = ("llava", "sensorium_llava")
ARCHITECTURES = ("LlavaForConditionalGeneration", "SensoriumLlavaForConditionalGeneration")
DEFAULTS: HFConfig = {
    "image_token_index": 32000,
    "projector_hidden_act": "gelu",
    "vision_feature_select_strategy": "default",
    "vision_feature_layer": -2,
    "multimodal_projector_bias": True,
}
VISION_DEFAULTS: HFConfig = {
    **clip.VISION_DEFAULTS,
    "intermediate_size": 4096,
    "hidden_size": 1024,
    "patch_size": 14,
    "image_size": 336,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "projection_dim": 768,
}
"""Of a configuration that says nothing of its tower."""
_VISIONS: dict[str, tuple[ModuleType, HFConfig]] = {
    "clip_vision_model": (clip, clip.VISION_DEFAULTS),
    "siglip_vision_model": (siglip, siglip.VISION_DEFAULTS),
    "vit": (vit, vit.DEFAULTS),
}
_LLAMA: HFConfig = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "hidden_act": "silu",
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "attention_dropout": 0.0,
}
_QWEN: HFConfig = {
    **_LLAMA,
    "vocab_size": 151936,
    "intermediate_size": 22016,
    "max_position_embeddings": 32768,
    "num_key_value_heads": 32,
    "use_sliding_window": False,
    "max_window_layers": 28,
}
TEXTS: dict[str, HFConfig] = {
    "llama": {**_LLAMA, "attention_bias": False, "mlp_bias": False},
    "mistral": {
        **_LLAMA,
        "intermediate_size": 14336,
        "max_position_embeddings": 131072,
        "num_key_value_heads": 8,
        "sliding_window": 4096,
    },
    "qwen2": _QWEN,
    "qwen3": {**_QWEN, "head_dim": 128, "attention_bias": False},
}
"""Decoders by their type, and what stock takes where their configuration inside ours leaves it out."""
_CAUSAL = "LlamaForCausalLM"
_STRATEGIES = {"default": True, "full": False}


def to_config(hf: HFConfig, architecture: str, names: Collection[str]) -> SeeingConfig:
    """Our configuration of theirs.

    Args:
        hf: config.json.
        architecture: one of ARCHITECTURES.
        names: the checkpoint's tensors.

    Raises:
        CheckpointError: a setting is missing or not of its kind.
        CapabilityError: the tower or the decoder is of a family that the core does not know here.
    """
    hf = filled({**hf, "image_token_index": hf.get("image_token_id", hf.get("image_token_index"))}, DEFAULTS)
    strategy, layers = hf["vision_feature_select_strategy"], hf["vision_feature_layer"]
    layers = layers if isinstance(layers, list) else [layers]
    if strategy not in _STRATEGIES:
        raise CapabilityError(
            f"vision_feature_select_strategy={strategy!r} is not supported (supported: {', '.join(_STRATEGIES)})",
            fix=OTHER_ENGINE,
        )
    if type(hf["image_token_index"]) is not int or not all(type(layer) is int for layer in layers):
        raise CheckpointError("image_token_index and vision_feature_layer are whole numbers", fix=ANEW)
    try:
        return SeeingConfig(
            tower=_tower(hf, names),
            text=_text(hf, names),
            image_id=hf["image_token_index"],
            layers=tuple(layers),
            drop_first=_STRATEGIES[strategy],
            activation=activation(hf["projector_hidden_act"]),
            bias=flag(hf, "multimodal_projector_bias", True),
            resampler=_resampler(hf) if hf["model_type"] == MODEL_TYPES[1] else None,
        )
    except ConfigError as error:
        raise CheckpointError(error.problem, fix=ANEW) from error


def _tower(hf: HFConfig, names: Collection[str]) -> TowerConfig:
    kind = _type_of(hf, "vision_config", "clip_vision_model", _VISIONS)
    family, defaults = _VISIONS[kind]
    settings = nested(hf, "vision_config", defaults if hf.get("vision_config") else VISION_DEFAULTS)
    layers = depth(settings, "num_hidden_layers", names)
    if family is vit:
        pooler = any(name.endswith("vision_tower.pooler.dense.weight") for name in names)
        return vit.sized(layers=layers, pooler=pooler, **vit.sizes(settings)).tower
    if family is siglip:
        return siglip.read_image(settings, layers=layers)
    return clip.read_image(settings, layers=layers, projection=None)


def _text(hf: HFConfig, names: Collection[str]) -> ModelConfig:
    kind = _type_of(hf, "text_config", "llama", TEXTS)
    part = hf.get("text_config") or {}
    settings = nested(hf, "text_config", TEXTS[kind]) | {"model_type": kind}
    if kind == "mistral" and "sliding_window" in part:
        settings["sliding_window"] = part["sliding_window"]  # null has a meaning
    settings["tie_word_embeddings"] = flag(settings, "tie_word_embeddings", False) or flag(
        hf, "tie_word_embeddings", False
    )
    return llama.to_config(settings, _CAUSAL, names)


def _type_of(hf: HFConfig, key: str, default: str, known: Collection[str]) -> str:
    part = hf.get(key)
    kind = part.get("model_type", default) if isinstance(part, dict) else default
    if kind not in known:
        raise CapabilityError(
            f"{key} of the type {kind!r} is not supported here (supported: {', '.join(known)})", fix=OTHER_ENGINE
        )
    return str(kind)


def _resampler(hf: HFConfig) -> ResamplerConfig:
    require(hf, ("resampler",))
    settings = hf["resampler"]
    keys = ("queries", "layers", "heads", "width")
    if not isinstance(settings, dict) or not all(type(settings.get(key)) is int for key in keys):
        raise CheckpointError(f"resampler names {', '.join(keys)}, each a whole number", fix=ANEW)
    return ResamplerConfig(**{key: settings[key] for key in keys})


def expresses(config: Any) -> bool:
    """Whether this format can hold this model: whether its tower and its decoder come back the same."""
    if not isinstance(config, SeeingConfig) or vision_family(config.tower) is None:
        return False
    text = config.text
    if not llama.expresses(text):
        return False
    again = llama.to_config(llama.to_hf(text), _CAUSAL, ["a"] * len(text.stack.blocks))
    return again == text


def vision_family(tower: TowerConfig) -> ModuleType | None:
    """The family that holds a tower of pictures, which has no projection; None where none does."""
    for family, _ in _VISIONS.values():
        if tower.projection is None and family.expresses(SenseModelConfig(tower=tower)):
            return family
    return None


def to_hf(config: SeeingConfig) -> HFConfig:
    """Their configuration of ours.

    Raises:
        CheckpointError: no family holds the tower.
    """
    text, ours = llama.to_hf(config.text), config.resampler is not None
    del text["architectures"]
    hf: HFConfig = {
        "architectures": [ARCHITECTURES[ours]],
        "model_type": MODEL_TYPES[ours],
        "vision_config": _vision_keys(config.tower),
        "text_config": text,
        "image_token_index": config.image_id,
        "image_seq_length": config.features,
        "projector_hidden_act": HF_ACTIVATIONS[config.activation],
        "vision_feature_layer": config.layers[0] if len(config.layers) == 1 else list(config.layers),
        "vision_feature_select_strategy": "default" if config.drop_first else "full",
        "multimodal_projector_bias": config.bias,
        "tie_word_embeddings": text["tie_word_embeddings"],
    }
    if config.resampler is not None:
        resampler = config.resampler
        hf["resampler"] = {
            "queries": resampler.queries, "layers": resampler.layers, "heads": resampler.heads, "width": resampler.width
        }  # fmt: skip
    return hf


def _vision_keys(tower: TowerConfig) -> HFConfig:
    family = vision_family(tower)
    if family is None:
        raise CheckpointError("no family holds the tower of pictures", fix="Take that of a CLIP, a SigLIP or a ViT")
    return vit.tower_keys(tower) if family is vit else family.image_keys(tower)


def keymap(config: SeeingConfig, architecture: str) -> KeyMap:
    """Their names and ours."""
    family = vision_family(config.tower)
    table = clip.image_rows if family is None else vit.rows if family is vit else family.image_rows
    text = llama.keymap(config.text, _CAUSAL)
    language, projector = "language_model.", "multi_modal_projector."
    rows: list[Row] = [
        *under("tower.", table("vision_tower.")),
        *(Row(language + one.theirs, tuple(f"text.{name}" for name in one.ours)) for one in text.rows),
        *_projector(config, projector),
    ]
    return KeyMap(
        rows,
        layers=max(len(config.tower.stack.blocks), len(config.text.stack.blocks)),
        ignored=[r".*\.position_ids", *(rf"{language}{pattern}" for pattern in text.ignored)],
        same={language + second: language + first for second, first in (text.same or {}).items()},
        spelled={
            # Before `transformers` 5 CLIP's tower had the name that it has in the whole.
            r"^(model\.)?vision_tower\.vision_model\.": "vision_tower.",
            # The names that stock has in memory, which some checkpoints are stored by.
            r"^model\.(vision_tower|multi_modal_projector)\.": r"\1.",
            r"^model\.language_model\.": "language_model.model.",
            r"^lm_head\.": "language_model.lm_head.",
        },
    )


def _projector(config: SeeingConfig, base: str) -> list[Row]:
    if config.resampler is None:
        return [*affine(f"{base}linear_1", "projector.first"), *affine(f"{base}linear_2", "projector.second")]
    with torch.device("meta"):
        resampler = Resampler(config.resampler, config.width, config.text.stack.dim)
    return [row(f"{base}{name}", f"projector.{name}") for name, _ in resampler.named_parameters()]
