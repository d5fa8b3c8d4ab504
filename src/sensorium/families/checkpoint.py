"""Model folders in Hugging Face's format, read and written by our own code.

Tensors come from safetensors only: a pickle can run code, so `.bin` files are refused. The model is built without
storage and the checkpoint's tensors become its parameters, so that nothing is held twice.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from sensorium.core.config import EncoderDecoderConfig
from sensorium.core.encoder_decoder import Writer
from sensorium.core.model import AnyConfig, Encoder, Transformer, build
from sensorium.core.speech import SpeechConfig, SpeechToText
from sensorium.errors import CapabilityError, CheckpointError, InputError, SensoriumError
from sensorium.families import FAMILIES, ONE_STACK, SENSES, SPEECH, TWO_STACKS
from sensorium.families.hf_config import HFConfig, check, refuse_quantised
from sensorium.families.keymap import Tensors
from sensorium.files import StrPath, disk_errors, read_json, write_json

ModelT = TypeVar("ModelT", bound=nn.Module)
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
    "suppress_tokens", "begin_suppress_tokens", "forced_decoder_ids", "no_repeat_ngram_size", "repetition_penalty",
    "do_sample", "temperature", "top_k", "top_p",
)  # fmt: skip
"""Settings of generation_config.json that stood in config.json in older days."""
_ModelT = TypeVar("_ModelT")


@dataclass(frozen=True, eq=False)
class Loaded(Generic[_ModelT]):
    """A model and the configuration that it came with."""

    model: _ModelT
    config: HFConfig
    architecture: str
    generation: HFConfig = field(default_factory=dict)
    """generation_config.json, where there is one."""


LoadedModel = Loaded[Transformer]
"""A model of text."""
LoadedSpeech = Loaded[SpeechToText]


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
    return family_among(FAMILIES, config)


def family_among(families: Sequence[ModuleType], config: HFConfig) -> ModuleType | None:
    """The one of these families that reads this configuration, or None."""
    architecture = architecture_of(config)
    for family in families:
        if config.get("model_type") in family.MODEL_TYPES and architecture in family.ARCHITECTURES:
            return family
    return None


def read_model(folder: StrPath, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> LoadedModel:
    """Read the folder of a model of text.

    Raises:
        InputError: there is no model in it.
        CheckpointError: files are missing or corrupt, or do not fit each other.
        CapabilityError: the core does not know its family or a feature of it, or it is no model of text.
    """
    return _of_text(_read_folder(Path(folder), dtype, device), str(folder))


def read_speech(folder: StrPath, *, dtype: torch.dtype = torch.float32, device: str = "cpu") -> LoadedSpeech:
    """Read the folder of a model that writes down speech.

    Raises:
        InputError: there is no model in it.
        CheckpointError: files are missing or corrupt, or do not fit each other.
        CapabilityError: the core does not know its family or a feature of it, or it is no model of speech.
    """
    loaded = _read_folder(Path(folder), dtype, device)
    if not isinstance(loaded.model, SpeechToText):
        raise CapabilityError("the model reads no speech", where=str(folder), fix="Name a Whisper folder")
    return Loaded(loaded.model, loaded.config, loaded.architecture, loaded.generation)


def assemble(config: HFConfig, tensors: Tensors, *, dtype: torch.dtype, device: str, where: str) -> LoadedModel:
    """A model of text, of their configuration and their tensors.

    Raises:
        CheckpointError: they do not fit each other.
        CapabilityError: the core does not know the family or a feature of it, or it is no model of text.
    """
    return _of_text(_assemble(config, tensors, dtype=dtype, device=device, where=where), where)


def _of_text(loaded: Loaded[Transformer | SpeechToText], where: str) -> LoadedModel:
    if isinstance(loaded.model, SpeechToText):
        raise CapabilityError("the model reads speech, not text", where=where, fix="Load it, and call its transcribe")
    return Loaded(loaded.model, loaded.config, loaded.architecture, loaded.generation)


def _read_folder(folder: Path, dtype: torch.dtype, device: str) -> Loaded[Transformer | SpeechToText]:
    config, generation = read_config(folder), folder / "generation_config.json"
    loaded = _assemble(config, read_tensors(folder), dtype=dtype, device=device, where=str(folder))
    return replace(loaded, generation=read_json(generation)) if generation.is_file() else loaded


def _assemble(
    config: HFConfig, tensors: Tensors, *, dtype: torch.dtype, device: str, where: str
) -> Loaded[Transformer | SpeechToText]:
    family, architecture = family_of(config), architecture_of(config)
    if family_among(SENSES, config) is not None:
        raise CapabilityError(
            f"{architecture} reads pictures or sounds, or tells how close they are to texts",
            where=where,
            fix="Read it with sensorium.families.senses.read_senses",
        )
    if family is None:
        known = ", ".join(name for family in FAMILIES for name in family.ARCHITECTURES)
        raise CapabilityError(
            f"{architecture or config.get('model_type') or 'a model without architectures'} is not a model that the "
            f"core knows (it knows {known})",
            where=where,
            fix="Open it with engine='transformers'",
        )
    model = filled(family, config, tensors, build=build, dtype=dtype, device=device, where=where)
    return Loaded(model, config, architecture)


def filled(
    family: ModuleType,
    config: HFConfig,
    tensors: Tensors,
    *,
    build: Callable[[Any], ModelT],
    dtype: torch.dtype,
    device: str,
    where: str,
) -> ModelT:
    """The model that `build` makes of a family's configuration, with its tensors; in evaluation.

    Raises:
        CheckpointError: they do not fit each other.
        CapabilityError: the core does not know a feature of it.
    """
    architecture = architecture_of(config)
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
    fixed = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    model.load_state_dict(state, assign=True)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in fixed)
    return model.eval()


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
    model: Transformer | SpeechToText,
    *,
    special: Mapping[str, int | None] | None = None,
    like: Loaded[Any] | None = None,
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
        kept = (*_KEPT, *getattr(family, "KEPT", ()))
        config |= {key: like.config[key] for key in kept if like.config.get(key) is not None}
    write_filled(folder, family, model, model.config, config | ids, dtype=dtype, max_shard_bytes=max_shard_bytes)
    if not isinstance(model, Encoder):
        write_json(folder / "generation_config.json", _generation(family, model, ids, like))


def write_filled(
    folder: Path,
    family: ModuleType,
    model: nn.Module,
    ours: Any,
    config: HFConfig,
    *,
    dtype: torch.dtype,
    max_shard_bytes: int,
) -> None:
    """Write a model of a family: `config` as config.json, and its parameters under the family's names for `ours`, its
    configuration.

    Raises:
        CheckpointError: the family has no name for a parameter.
        DiskError: the disk is full or may not be written.
    """
    state = {name: p.detach().to(device="cpu", dtype=dtype) for name, p in model.named_parameters()}
    tensors = family.keymap(ours, config["architectures"][0]).to_theirs(state)
    with disk_errors(folder):
        _write_tensors(folder, tensors, max_shard_bytes)
    stated = {"dtype": str(dtype).removeprefix("torch."), "transformers_version": _WRITTEN_FOR}
    write_json(folder / "config.json", config | stated)


def _special_ids(family: ModuleType, special: Mapping[str, int | None], like: Loaded[Any] | None) -> dict[str, Any]:
    """The settings that name special tokens: by their own role, else as `like` has them, else by a role that usually
    stands in (the decoder's start is often the padding)."""
    ids: dict[str, Any] = {}
    for key, roles in getattr(family, "SPECIAL", _SPECIAL).items():
        own, *others = (roles,) if isinstance(roles, str) else roles
        stated = None if like is None else like.generation.get(key, like.config.get(key))
        found = [id for id in (special.get(own), stated, *map(special.get, others)) if id is not None]
        if found:
            ids[key] = found[0]
    if family in TWO_STACKS + SPEECH:
        # Where a setting is absent, stock `transformers` takes its own models' ids, of rows that others do not have.
        ids |= {key: None for key in ("pad_token_id", "bos_token_id", "eos_token_id") if key not in ids}
    return ids


def _generation(
    family: ModuleType, model: Transformer | SpeechToText, ids: Mapping[str, Any], like: Loaded[Any] | None
) -> dict[str, Any]:
    """What generation_config.json says: what `like` says, or what the family's models usually say."""
    settings: dict[str, Any] = {}
    if like is not None and (like.generation or any(key in like.config for key in _GENERATION)):
        settings = {key: like.config[key] for key in _GENERATION if like.config.get(key) is not None}
        settings |= {key: value for key, value in like.generation.items() if not key.startswith("_")}
    elif isinstance(model, Writer):
        context = model.decoder.config.context
        settings = {} if context is None else {"max_length": context}
        settings |= family.generation(ids) if hasattr(family, "generation") else {}
    named = {key: id for key, id in ids.items() if id is not None}
    return settings | {"transformers_version": _WRITTEN_FOR, **named}


def family_for(config: AnyConfig | SpeechConfig) -> ModuleType:
    """The family whose format expresses a model.

    Raises:
        CheckpointError: none does.
    """
    of_text = TWO_STACKS if isinstance(config, EncoderDecoderConfig) else ONE_STACK
    for family in SPEECH if isinstance(config, SpeechConfig) else of_text:
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


def architecture_of(config: HFConfig) -> str:
    """The stock class of a model; empty where the configuration names none."""
    names = config.get("architectures")
    return str(names[0]) if isinstance(names, list) and names else ""
