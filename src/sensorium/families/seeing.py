"""Folders of decoders that see: read and written as those of text are, with what a picture must be made into.

Stock `transformers` wants two files more beside the weights: a preprocessor's settings, and a processor's, which say
how many placeholders a picture takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from sensorium.core.eyes import SeeingConfig, SeeingDecoder
from sensorium.errors import CapabilityError, CheckpointError
from sensorium.families import SEEING
from sensorium.families.checkpoint import architecture_of, family_among, filled, read_config, read_tensors, write_filled
from sensorium.families.hf_config import HFConfig
from sensorium.families.senses import read_preprocessor, write_preprocessor
from sensorium.files import StrPath, read_json, write_json

PROCESSOR = "processor_config.json"
_SPECIAL = {"pad_token_id": "pad", "bos_token_id": "bos", "eos_token_id": "eos"}


@dataclass(frozen=True, eq=False)
class LoadedSeeing:
    """A decoder that sees, and what it came with."""

    model: SeeingDecoder
    config: HFConfig
    architecture: str
    preprocessor: HFConfig | None = None
    """What `read_preprocessor` finds."""
    generation: HFConfig = field(default_factory=dict)
    """generation_config.json, where there is one."""


def read_seeing(folder: StrPath, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> LoadedSeeing:
    """Read a LLaVA folder, or one that `write_seeing` wrote.

    Raises:
        InputError: there is no model in it.
        CheckpointError: files are missing or corrupt, or do not fit each other.
        CapabilityError: the core does not know its family or a feature of it, or it does not see.
    """
    folder = Path(folder)
    config = read_config(folder)
    family = family_among(SEEING, config)
    if family is None:
        raise CapabilityError(
            f"{architecture_of(config) or config.get('model_type') or 'the model'} is no language model that sees",
            where=str(folder),
            fix="Name a LLaVA folder, or give your language model eyes (sensorium.give_eyes)",
        )
    model = filled(
        family, config, read_tensors(folder), build=SeeingDecoder, dtype=dtype, device=device, where=str(folder)
    )
    path = folder / "generation_config.json"
    generation = read_json(path) if path.is_file() else {}
    return LoadedSeeing(model, config, architecture_of(config), read_preprocessor(folder), generation)


def write_seeing(
    folder: StrPath,
    model: SeeingDecoder,
    *,
    image_token: str = "<image>",
    special: Mapping[str, int | None] | None = None,
    preprocessor: HFConfig | None = None,
    like: LoadedSeeing | None = None,
    dtype: torch.dtype = torch.float32,
    max_shard_bytes: int = 5_000_000_000,
) -> None:
    """Write config.json, the weights, and the settings of generation and pictures into a folder that exists.

    Args:
        folder: where.
        model: what.
        image_token: the placeholder, as the tokenizer has it.
        special: ids of special tokens by role ("pad", "bos", "eos").
        preprocessor: what pictures are made into before the model reads them, in the words of stock `transformers`.
        like: what the model was made from, whose special tokens and settings it keeps where none are given.
        dtype: type of the stored weights.
        max_shard_bytes: weights beyond this are split into files of at most this size.

    Raises:
        CheckpointError: no family can hold the model.
        DiskError: the disk is full or may not be written.
    """
    folder, ours = Path(folder), model.config
    family = next((family for family in SEEING if family.expresses(ours)), None)
    if family is None:
        raise CheckpointError(
            "no Hugging Face format that the core writes holds this model",
            fix="Give it the tower of a CLIP, a SigLIP or a ViT, and a decoder like Llama, Mistral, Qwen2 or Qwen3",
        )
    config = family.to_hf(ours)
    stated = {} if like is None else {**like.config, **(like.config.get("text_config") or {}), **like.generation}
    ids = {key: (special or {}).get(role, stated.get(key)) for key, role in _SPECIAL.items()}
    config["text_config"] |= ids
    write_filled(folder, family, model, ours, config, dtype=dtype, max_shard_bytes=max_shard_bytes)
    kept = {} if like is None else {key: value for key, value in like.generation.items() if not key.startswith("_")}
    named = {key: value for key, value in ids.items() if value is not None}
    write_json(folder / "generation_config.json", {"transformers_version": "5.0.0", **kept, **named})
    settings = preprocessor if preprocessor is not None or like is None else like.preprocessor
    if settings is not None:
        write_preprocessor(folder, settings)
    write_json(folder / PROCESSOR, _processor(ours, image_token))


def _processor(config: SeeingConfig, image_token: str) -> HFConfig:
    """What tells stock `LlavaProcessor` how many placeholders a picture takes."""
    patches = config.patches
    return {
        "processor_class": "LlavaProcessor",
        "image_token": image_token,
        "patch_size": patches.patch[0],
        "num_additional_image_tokens": int(patches.cls),
        "vision_feature_select_strategy": "default" if config.drop_first else "full",
    }
