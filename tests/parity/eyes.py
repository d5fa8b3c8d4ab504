"""Tiny stock LLaVAs of every tower and decoder, each parameter perturbed, and what they are shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers as hf

from tests.parity.stock import _LLAMA, VOCAB

IMAGE, SIZE = VOCAB - 1, 16
_VISION = dict(
    hidden_size=24, num_hidden_layers=3, num_attention_heads=4, intermediate_size=40, image_size=SIZE, patch_size=8
)
_LONG = dict(max_position_embeddings=64)
_TOWERS = {"clip": hf.CLIPVisionConfig, "siglip": hf.SiglipVisionConfig, "vit": hf.ViTConfig}
_TEXTS = {"llama": hf.LlamaConfig, "mistral": hf.MistralConfig, "qwen2": hf.Qwen2Config, "qwen3": hf.Qwen3Config}


def llava(
    tower: str, text: str, *, vision: dict[str, Any] | None = None, texts: dict[str, Any] | None = None, **options: Any
) -> Callable[[], Any]:
    """A stock model that is made when it is called for."""
    return lambda: hf.LlavaForConditionalGeneration(
        hf.LlavaConfig(
            vision_config=_TOWERS[tower](**_VISION | (vision or {})),
            text_config=_TEXTS[text](**_LLAMA | _LONG | (texts or {})),
            **dict(image_token_index=IMAGE) | options,
        )
    )


LLAVAS: dict[str, Callable[[], Any]] = {
    "clip, llama": llava("clip", "llama"),
    "clip, llama tied": llava("clip", "llama", texts=dict(tie_word_embeddings=True), tie_word_embeddings=True),
    "clip, mistral window": llava("clip", "mistral", texts=dict(sliding_window=6)),
    "clip, mistral": llava("clip", "mistral", texts=dict(sliding_window=None), projector_hidden_act="relu"),
    "clip, qwen2": llava("clip", "qwen2", vision_feature_layer=-1),
    "siglip, qwen2": llava("siglip", "qwen2", vision_feature_select_strategy="full"),
    "siglip, qwen3": llava("siglip", "qwen3", texts=dict(head_dim=8)),
    "vit, llama": llava("vit", "llama", vision_feature_layer=1, multimodal_projector_bias=False),
    "clip, llama, four layers of a tower": llava(
        "clip", "llama", vision=dict(num_hidden_layers=4), vision_feature_layer=-3
    ),
}


def shown(model: Any, *, left: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids of three texts with four pictures in them, what of them is no padding, and the pictures."""
    features = features_of(model)
    one = [IMAGE] * features
    rows = [[1, 5, *one, 7, 8, 9], [*one, 3, 4, *one], [1, *one, 11]]
    longest = max(map(len, rows))
    ids = torch.zeros(3, longest, dtype=torch.long)
    valid = torch.zeros(3, longest, dtype=torch.bool)
    for row, tokens in enumerate(rows):
        start = longest - len(tokens) if left else 0
        ids[row, start : start + len(tokens)] = torch.tensor(tokens)
        valid[row, start : start + len(tokens)] = True
    return ids, valid, pictures(4)


def features_of(model: Any) -> int:
    config = model.config
    patches = (SIZE // config.vision_config.patch_size) ** 2 + (
        config.vision_config.model_type != "siglip_vision_model"
    )
    return patches - (config.vision_feature_select_strategy == "default")


def pictures(count: int) -> torch.Tensor:
    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))
