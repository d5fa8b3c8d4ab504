"""Tiny stock models of pictures, and of pictures and texts: every family and option, and what they compute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as hf

VOCAB, CONTEXT, EOS = 60, 12, 55
_VIT = dict(
    hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=40, image_size=16, patch_size=8
)
_TEXT = dict(
    hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32, vocab_size=VOCAB,
    max_position_embeddings=CONTEXT,
)  # fmt: skip
_IDS = dict(pad_token_id=1, bos_token_id=0, eos_token_id=EOS)
_LEGACY = dict(pad_token_id=1, bos_token_id=0, eos_token_id=2)
_BERT = dict(_TEXT, pad_token_id=0)
NAMES = {0: "cat", 1: "狗", 2: "A Bird"}
_LABELS = dict(id2label=NAMES, label2id={name: i for i, name in NAMES.items()})
Make = Callable[[], Any]


def _vit(kind: str, **options: Any) -> Make:
    return lambda: getattr(hf, kind)(hf.ViTConfig(**_VIT | options))


def _clip(*, text: dict[str, Any] | None = None, image: dict[str, Any] | None = None, **options: Any) -> Make:
    return lambda: hf.CLIPModel(
        hf.CLIPConfig(
            text_config=_TEXT | _IDS | (text or {}),
            vision_config=_VIT | (image or {}),
            **dict(projection_dim=10) | options,
        )
    )


def _siglip(*, text: dict[str, Any] | None = None, image: dict[str, Any] | None = None) -> Make:
    texts = _TEXT | _IDS | dict(projection_size=24) | (text or {})
    return lambda: hf.SiglipModel(hf.SiglipConfig(text_config=texts, vision_config=_VIT | (image or {})))


def _dual(image: Any, text: Any) -> Make:
    def make() -> Any:
        options = dict(vision_config=image().to_dict(), text_config=text().to_dict(), projection_dim=10)
        return hf.VisionTextDualEncoderModel(hf.VisionTextDualEncoderConfig(**options))

    return make


ENCODERS: dict[str, Make] = {
    "vit": _vit("ViTModel"),
    "vit without pooler": lambda: hf.ViTModel(hf.ViTConfig(**_VIT), add_pooling_layer=False),
    "vit without biases": _vit("ViTModel", qkv_bias=False, layer_norm_eps=1e-2),
    "vit not square": _vit("ViTModel", image_size=[12, 20], patch_size=[3, 5], num_channels=1, hidden_act="relu"),
    "vit left-over pixels": _vit("ViTModel", image_size=[19, 16], patch_size=8, hidden_act="gelu_pytorch_tanh"),
    "vit dropouts": _vit("ViTModel", hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.3),
    "vit classes": _vit("ViTForImageClassification", **_LABELS),
    "vit any classes": _vit("ViTForImageClassification", **_LABELS, problem_type="multi_label_classification"),
    "vit value": _vit("ViTForImageClassification", num_labels=1, problem_type="regression", qkv_bias=False),
    "clip pictures": lambda: hf.CLIPVisionModel(hf.CLIPVisionConfig(**_VIT)),
    "clip pictures projected": lambda: hf.CLIPVisionModelWithProjection(hf.CLIPVisionConfig(**_VIT, projection_dim=10)),
    "clip texts": lambda: hf.CLIPTextModel(hf.CLIPTextConfig(**_TEXT | _IDS)),
    "clip texts projected": lambda: hf.CLIPTextModelWithProjection(
        hf.CLIPTextConfig(**_TEXT | _LEGACY, projection_dim=10)
    ),
    "siglip pictures": lambda: hf.SiglipVisionModel(hf.SiglipVisionConfig(**_VIT)),
    "siglip texts": lambda: hf.SiglipTextModel(hf.SiglipTextConfig(**_TEXT | _IDS, projection_size=9)),
}  # fmt: skip
PAIRS: dict[str, Make] = {
    "clip": _clip(),
    "clip legacy end": _clip(text=_LEGACY),
    "clip gelu": _clip(
        text=dict(hidden_act="gelu", layer_norm_eps=1e-2), image=dict(hidden_act="gelu", layer_norm_eps=1e-3),
        logit_scale_init_value=1.5,
    ),
    "clip gray, dropouts": _clip(
        text=dict(attention_dropout=0.2), image=dict(attention_dropout=0.3, num_channels=1, image_size=15, patch_size=5)
    ),
    "siglip": _siglip(),
    "siglip gelu": _siglip(
        text=dict(hidden_act="gelu", layer_norm_eps=1e-2), image=dict(hidden_act="relu", layer_norm_eps=1e-3)
    ),
    "dual bert, vit": _dual(lambda: hf.ViTConfig(**_VIT), lambda: hf.BertConfig(**_BERT)),
    "dual bert, clip": _dual(lambda: hf.CLIPVisionConfig(**_VIT), lambda: hf.BertConfig(**_BERT, hidden_act="relu")),
    "dual roberta, vit": _dual(
        lambda: hf.ViTConfig(**_VIT, qkv_bias=False),
        lambda: hf.RobertaConfig(**_TEXT | _LEGACY | dict(max_position_embeddings=CONTEXT + 2)),
    ),
}  # fmt: skip
EVERY = ENCODERS | PAIRS


def pictures(model: Any) -> torch.Tensor:
    """Three pictures of the model's size."""
    config = getattr(model.config, "vision_config", model.config)
    sides = config.image_size if isinstance(config.image_size, (list, tuple)) else [config.image_size] * 2
    return torch.randn(3, config.num_channels, *sides, generator=torch.Generator().manual_seed(1))


def texts(model: Any, lengths: tuple[int, ...] = (12, 7, 3)) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids of texts that end with the end token, padded on the right; and where they are valid."""
    config = getattr(model.config, "text_config", model.config)
    ids = torch.randint(6, EOS, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(2))
    valid = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    ids[torch.arange(len(lengths)), torch.tensor(lengths) - 1] = EOS
    # A second end token, which does not count.
    ids[0, 4] = EOS if config.eos_token_id == EOS else ids[0, 4]
    return ids.masked_fill(~valid, config.pad_token_id), valid


def reads_texts(model: Any) -> bool:
    return "Text" in type(model).__name__ and "VisionText" not in type(model).__name__


def on_disk(model: Any, folder: Path) -> dict[str, torch.Tensor]:
    """A stock model's tensors under the names of its files."""
    from safetensors.torch import load_file

    folder.mkdir()
    model.save_pretrained(folder)
    return load_file(folder / "model.safetensors")
