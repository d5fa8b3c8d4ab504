"""What a run needs to go on as if it had never stopped: weights, optimisers, random generators, place in the data.

A state file is written beside its name and renamed, so that it is whole or absent; its hash stands beside it, and a
file that does not match is passed over for the one before.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sensorium.errors import CheckpointError
from sensorium.files import atomic_file, disk_errors, file_hash, write_json

KEPT = 2
FORMAT = 2
"""Raised when a state of before would go on with other data than it was to see."""
_PATTERN = "state-*.pt"


@dataclass
class Progress:
    """Where a run stands."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    places: list[list[int]] = field(default_factory=list)
    """Epoch, unit and tokens so far of each corpus, as in `objectives.order.Place`; none before the first step."""
    passed: list[float] = field(default_factory=list)
    """Epochs of each corpus, with the part of the last that is done."""


def save_state(
    folder: Path, progress: Progress, model: nn.Module, optimizers: list[torch.optim.Optimizer], device: torch.device
) -> Path:
    """Write a state and drop all but the newest KEPT.

    Raises:
        DiskError: the disk is full or may not be written.
    """
    path = folder / f"state-{progress.step:09}.pt"
    state = {
        "format": FORMAT,
        "progress": vars(progress),
        "model": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "rng": torch.get_rng_state(),
        "device_rng": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }
    # Into an open file: given a name, PyTorch does not say why it cannot write.
    with disk_errors(path), atomic_file(path) as part, part.open("wb") as file:
        torch.save(state, file)
        file.flush()
    write_json(path.with_suffix(".json"), {"xxh3_128": file_hash(path)})
    for old in sorted(folder.glob(_PATTERN))[:-KEPT]:
        old.unlink()
        old.with_suffix(".json").unlink(missing_ok=True)
    return path


def newest_state(folder: Path) -> Path | None:
    """The newest state file that is whole, or None."""
    for path in sorted(folder.glob(_PATTERN), reverse=True):
        if _is_whole(path):
            return path
    return None


def _is_whole(path: Path) -> bool:
    """Whether a state is what its hash says."""
    try:
        return bool(json.loads(path.with_suffix(".json").read_text())["xxh3_128"] == file_hash(path))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def load_state(path: Path, model: nn.Module, optimizers: list[torch.optim.Optimizer], device: torch.device) -> Progress:
    """Put a run back where it was.

    Raises:
        CheckpointError: the state is damaged, of another version, or does not fit the run.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        if state.get("format", 1) != FORMAT:
            raise CheckpointError(
                f"the state has format {state.get('format', 1)}, this version goes on from format {FORMAT}",
                where=str(path),
                fix="Go on with the version that began the run, or start anew with --force",
            )
        at = Progress(**state["progress"])
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            _load_optimizer(optimizer, saved)
        torch.set_rng_state(state["rng"].cpu())
        if state["device_rng"] is not None and device.type == "cuda":
            torch.cuda.set_rng_state(state["device_rng"].cpu(), device)
    except (CheckpointError, torch.OutOfMemoryError):  # the second says nothing about the state
        raise
    except Exception as error:  # whatever PyTorch makes of a file that is no state, or of something else
        raise CheckpointError(
            f"the state is damaged, or not of this run and version: {type(error).__name__}: {error}",
            where=str(path),
            fix="Remove the file to go on from the state before it, or start anew with --force",
        ) from error
    return at


def _load_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Take over the averages, but no settings: those are the recipe's, which may have been changed."""
    settings = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(saved)
    for group, own in zip(optimizer.param_groups, settings, strict=True):
        group.update(own)
