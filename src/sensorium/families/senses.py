"""Folders of models of other senses than text, and of several: read and written as those of text are.

What a picture or a sound must be made into before a model reads it stands beside the model, in a file that stock
`transformers` calls a preprocessor's. It is handed on as it is: what it means is the modalities' matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch

from sensorium.core.sense_encoder import SenseEncoder, SenseModelConfig
from sensorium.core.tower import Aligned, AlignedConfig
from sensorium.errors import CapabilityError, CheckpointError
from sensorium.families import SENSES
from sensorium.families.checkpoint import architecture_of, family_among, filled, read_config, read_tensors, write_filled
from sensorium.families.hf_config import HFConfig
from sensorium.files import StrPath, read_json, write_json

PREPROCESSOR, _PROCESSOR = "preprocessor_config.json", "processor_config.json"
SenseModel = SenseEncoder | Aligned
_SPECIAL = {"pad_token_id": "pad", "bos_token_id": "bos", "eos_token_id": "eos"}


@dataclass(frozen=True, eq=False)
class LoadedSenses:
    """A model of other senses and what it came with."""

    model: SenseModel
    config: HFConfig
    architecture: str
    preprocessor: HFConfig | None = None
    """What `read_preprocessor` finds."""
    where: str = "the model"

    @property
    def aligned(self) -> Aligned:
        """The model, of several towers.

        Raises:
            CapabilityError: it has only one.
        """
        if not isinstance(self.model, Aligned):
            raise CapabilityError(
                f"{self.architecture} is one tower alone, which nothing is aligned with",
                where=self.where,
                fix="Name a folder of a CLIP, a SigLIP or a VisionTextDualEncoder",
            )
        return self.model

    @property
    def encoder(self) -> SenseEncoder:
        """The model, of one tower.

        Raises:
            CapabilityError: it has several.
        """
        if not isinstance(self.model, SenseEncoder):
            raise CapabilityError(
                f"{self.architecture} has several towers",
                where=self.where,
                fix="Name a folder of one alone, as a ViT's or a CLIPVisionModel's",
            )
        return self.model


def read_senses(folder: StrPath, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> LoadedSenses:
    """Read the folder of a ViT, a CLIP, a SigLIP, one of their towers, or a VisionTextDualEncoder.

    Raises:
        InputError: there is no model in it.
        CheckpointError: files are missing or corrupt, or do not fit each other.
        CapabilityError: the core does not know its family or a feature of it.
    """
    folder = Path(folder)
    config = read_config(folder)
    family = family_among(SENSES, config)
    if family is None:
        known = ", ".join(name for family in SENSES for name in family.ARCHITECTURES)
        name = architecture_of(config) or config.get("model_type") or "a model without architectures"
        raise CapabilityError(
            f"{name} is not a model of pictures that the core knows",
            where=str(folder),
            fix=f"Name a folder of one of these: {known}",
        )
    model = filled(family, config, read_tensors(folder), build=_build, dtype=dtype, device=device, where=str(folder))
    return LoadedSenses(model, config, architecture_of(config), read_preprocessor(folder), str(folder))


def _build(config: SenseModelConfig | AlignedConfig) -> SenseModel:
    return Aligned(config) if isinstance(config, AlignedConfig) else SenseEncoder(config)


def write_senses(
    folder: StrPath,
    model: SenseModel,
    *,
    special: Mapping[str, int | None] | None = None,
    preprocessor: HFConfig | None = None,
    like: LoadedSenses | None = None,
    dtype: torch.dtype = torch.float32,
    max_shard_bytes: int = 5_000_000_000,
) -> None:
    """Write config.json, the weights and the preprocessor's settings into a folder that exists.

    Args:
        folder: where.
        model: what.
        special: ids of the texts' special tokens by role ("pad", "bos", "eos").
        preprocessor: what pictures are made into before the model reads them, in the words of stock `transformers`.
        like: what the model was made from, whose special tokens and preprocessor it keeps where none are given.
        dtype: type of the stored weights.
        max_shard_bytes: weights beyond this are split into files of at most this size.

    Raises:
        CheckpointError: no family can hold the model.
        DiskError: the disk is full or may not be written.
    """
    folder = Path(folder)
    family = sense_family_for(model.config)
    config = family.to_hf(model.config)
    texts = config["text_config"] if isinstance(model, Aligned) else config
    if "vocab_size" in texts:
        stated = {} if like is None else like.config.get("text_config", like.config)
        for key, role in _SPECIAL.items():
            # Where a setting is absent, stock `transformers` takes its own models' ids, of rows that others lack.
            texts.setdefault(key, (special or {}).get(role, stated.get(key)))
    write_filled(folder, family, model, model.config, config, dtype=dtype, max_shard_bytes=max_shard_bytes)
    settings = preprocessor if preprocessor is not None or like is None else like.preprocessor
    if settings is not None:
        write_preprocessor(folder, settings)


def sense_family_for(config: SenseModelConfig | AlignedConfig) -> ModuleType:
    """The family whose format holds a model.

    Raises:
        CheckpointError: none does.
    """
    for family in SENSES:
        if family.expresses(config):
            return family
    raise CheckpointError(
        "no Hugging Face format that the core writes holds this model",
        fix="Give it the towers of a CLIP or a SigLIP; or a ViT's and a BERT's, each with its pooler",
    )


def read_preprocessor(folder: StrPath) -> HFConfig | None:
    """The settings by which a picture or a sound is made into what the model reads; None where there are none.

    Raises:
        CheckpointError: the file is not a JSON object.
    """
    folder = Path(folder)
    if (folder / PREPROCESSOR).is_file():
        return read_json(folder / PREPROCESSOR)
    if (folder / _PROCESSOR).is_file():  # where `transformers` 5 saves those of several senses together
        parts = read_json(folder / _PROCESSOR)
        found = [parts[key] for key in ("image_processor", "feature_extractor") if isinstance(parts.get(key), dict)]
        return found[0] if found else None
    return None


def write_preprocessor(folder: StrPath, settings: HFConfig) -> None:
    """Write what `read_preprocessor` reads, into a folder that exists.

    Raises:
        DiskError: the disk is full or may not be written.
    """
    write_json(Path(folder) / PREPROCESSOR, settings)
