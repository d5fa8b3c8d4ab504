"""A tiny LLaVA folder, saved by stock `transformers`, with our tokenizer and pictures' settings beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf
from PIL import Image

from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.files import write_json
from sensorium.modalities.pixels import ImageSpec
from sensorium.training.caption_parts import IMAGE_TOKEN, with_image_token
from tests.inference.folders import TOKENIZER

SIZE, CONTEXT = 16, 160
SPEC = ImageSpec(processor="CLIPImageProcessor", resize=SIZE, crop=(SIZE, SIZE), resample="bicubic")
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | upper }}: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>\n{% else %}"
    "{% generation %}{{ part['text'] }}{% endgeneration %}{% endif %}"
    "{% endfor %} {% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
"""As those of LLaVA 1.5."""


def tokenizer(template: str | None = None) -> Tokenizer:
    made = with_image_token(TOKENIZER).for_kind("decoder")
    return Tokenizer(made.backend, dict(made.special), template)


def llava(image_id: int, **options: Any) -> Any:
    vision = hf.CLIPVisionConfig(
        hidden_size=24, num_hidden_layers=3, num_attention_heads=4, intermediate_size=40, image_size=SIZE, patch_size=8
    )
    text = hf.LlamaConfig(
        vocab_size=image_id + 1, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=48, max_position_embeddings=CONTEXT, pad_token_id=0, bos_token_id=5, eos_token_id=6,
    )  # fmt: skip
    return hf.LlavaForConditionalGeneration(
        hf.LlavaConfig(vision_config=vision, text_config=text, image_token_index=image_id, **options)
    )


def saved(folder: Path, *, template: str | None = None, seed: int = 0) -> Any:
    """Perturb every parameter and save all that a LLaVA folder holds; the model in evaluation."""
    words = tokenizer(template)
    torch.manual_seed(seed)
    model = llava(words.id(IMAGE_TOKEN) or 0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    folder.mkdir(parents=True, exist_ok=True)
    model.eval().save_pretrained(folder)
    words.save(folder, context=CONTEXT, types=False)
    if template is not None:
        write_json(folder / "chat_template.json", {"chat_template": template})
    write_json(folder / "preprocessor_config.json", SPEC.to_dict())
    write_json(
        folder / "processor_config.json",
        {
            "processor_class": "LlavaProcessor", "image_token": IMAGE_TOKEN, "patch_size": 8,
            "num_additional_image_tokens": 1, "vision_feature_select_strategy": "default",
        },
    )  # fmt: skip
    return model


def photos(folder: Path, count: int = 3) -> list[Path]:
    """Pictures of noise, of other sizes than the model reads."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, paths = np.random.default_rng(3), []
    for number in range(count):
        paths.append(folder / f"{number}.png")
        Image.fromarray(rng.integers(0, 255, (20 + number, 30, 3), dtype=np.uint8)).save(paths[-1])
    return paths
