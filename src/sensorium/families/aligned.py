"""Folders of towers that share one space.

What a CLIP, a SigLIP or a VisionTextDualEncoder can hold is written as that, so that stock `transformers` opens it
whole. Anything else (three senses; sounds; clips) is a folder of folders: a stock one for each tower, usable alone,
with `fusion.json`, which names them, and `fusion.safetensors`, which holds the projections, the temperature, and of
clips the stack that reads the frames' vectors.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sensorium.core.config import ModelConfig, NormConfig, StackConfig
from sensorium.core.model import Encoder
from sensorium.core.sense_encoder import SenseEncoder, SenseModelConfig
from sensorium.core.senses import SenseConfig, VectorEmbedConfig
from sensorium.core.tower import Aligned, AlignedConfig, PoolConfig, Tower, TowerConfig
from sensorium.errors import CapabilityError, CheckpointError
from sensorium.families import SENSES
from sensorium.families.checkpoint import family_among, read_config, read_model, write_model
from sensorium.families.hf_config import HFConfig
from sensorium.families.senses import read_preprocessor, read_senses, sense_family_for, write_senses
from sensorium.families.towers import blocks
from sensorium.files import StrPath, disk_errors, read_json, write_json

FUSION, FUSION_WEIGHTS = "fusion.json", "fusion.safetensors"
KIND = "aligned"
"""What `fusion.json` says of such a folder."""
_EPS = 1e-6
_ANEW = "Copy the folder anew"


def is_stock(config: AlignedConfig) -> bool:
    """Whether one stock folder holds the whole model."""
    try:
        sense_family_for(config)
    except CheckpointError:
        return False
    return True


def is_aligned(folder: StrPath) -> bool:
    """Whether a folder holds towers of one space, of either form.

    Raises:
        CheckpointError: one of its JSON files is corrupt.
    """
    folder = Path(folder)
    if (folder / FUSION).is_file():
        return read_json(folder / FUSION).get("kind") == KIND
    if not (folder / "config.json").is_file():
        return False
    config = read_json(folder / "config.json")
    return config.get("architectures") in (["CLIPModel"], ["SiglipModel"], ["VisionTextDualEncoderModel"])


def write_aligned(
    folder: StrPath,
    model: Aligned,
    *,
    special: dict[str, int | None] | None = None,
    specs: dict[str, HFConfig] | None = None,
    preprocessor: HFConfig | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write towers of one space into a folder that exists.

    Args:
        folder: where.
        model: what.
        special: ids of the texts' special tokens by role ("pad", "bos", "eos").
        specs: of a folder of folders: how each sense is brought to one size, handed on as it is.
        preprocessor: of pictures, in the words of stock `transformers`.
        dtype: type of the stored weights.

    Raises:
        CheckpointError: no format holds one of the towers.
        DiskError: the disk is full or may not be written.
    """
    folder = Path(folder)
    if is_stock(model.config):
        write_senses(folder, model, special=special, preprocessor=preprocessor, dtype=dtype)
        return
    state = {name: p.detach().to(device="cpu", dtype=dtype).contiguous() for name, p in model.named_parameters()}
    kept = {name: tensor for name, tensor in state.items() if not _in_tower(name)}
    told: dict[str, Any] = {"kind": KIND, "width": model.config.towers[0][1].width, "scale": model.config.scale}
    told |= {"bias": model.config.bias, "specs": specs or {}, "towers": {}}
    for name, tower in model.config.towers:
        (folder / name).mkdir(exist_ok=True)
        own = {key.removeprefix(f"towers.{name}."): value for key, value in state.items() if _in_tower(key, name)}
        _write_tower(folder / name, tower, own, special, preprocessor if name == "image" else None, dtype)
        told["towers"][name] = {
            "folder": name,
            "projection_bias": tower.projection_bias,
            "time": None if tower.time is None else _time_keys(tower.time),
        }
    with disk_errors(folder):
        save_file(kept, folder / FUSION_WEIGHTS, metadata={"format": "pt"})
    write_json(folder / FUSION, told)


def read_aligned(folder: StrPath, *, device: str = "cpu") -> tuple[Aligned, HFConfig, HFConfig | None]:
    """The model, what `fusion.json` says of its senses ({} for a stock folder), and the preprocessor of pictures.

    Raises:
        InputError: there is no model in it.
        CheckpointError: files are missing or corrupt, or do not fit each other.
        CapabilityError: the core does not know a feature of it.
    """
    folder = Path(folder)
    if not (folder / FUSION).is_file():
        loaded = read_senses(folder, device=device)
        return loaded.aligned, {}, loaded.preprocessor
    told = read_json(folder / FUSION)
    try:
        towers, state, preprocessor = dict[str, TowerConfig](), dict[str, Tensor](), None
        for name, part in told["towers"].items():
            place = folder / _inside(part["folder"])
            config, own = _read_tower(place)
            time = None if part["time"] is None else time_stack(**part["time"])
            towers[name] = replace(
                config, projection=told["width"], projection_bias=bool(part["projection_bias"]), time=time
            )
            state |= {f"towers.{name}.{key}": value for key, value in own.items()}
            preprocessor = read_preprocessor(place) if name == "image" else preprocessor
        model = Aligned(AlignedConfig(towers=tuple(towers.items()), scale=float(told["scale"]), bias=told["bias"]))
        kept = load_file(folder / FUSION_WEIGHTS)
        model.load_state_dict(state | {name: value.float() for name, value in kept.items()})
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError, OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{FUSION}, {FUSION_WEIGHTS} and the towers do not fit each other: {error}", where=str(folder), fix=_ANEW
        ) from error
    specs = told.get("specs")
    return model.to(device).eval(), specs if isinstance(specs, dict) else {}, preprocessor


def read_tower(folder: StrPath, sense: str) -> Tower:
    """One tower, to start from: of a folder of one tower, or the tower of this sense in a folder of several.

    Raises:
        InputError: there is no model in it.
        CheckpointError: files are missing or corrupt, or do not fit each other.
        CapabilityError: it holds no tower of this sense.
    """
    folder = Path(folder)
    if is_aligned(folder):
        towers = dict(read_aligned(folder)[0].towers.named_children())
        if sense not in towers:
            raise CapabilityError(f"it has no tower of {sense}s", where=str(folder), fix=f"It has {', '.join(towers)}")
        tower = towers[sense]
        if isinstance(tower, Tower):
            return tower
    config, state = _read_tower(folder)
    if (sense == "text") != isinstance(config.stack, StackConfig):
        raise CapabilityError(f"it holds no tower of {sense}s", where=str(folder), fix="Name another folder")
    tower = Tower(config)
    tower.load_state_dict(state)
    return tower


def time_stack(*, dim: int, frames: int, layers: int, heads: int, feedforward: int) -> SenseConfig:
    """What reads the vectors of a clip's frames (the factorised encoder of ViViT, Arnab et al. 2021)."""
    return SenseConfig(
        dim=dim,
        embed=VectorEmbedConfig(width=dim, tokens=frames, cls=False),
        blocks=blocks(
            dim=dim, layers=layers, heads=heads, feedforward=feedforward, activation_name="gelu", eps=_EPS
        ),
        causal=False,
        final_norm=NormConfig(kind="layernorm", eps=_EPS),
    )  # fmt: skip


def _time_keys(time: SenseConfig) -> dict[str, int]:
    block = time.blocks[0]
    keys = {
        "dim": time.dim,
        "frames": time.embed.tokens,
        "layers": len(time.blocks),
        "heads": block.attention.n_heads,
        "feedforward": block.feedforward.width,
    }
    if time_stack(**keys) != time:
        raise CheckpointError(
            "the stack that reads the frames' vectors is not one that is written", fix="Use time_stack"
        )
    return keys


def _in_tower(name: str, tower: str | None = None) -> bool:
    """Whether a parameter is written with a tower: all but its projection and its stack over time."""
    parts = name.split(".")
    inside = parts[0] == "towers" and parts[2] not in ("projection", "time")
    return inside and tower in (None, parts[1])


def _alone(tower: TowerConfig) -> TowerConfig:
    return replace(tower, projection=None, projection_bias=False, time=None)


def _write_tower(
    folder: Path,
    tower: TowerConfig,
    state: dict[str, Tensor],
    special: dict[str, int | None] | None,
    preprocessor: HFConfig | None,
    dtype: torch.dtype,
) -> None:
    if isinstance(tower.stack, StackConfig) and tower.pool.kind == "first":
        encoder = Encoder(ModelConfig(stack=tower.stack, pooler=tower.pool.pooler))
        encoder.load_state_dict(state)
        write_model(folder, encoder, special=special, dtype=dtype)
        return
    alone = SenseEncoder(SenseModelConfig(tower=_alone(tower)))
    alone.tower.load_state_dict(state)
    write_senses(folder, alone, special=special, preprocessor=preprocessor, dtype=dtype)


def _read_tower(folder: Path) -> tuple[TowerConfig, dict[str, Tensor]]:
    """A tower without a projection, of a stock folder."""
    if family_among(SENSES, read_config(folder)) is not None:
        tower = read_senses(folder).encoder.tower
        state = {name: p.detach() for name, p in tower.named_parameters() if not name.startswith("projection.")}
        return _alone(tower.config), state
    model = read_model(folder).model
    if not isinstance(model, Encoder) or model.config.stack.causal:
        raise CapabilityError("a decoder is no tower of texts", where=str(folder), fix="Name the folder of an encoder")
    config = TowerConfig(
        stack=model.config.stack, pool=PoolConfig(kind="first", pooler=model.config.pooler), projection=None
    )
    parts = ("stack.", "pooler.")
    return config, {name: p.detach() for name, p in model.named_parameters() if name.startswith(parts)}


def _inside(name: object) -> str:
    if not isinstance(name, str) or Path(name).name != name or name == "..":
        raise CheckpointError(f"it names a folder outside of it: {name!r}", fix="Do not trust this folder")
    return name
