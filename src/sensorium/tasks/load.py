"""`load`: from a name or a folder to the handle that fits what is there.

A language model is a `LanguageModel`; towers that share one space are an `AlignedModel`; what was trained on a table is
a `FusedHandle`. The folder says which: its `fusion.json`, or its `config.json`.

Unusual: for a type checker, a bundled model's name gives its own handle, and any other source gives `Any`: only the
folder knows, and a union would have to be narrowed at each use.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, overload

import torch

from sensorium.bundled import ALIGNED
from sensorium.errors import InputError
from sensorium.families.aligned import is_aligned
from sensorium.files import StrPath
from sensorium.inference.open import EngineName, locate
from sensorium.tasks.aligned import AlignedModel, open_aligned
from sensorium.tasks.fused import FusedHandle, open_fused
from sensorium.tasks.model import LanguageModel
from sensorium.tasks.model import load as load_language
from sensorium.training.fuse_folder import is_fused

_Texts = Literal["default", "default:encoder", "default:decoder", "default:translate", "default:answer"]


@overload
def load(
    source: _Texts,
    *,
    verify: bool = ...,
    device: str = ...,
    dtype: str | torch.dtype | None = ...,
    engine: EngineName | None = ...,
    trust_remote_code: bool = ...,
) -> LanguageModel: ...
@overload
def load(source: Literal["default:align"], *, device: str = ...) -> AlignedModel: ...
@overload
def load(
    source: StrPath,
    *,
    verify: bool = ...,
    device: str = ...,
    dtype: str | torch.dtype | None = ...,
    engine: EngineName | None = ...,
    trust_remote_code: bool = ...,
) -> Any: ...
def load(
    source: StrPath,
    *,
    verify: bool = False,
    device: str = "auto",
    dtype: str | torch.dtype | None = None,
    engine: EngineName | None = None,
    trust_remote_code: bool = False,
) -> LanguageModel | AlignedModel | FusedHandle:
    """Open a model.

    Args:
        source: a Hugging Face folder, a folder that `align` or `fuse` made, a .gguf file, "default" (the bundled models
            for text; also "default:encoder", "default:decoder", "default:translate", "default:answer", and
            "default:align" for pictures and texts), or a hub id "org/name" where huggingface_hub is installed.
        verify: hold a language model to the fixtures that were saved with it, which are of float32.
        device: "cpu", "cuda", ...; "auto" takes a GPU if there is one.
        dtype: of a language model: "float32" (the default), "bfloat16" or "float16".
        engine: of a language model: "native" or "transformers"; by default native for every family that the core
            knows.
        trust_remote_code: let the transformers engine run Python code that the model brings.

    Raises:
        InputError: there is no such model, or an option is of no use to it.
        CheckpointError: it is corrupt, or `verify` found that it does not compute what it did.
        CapabilityError: what it needs is not installed.
    """
    place = _folder(source) if engine != "transformers" else None
    aligned, fused = place is not None and is_aligned(place), place is not None and is_fused(place)
    if (aligned or fused) and (verify or dtype is not None or trust_remote_code):
        raise InputError(
            "verify, dtype and trust_remote_code are for language models", where=str(source), fix="Leave them out"
        )
    if aligned:
        return open_aligned(source, device=device)
    if place is not None and fused:
        return open_fused(place, device=device)
    return load_language(
        source, verify=verify, device=device, dtype=dtype, engine=engine, trust_remote_code=trust_remote_code
    )


def _folder(source: StrPath) -> Path | None:
    """The folder that may hold something else than a language model."""
    if str(source) in ALIGNED:
        return locate(source)[0]
    path = Path(source).expanduser()
    return path if path.is_dir() else None
