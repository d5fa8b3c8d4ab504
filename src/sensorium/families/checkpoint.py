"""Model folders in Hugging Face's format, read and written by our own code.

Tensors come from safetensors only: a pickle can run code, so `.bin` files are refused. The model is built without
storage and the checkpoint's tensors become its parameters, so that nothing is held twice.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from sensorium.core.config import EncoderDecoderConfig
from sensorium.core.model import AnyConfig, Encoder, Transformer, build, stacks
from sensorium.errors import CapabilityError, CheckpointError, InputError, SensoriumError
from sensorium.families import FAMILIES, ONE_STACK, TWO_STACKS
from sensorium.families.hf_config import HFConfig, check, refuse_quantised
from sensorium.families.keymap import Tensors
from sensorium.files import StrPath, disk_errors, read_json, write_json

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_ANEW = "Copy or download the model anew"
_WRITTEN_FOR = "5.0.0"
"""The `transformers` version whose configuration format is written."""
_SPECIAL = {"pad_token_id": "pad", "bos_token_id": "bos", "eos_token_id": "eos"}
"""Settings that name a special token, and its role in our tokenizers, or several, of which the first that there is
counts; a family may have a SPECIAL of its own."""
_KEPT = ("task_specific_params", "prefix")
"""Settings of config.json that say how to use a model, and nothing of what it is."""
_GENERATION = (
    "max_length", "max_new_tokens", "min_length", "num_beams", "length_penalty", "early_stopping", "bad_words_ids",
    "suppress_tokens", "no_repeat_ngram_size", "repetition_penalty", "do_sample", "temperature", "top_k", "top_p",
)  # fmt: skip
"""Settings of generation_config.json that stood in config.json in older days."""


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model and the configuration that it came with."""

    model: Transformer
    config: HFConfig
    architecture: str
    generation: HFConfig = field(default_factory=dict)
    """generation_config.json, where there is one."""


def read_config(folder: StrPath) -> HFConfig:
    """config.json of a model folder.

    Raises:
        InputError: the folder or the file is not there.
        CheckpointError: it is not a JSON object.
    """
    path = Path(folder) / "config.json"
    if not path.is_file():
        problem = "holds no model: config.json is missing" if Path(folder).is_dir() else "no such folder"
        raise InputError(problem, where=str(folder), fix="Name a Hugging Face model folder")
    return read_json(path)


def family_of(config: HFConfig) -> ModuleType | None:
    """The family that reads this configuration, or None: then only the `transformers` engine can."""
    architecture = _architecture(config)
    for family in FAMILIES:
        if config.get("model_type") in family.MODEL_TYPES and architecture in family.ARCHITECTURES:
            return family
    return None


def read_model(folder: StrPath, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> LoadedModel:
    """Read a model folder.

    Raises:
        InputError: there is no model in it.
        CheckpointError: files are missing or corrupt, or do not fit each other.
        CapabilityError: the core does not know its family or a feature of it.
    """
    folder = Path(folder)
    config, generation = read_config(folder), folder / "generation_config.json"
    loaded = assemble(config, read_tensors(folder), dtype=dtype, device=device, where=str(folder))
    return replace(loaded, generation=read_json(generation)) if generation.is_file() else loaded


def assemble(config: HFConfig, tensors: Tensors, *, dtype: torch.dtype, device: str, where: str) -> LoadedModel:
    """A model of their configuration and their tensors.

    Raises:
        CheckpointError: they do not fit each other.
        CapabilityError: the core does not know the family or a feature of it.
    """
    family, architecture = family_of(config), _architecture(config)
    if family is None:
        known = ", ".join(name for family in FAMILIES for name in family.ARCHITECTURES)
        raise CapabilityError(
            f"{architecture or config.get('model_type') or 'a model without architectures'} is not a model that the "
            f"core knows (it knows {known})",
            where=where,
            fix="Open it with engine='transformers'",
        )
    stated_in = str(Path(where) / "config.json") if Path(where).is_dir() else where
    try:
        check(config)
        refuse_quantised(config)
        tensors = family.tidy(tensors, where=where) if hasattr(family, "tidy") else tensors
        ours = family.to_config(config, architecture, tensors.keys())
        with torch.device("meta"):
            model = build(ours)
    except SensoriumError as error:
        raise type(error)(error.problem, where=stated_in, fix=error.fix) from error
    except (TypeError, ValueError, KeyError, ArithmeticError, RuntimeError) as error:
        raise CheckpointError(
            f"the configuration cannot be used: {error!r}", where=stated_in, fix="Copy the model anew"
        ) from error
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    state = family.keymap(ours, architecture).to_ours(tensors, shapes, where=where)
    state = {name: tensor.to(device=device, dtype=dtype) for name, tensor in state.items()}
    model.load_state_dict(state, assign=True)
    return LoadedModel(model.requires_grad_(True).eval(), config, architecture)


def read_tensors(folder: Path) -> Tensors:
    """All tensors of a folder, of one file or of shards.

    Raises:
        CheckpointError: no safetensors, a missing or corrupt file, an index that does not fit.
    """
    if (folder / WEIGHTS).is_file():
        return _read_file(folder / WEIGHTS)
    if (folder / INDEX).is_file():
        return _read_shards(folder)
    other = [path.name for path in folder.glob("*.bin")]
    raise CheckpointError(
        f"no {WEIGHTS}" + (f", only {other[0]}, which may run code when read" if other else ""),
        where=str(folder),
        fix="Save the model with safetensors (stock transformers: model.save_pretrained(folder))",
    )


def _read_shards(folder: Path) -> Tensors:
    path = folder / INDEX
    weight_map = read_json(path).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise CheckpointError("the index holds no weight_map of file names", where=str(path), fix=_ANEW)
    tensors: Tensors = {}
    for name in sorted(set(weight_map.values())):
        if Path(name).name != name or name == "..":
            raise CheckpointError(
                f"the index names a file outside the folder: {name!r}", where=str(path), fix="Do not trust this folder"
            )
        if not (folder / name).is_file():
            raise CheckpointError(f"shard {name} is missing", where=str(folder), fix=_ANEW)
        tensors |= _read_file(folder / name)
    absent = [key for key in weight_map if key not in tensors]
    if absent:
        raise CheckpointError(
            f"the index names tensors that no shard holds: {', '.join(absent[:8])}", where=str(path), fix=_ANEW
        )
    return tensors


def _read_file(path: Path) -> Tensors:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"truncated or corrupt: {error}", where=str(path), fix=_ANEW) from error


def write_model(
    folder: StrPath,
    model: Transformer,
    *,
    special: Mapping[str, int | None] | None = None,
    like: LoadedModel | None = None,
    dtype: torch.dtype = torch.float32,
    max_shard_bytes: int = 5_000_000_000,
) -> None:
    """Write config.json, the weights and, for models that write text, generation_config.json into a folder that exists.

    Args:
        folder: where.
        model: what.
        special: ids of special tokens by role ("pad", "bos", "eos", ...); those of an encoder-decoder's start and of
            what its texts must begin and end with are "start", "forced_bos" and "forced_eos".
        like: what the model was made from, whose special tokens and settings for generation it keeps, but for those
            of `special`.
        dtype: type of the stored weights.
        max_shard_bytes: weights beyond this are split into files of at most this size.

    Raises:
        CheckpointError: no family can name the model's parameters.
        DiskError: the disk is full or may not be written.
    """
    folder = Path(folder)
    family = family_for(model.config)
    ids = _special_ids(family, special or {}, like)
    config: dict[str, Any] = family.to_hf(model.config)
    if like is not None:
        config |= {key: like.config[key] for key in _KEPT if like.config.get(key) is not None}
    config |= {"dtype": str(dtype).removeprefix("torch."), "transformers_version": _WRITTEN_FOR, **ids}
    state = {name: p.detach().to(device="cpu", dtype=dtype) for name, p in model.named_parameters()}
    tensors = family.keymap(model.config, config["architectures"][0]).to_theirs(state)
    with disk_errors(folder):
        _write_tensors(folder, tensors, max_shard_bytes)
    write_json(folder / "config.json", config)
    if not isinstance(model, Encoder):
        write_json(folder / "generation_config.json", _generation(family, model, ids, like))


def _special_ids(family: ModuleType, special: Mapping[str, int | None], like: LoadedModel | None) -> dict[str, Any]:
    """The settings that name special tokens: by their own role, else as `like` has them, else by a role that usually
    stands in (the decoder's start is often the padding)."""
    ids: dict[str, Any] = {}
    for key, roles in getattr(family, "SPECIAL", _SPECIAL).items():
        own, *others = (roles,) if isinstance(roles, str) else roles
        stated = None if like is None else like.generation.get(key, like.config.get(key))
        found = [id for id in (special.get(own), stated, *map(special.get, others)) if id is not None]
        if found:
            ids[key] = found[0]
    if family in TWO_STACKS:
        # Where a setting is absent, stock `transformers` takes its own models' ids, of rows that others do not have.
        ids |= {key: None for key in ("pad_token_id", "bos_token_id", "eos_token_id") if key not in ids}
    return ids


def _generation(
    family: ModuleType, model: Transformer, ids: Mapping[str, Any], like: LoadedModel | None
) -> dict[str, Any]:
    """What generation_config.json says: what `like` says, or what the family's models usually say."""
    settings: dict[str, Any] = {}
    if like is not None and (like.generation or any(key in like.config for key in _GENERATION)):
        settings = {key: like.config[key] for key in _GENERATION if like.config.get(key) is not None}
        settings |= {key: value for key, value in like.generation.items() if not key.startswith("_")}
    elif family in TWO_STACKS:
        context = stacks(model)["decoder"].config.context
        settings = {} if context is None else {"max_length": context}
        settings |= family.generation(ids) if hasattr(family, "generation") else {}
    named = {key: id for key, id in ids.items() if id is not None}
    return settings | {"transformers_version": _WRITTEN_FOR, **named}


def family_for(config: AnyConfig) -> ModuleType:
    """The family whose format expresses a model.

    Raises:
        CheckpointError: none does.
    """
    for family in TWO_STACKS if isinstance(config, EncoderDecoderConfig) else ONE_STACK:
        if family.expresses(config):
            return family
    raise CheckpointError("no Hugging Face format that the core writes expresses this model")


def _write_tensors(folder: Path, tensors: Tensors, max_shard_bytes: int) -> None:
    shards: list[Tensors] = [{}]
    sizes = [0]
    for name, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size()
        if shards[-1] and sizes[-1] + size > max_shard_bytes:
            shards.append({})
            sizes.append(0)
        shards[-1][name] = tensor
        sizes[-1] += size
    if len(shards) == 1:
        _save(tensors, folder / WEIGHTS)
        return
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, 1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        _save(shard, folder / name)
        weight_map |= dict.fromkeys(shard, name)
    write_json(folder / INDEX, {"metadata": {"total_size": sum(sizes)}, "weight_map": weight_map})


def _save(tensors: Tensors, path: Path) -> None:
    """Write one file; what the operating system refuses comes as the OSError that it is."""
    try:
        save_file(tensors, path, metadata={"format": "pt"})
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(int(number[1]) if number else errno.EIO, str(error)) from error


def _architecture(config: HFConfig) -> str:
    names = config.get("architectures")
    return str(names[0]) if isinstance(names, list) and names else ""
