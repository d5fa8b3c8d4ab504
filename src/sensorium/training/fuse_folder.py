"""A fused model as a folder of folders: one stock Hugging Face folder an encoder, and what joins them beside these.

`fusion.json` says what the columns are, how they are read, and how an answer is made; `fusion.safetensors` holds all
weights that are in no encoder's folder. Unusual: an encoder's weights stand in its own folder alone, so what is
trained further there changes the fused model.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sensorium import __version__
from sensorium.core.model import Encoder
from sensorium.data.tables.schema import TableSchema
from sensorium.data.tables.specs import SenseSpec
from sensorium.data.tables.targets import TargetSpec
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import CheckpointError, ConfigError
from sensorium.families.checkpoint import read_config, read_model, read_speech, write_model
from sensorium.families.senses import PREPROCESSOR, read_senses, write_senses
from sensorium.files import StrPath, atomic_file, read_errors, read_json, write_json
from sensorium.fusion.features.base import FusionConfig
from sensorium.fusion.model import FusedConfig, FusedModel, ModalityConfig
from sensorium.fusion.model_decision import Verdict
from sensorium.fusion.model_encoders import (
    ClipEncoder,
    NumbersConfig,
    PatchEncoder,
    SpeechEncoder,
    TextEncoder,
    TimeConfig,
)
from sensorium.fusion.table_expert import TableExpert
from sensorium.modalities.mel import MelSpec
from sensorium.training.special import special_ids
from sensorium.training.typed import record

SETTINGS, WEIGHTS = "fusion.json", "fusion.safetensors"
KIND = "fused"
_TABLE = "table."
_ENCODER = re.compile(r"encoders\.(\d+)\.model\.")
_FIX = "Copy the folder of the model anew"


@dataclass(frozen=True, eq=False)
class Fused:
    """A fused model and all that it needs to be asked.

    Args:
        model: the networks.
        schema: what the columns are.
        target: what is told.
        specs: how each modality is read; one that only the table's expert answers for is among them.
        verdict: how an answer is made.
        expert: the modality of numbers and what answers for it; of levels decision and both.
    """

    model: FusedModel
    schema: TableSchema
    target: TargetSpec
    specs: tuple[SenseSpec, ...]
    verdict: Verdict
    expert: tuple[str, TableExpert] | None = None


def is_fused(folder: StrPath) -> bool:
    """Whether a folder holds a fused model."""
    path = Path(folder) / SETTINGS
    return path.is_file() and read_json(path).get("kind") == KIND


def write_fused(folder: Path, fused: Fused) -> None:
    """Write into an empty folder, its settings last.

    Raises:
        CheckpointError: no Hugging Face format holds an encoder.
        DiskError: the disk is full or may not be written.
    """
    model, places = fused.model, _places(fused)
    for config in model.config.modalities:
        if config.name in places:
            (folder / places[config.name]).mkdir()
            _write_encoder(folder / places[config.name], fused, config)
    weights = {name: value for name, value in model.state_dict().items() if not _ENCODER.match(name)}
    if fused.expert is not None:
        weights |= {f"{_TABLE}{name}": torch.from_numpy(value) for name, value in fused.expert[1].arrays.items()}
    with atomic_file(folder / WEIGHTS) as part:
        save_file({name: value.detach().cpu().contiguous() for name, value in weights.items()}, part)
    modalities = {config.name: config for config in model.config.modalities}
    write_json(
        folder / SETTINGS,
        {
            "kind": KIND,
            "sensorium": __version__,
            "schema": fused.schema.to_dict(),
            "target": fused.target.to_dict(),
            "level": model.config.level,
            "fusion": dataclasses.asdict(model.config.fusion),
            "modality_dropout": model.config.dropout,
            "modalities": {
                spec.sense.name: {
                    "folder": places.get(spec.sense.name),
                    "read": spec.to_dict(),
                    "network": _network(modalities.get(spec.sense.name)),
                }
                for spec in fused.specs
            },
            "verdict": fused.verdict.to_dict(),
            "expert": None if fused.expert is None else {"name": fused.expert[0], **fused.expert[1].to_dict()},
        },
    )


def read_fused(folder: StrPath, *, device: str | torch.device = "cpu") -> Fused:
    """Read what `write_fused` wrote.

    Raises:
        InputError: a file or a folder of it is missing.
        CheckpointError: it is damaged, or its parts do not fit each other.
    """
    folder = Path(folder)
    saved = read_json(folder / SETTINGS)
    try:
        with read_errors(folder / WEIGHTS):
            weights = load_file(folder / WEIGHTS)
    except SafetensorError as error:
        raise CheckpointError(
            f"not a readable file of weights: {error}", where=str(folder / WEIGHTS), fix=_FIX
        ) from error
    try:
        return _read(folder, saved, weights, device)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, ConfigError) as error:
        told = " ".join(str(error).split())[:300]
        raise CheckpointError(
            f"the fused model is damaged: {type(error).__name__}: {told}", where=str(folder), fix=_FIX
        ) from error


def _read(folder: Path, saved: dict[str, Any], weights: dict[str, Tensor], device: str | torch.device) -> Fused:
    target, schema = TargetSpec.from_dict(saved["target"]), TableSchema.from_dict(saved["schema"])
    specs, configs, encoders = list[SenseSpec](), list[ModalityConfig](), dict[str, dict[str, Tensor]]()
    for name, one in saved["modalities"].items():
        place = None if one["folder"] is None else folder / _plain(one["folder"])
        reads_text = one["read"]["kind"] == "text"
        tokenizer = Tokenizer.from_folder(place) if place is not None and reads_text else None
        specs.append(SenseSpec.from_dict(name, one["read"], tokenizer))
        if one["network"] is not None:
            modality, found = _read_encoder(name, place, one["network"], text=reads_text)
            configs.append(modality)
            if found is not None:
                encoders[name] = found
    config = FusedConfig(
        modalities=tuple(configs),
        outputs=target.outputs,
        level=saved["level"],
        fusion=record(FusionConfig, saved["fusion"], where=str(folder / SETTINGS)),
        dropout=saved["modality_dropout"],
    )
    model = FusedModel(config)
    table = {name.removeprefix(_TABLE): value.numpy() for name, value in weights.items() if name.startswith(_TABLE)}
    own = {name: value for name, value in weights.items() if not name.startswith(_TABLE)}
    for name, found in encoders.items():
        number = model.names.index(name)
        own |= {f"encoders.{number}.model.{key}": value for key, value in found.items()}
    model.load_state_dict(own)
    expert = None
    if saved["expert"] is not None:
        expert = str(saved["expert"]["name"]), TableExpert.from_dict(saved["expert"], table)
    verdict = Verdict.from_dict(saved["verdict"])
    return Fused(model.eval().to(device), schema, target, tuple(specs), verdict, expert)


def _places(fused: Fused) -> dict[str, str]:
    """The folder of each encoder that has one: called after its kind, by number where there are several."""
    kinds = {spec.sense.name: spec.sense.kind for spec in fused.specs}
    found = dict[str, str]()
    for config in fused.model.config.modalities:
        kind = kinds[config.name]
        if kind != "numbers":
            count = sum(kinds[name] == kind for name in found) + 1
            found[config.name] = kind if count == 1 else f"{kind}-{count}"
    return found


def _write_encoder(place: Path, fused: Fused, config: ModalityConfig) -> None:
    encoder = fused.model.encoder(config.name)
    spec = next(spec for spec in fused.specs if spec.sense.name == config.name)
    if isinstance(encoder, TextEncoder):
        if spec.tokenizer is None:
            raise CheckpointError(f"the encoder of {config.name!r} has no tokenizer", fix="Train it anew")
        write_model(place, encoder.model, special=special_ids(spec.tokenizer))
        spec.tokenizer.save(place, kind="encoder", context=spec.length)
    elif isinstance(encoder, SpeechEncoder):
        write_model(place, encoder.model)
        write_json(place / PREPROCESSOR, _whole_seconds(spec.mel))
    elif isinstance(encoder, PatchEncoder | ClipEncoder):
        mel = spec.mel
        how = spec.image.to_dict() if spec.image is not None else None
        write_senses(place, encoder.model, preprocessor=how)
        if mel is not None:  # stock `transformers` has no preprocessor of a ViT's spectrograms: this is for ours
            write_json(place / PREPROCESSOR, {"mel": dataclasses.asdict(mel)})


def _whole_seconds(mel: MelSpec | None) -> dict[str, Any]:
    """Whisper's own settings, which know whole seconds only: as many as the sounds fit into."""
    spec = MelSpec() if mel is None else mel
    return replace(spec, seconds=float(math.ceil(spec.seconds or 1))).to_dict()


def _network(config: ModalityConfig | None) -> dict[str, Any] | None:
    """What an encoder's own folder does not tell of its part of the model."""
    if config is None:
        return None
    return {
        "tokens": config.tokens,
        "time": None if config.time is None else dataclasses.asdict(config.time),
        "numbers": dataclasses.asdict(config.encoder) if isinstance(config.encoder, NumbersConfig) else None,
        "length": config.length,
    }


def _read_encoder(
    name: str, place: Path | None, network: Mapping[str, Any], *, text: bool
) -> tuple[ModalityConfig, dict[str, Tensor] | None]:
    """A modality's part of the model, and its encoder's weights where those stand in a folder."""
    time = None if network["time"] is None else record(TimeConfig, network["time"], where=name)
    common = {"name": name, "tokens": network["tokens"], "length": network["length"], "time": time}
    if place is None:
        saved = network["numbers"]
        numbers = NumbersConfig(**{**saved, "categories": tuple(saved["categories"])})
        return ModalityConfig(encoder=numbers, width=numbers.dim, **common), None
    if text:
        read = read_model(place).model
        if not isinstance(read, Encoder):
            raise CheckpointError("holds no encoder of texts", where=str(place), fix=_FIX)
        return ModalityConfig(encoder=read.config, width=read.config.stack.dim, **common), read.state_dict()
    if read_config(place).get("model_type") == "whisper":
        speech = read_speech(place).model
        return ModalityConfig(encoder=speech.config, width=speech.config.encoder.dim, **common), speech.state_dict()
    tower = read_senses(place).encoder
    return ModalityConfig(encoder=tower.config, width=tower.config.tower.stack.dim, **common), tower.state_dict()


def _plain(name: object) -> str:
    """The name of a folder that lies in this one.

    Raises:
        CheckpointError: it leads elsewhere.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[a-z]+(-\d+)?", name):
        raise CheckpointError(f"{name!r} is no folder of an encoder", fix=_FIX)
    return name
