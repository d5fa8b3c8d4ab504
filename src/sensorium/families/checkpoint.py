"""Model folders in Hugging Face's format, read and written by our own code.

Tensors come from safetensors only: a pickle can run code, so `.bin` files are refused. The model is built without
storage and the checkpoint's tensors become its parameters, so that nothing is held twice.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from sensorium.core.config import ModelConfig
from sensorium.core.model import Decoder, Transformer, build
from sensorium.errors import CapabilityError, CheckpointError, InputError, SensoriumError
from sensorium.families import FAMILIES
from sensorium.families.hf_config import HFConfig, check, refuse_quantised
from sensorium.families.keymap import Tensors
from sensorium.files import StrPath, disk_errors, read_json, write_json

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_ANEW = "Copy or download the model anew"
_WRITTEN_FOR = "5.0.0"
"""The `transformers` version whose configuration format is written."""


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model and the configuration that it came with."""

    model: Transformer
    config: HFConfig
    architecture: str


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
    config = read_config(folder)
    return assemble(config, read_tensors(folder), dtype=dtype, device=device, where=str(folder))


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
    dtype: torch.dtype = torch.float32,
    max_shard_bytes: int = 5_000_000_000,
) -> None:
    """Write config.json, the weights and, for decoders, generation_config.json into a folder that exists.

    Args:
        folder: where.
        model: what.
        special: ids of special tokens by role ("pad", "bos", "eos", ...).
        dtype: type of the stored weights.
        max_shard_bytes: weights beyond this are split into files of at most this size.

    Raises:
        CheckpointError: no family can name the model's parameters.
        DiskError: the disk is full or may not be written.
    """
    folder = Path(folder)
    family = family_for(model.config)
    ids = {f"{role}_token_id": id for role, id in (special or {}).items() if id is not None}
    config: dict[str, Any] = family.to_hf(model.config)
    if config["model_type"] == "bert":
        ids = {key: id for key, id in ids.items() if key == "pad_token_id"}
    config |= {"dtype": str(dtype).removeprefix("torch."), "transformers_version": _WRITTEN_FOR, **_kept(ids)}
    state = {name: p.detach().to(device="cpu", dtype=dtype) for name, p in model.named_parameters()}
    tensors = family.keymap(model.config, config["architectures"][0]).to_theirs(state)
    with disk_errors(folder):
        _write_tensors(folder, tensors, max_shard_bytes)
    write_json(folder / "config.json", config)
    if isinstance(model, Decoder):
        generation = {key: id for key, id in ids.items() if key in ("pad_token_id", "bos_token_id", "eos_token_id")}
        write_json(folder / "generation_config.json", {"transformers_version": _WRITTEN_FOR, **generation})


def family_for(config: ModelConfig) -> ModuleType:
    """The family whose format expresses a model.

    Raises:
        CheckpointError: none does.
    """
    for family in FAMILIES:
        if family.expresses(config):
            return family
    raise CheckpointError("no Hugging Face format that the core writes expresses this model")


def _kept(ids: Mapping[str, int]) -> dict[str, int]:
    return {key: id for key, id in ids.items() if key in ("pad_token_id", "bos_token_id", "eos_token_id")}


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
