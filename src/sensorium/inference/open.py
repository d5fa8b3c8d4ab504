"""From what a user names to an engine that runs: folders, .gguf files, the bundled models, the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import torch

from sensorium.bundled import DEFAULTS, default_folder
from sensorium.errors import CapabilityError, InputError, SensoriumError, closest, require, unknown
from sensorium.families import SEEING, SENSES, SPEECH, TWO_STACKS
from sensorium.families.aligned import is_aligned
from sensorium.families.checkpoint import architecture_of, family_among, family_of, read_config
from sensorium.files import StrPath, read_errors
from sensorium.inference.engine import Engine
from sensorium.inference.native import NativeEngine
from sensorium.inference.native_eyes import NativeEyesEngine
from sensorium.inference.native_seq2seq import NativeSeq2SeqEngine
from sensorium.inference.native_speech import NativeSpeechEngine

EngineName = Literal["native", "transformers"]
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_SUFFIXES = (".json", ".safetensors", ".txt", ".model", ".spm", ".jinja")
"""Of a model folder's files."""
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def locate(source: StrPath) -> list[Path]:
    """The folders or files of a model.

    A name like `runs/bert` could be a hub id too; it is not asked for where there is a folder `runs`.

    Raises:
        InputError: there is nothing at `source`, or it may not be looked at.
        CheckpointError: the bundled model is not part of this installation.
    """
    with read_errors(source):
        return _locate(source)


def _locate(source: StrPath) -> list[Path]:
    name = str(source)
    if name in DEFAULTS:
        return [default_folder(part) for part in DEFAULTS[name]]
    path = Path(source).expanduser()
    if path.is_dir() or (path.is_file() and path.suffix == ".gguf"):
        return [path]
    if path.is_file():
        raise InputError("is a file but no .gguf file", where=name, fix="Name the folder that holds config.json")
    if _HUB_ID.fullmatch(name) and path.suffix != ".gguf" and not path.parent.is_dir():
        return [_from_hub(name)]
    guess = closest(name, DEFAULTS)
    raise InputError(
        "no such model: there is no folder and no .gguf file of this name, and it is neither a hub id (org/name) "
        f"nor one of {', '.join(DEFAULTS)}",
        where=name,
        fix=f"Did you mean {guess!r}?" if guess else "Check the path",
    )


def open_engine(
    path: Path,
    *,
    engine: EngineName | None = None,
    dtype: str | torch.dtype | None = None,
    device: str = "auto",
    trust_remote_code: bool = False,
) -> Engine:
    """Open a folder or a .gguf file with an engine; by default the native one wherever it can.

    Raises:
        InputError: there is no model, a file of it may not be read, or an argument is not known.
        CheckpointError: it is corrupt or incomplete.
        CapabilityError: the engine cannot run it, or is not installed.
    """
    kind = dtype_of(dtype)
    place = _device(device)
    with read_errors(path):
        _try_to_read(path)
        return _open(path, engine, kind, place, trust_remote_code)


def _open(path: Path, engine: EngineName | None, kind: torch.dtype, place: str, trust_remote_code: bool) -> Engine:
    if path.suffix == ".gguf" and path.is_file():
        if engine == "transformers":
            raise InputError("the transformers engine opens folders", where=str(path), fix="Use engine='native'")
        return NativeEngine.open(path, dtype=kind, device=place)
    _refuse_fused(path)
    config = read_config(path)
    if family_among(SENSES, config) is not None:
        raise CapabilityError(
            f"a {architecture_of(config) or config.get('model_type')} sees or hears, and has no words to say",
            where=str(path),
            fix="Search with it by `sensorium search`, or start `sensorium fuse`, `align` or `give-eyes` from it",
        )
    if engine != "transformers" and family_among(SEEING, config) is not None:
        return NativeEyesEngine.open(path, dtype=kind, device=place)
    family = family_of(config) if engine != "transformers" else None
    if engine is None:
        engine = "native" if family is not None else "transformers"
    if engine == "native" and family in SPEECH:
        return NativeSpeechEngine.open(path, dtype=kind, device=place)
    if engine == "native":
        opener = NativeSeq2SeqEngine if family in TWO_STACKS else NativeEngine
        return opener.open(path, dtype=kind, device=place)
    from sensorium.inference.transformers_engine import TransformersEngine

    return TransformersEngine.open(path, dtype=kind, device=place, trust_remote_code=trust_remote_code)


def _refuse_fused(path: Path) -> None:
    """A folder of folders is no model of text.

    Raises:
        CapabilityError: it is one.
    """
    if (path / "fusion.json").is_file():
        aligned = is_aligned(path)
        raise CapabilityError(
            "holds senses that were aligned, and no model of text"
            if aligned
            else "holds a fused model, which tells labels of rows and no text",
            where=str(path),
            fix="Use `sensorium search`" if aligned else "Use `sensorium predict`",
        )


def _try_to_read(path: Path) -> None:
    """Open every file of a model once: the libraries that read them take a refused read for a damaged file."""
    for file in path.glob("*") if path.is_dir() else [path]:
        if file.suffix in (*_SUFFIXES, ".gguf") and file.is_file():
            with file.open("rb"):
                pass


def dtype_of(dtype: str | torch.dtype | None) -> torch.dtype:
    """The type of a name, float32 by default.

    Raises:
        InputError: the name is not known.
    """
    if dtype is None or isinstance(dtype, torch.dtype):
        return dtype or torch.float32
    if dtype not in _DTYPES:
        raise InputError(unknown("dtype", dtype, _DTYPES))
    return _DTYPES[dtype]


def _device(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: PyTorch was built without CUDA
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"device {device!r} cannot be used: {reason}", fix="Use device='cpu'") from error
    return device


def _from_hub(name: str) -> Path:
    """A hub model's folder in the local cache, downloaded if it is not there yet."""
    try:
        hub = require("huggingface_hub", extra="transformers", purpose=f"opening {name!r} from the Hugging Face hub")
    except CapabilityError as error:
        raise InputError(f"there is no folder of this name. {error.problem}", where=name, fix=error.fix) from error
    try:
        return Path(hub.snapshot_download(name, allow_patterns=[f"*{suffix}" for suffix in _SUFFIXES]))
    except SensoriumError:
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"there is no folder of this name, and the Hugging Face hub did not give the model either ({reason})",
            where=name,
            fix="Check the name and the network, or copy the model's folder here and load that",
        ) from error
