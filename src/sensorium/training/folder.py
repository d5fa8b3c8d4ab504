"""The folder of a run: a new one is made, an earlier one is gone on with or replaced, anything else is kept.

`run/run.json` says what the run is: its recipe, its corpus, and what was changed on the way.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from sensorium.errors import InputError, SensoriumError
from sensorium.files import disk_errors, read_json, refuse_current, refuse_existing, refuse_foreign, write_json
from sensorium.training.recipe import recipe_from_dict
from sensorium.training.settings import Settings
from sensorium.training.state import newest_state

_MODEL_FILES = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "model-*-of-*.safetensors",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "sensorium.json",
    "README.md",
)
"""What an export may write, config.json first: without it nobody takes the rest for a model."""

OURS = "sensorium.json", "run/run.json"
"""One of them stands in every folder that a run made."""

_CHANGEABLE = ("optim.", "schedule.", "run.steps", "run.epochs", "run.max_minutes", "run.eval_", "run.save_every")
"""What may be another when a run goes on: how fast, how long, how often. Not what it computes."""
_FIXED = ("optim.kind",)
"""Each optimiser keeps a state of its own."""


def open_run(out: Path, recipe: Settings, fingerprint: str, *, resume: bool, force: bool) -> Path | None:
    """Make the run's folder, or find the state to go on from. `fingerprint` is of the data.

    Raises:
        InputError: `out` exists, holds another run, or is not ours to replace.
        DiskError: the disk is full or may not be written.
    """
    known = out / "run" / "run.json"
    identity: dict[str, Any] = {"recipe": recipe.to_dict(), "corpus": fingerprint}
    with disk_errors(out):
        if resume and known.is_file():
            return _go_on(known, identity)
        if force:
            _clear(out)
        elif not resume or not _only_run(out):
            refuse_existing_run(out)
        known.parent.mkdir(parents=True, exist_ok=True)
        for old in (*known.parent.glob("state-*"), known.parent / "metrics.jsonl"):
            old.unlink(missing_ok=True)
        _sweep(known.parent)
    write_json(known, identity)
    return None


def refuse_existing_run(out: Path) -> None:
    """Raise if a new run would overwrite something.

    Raises:
        InputError: `out` is a file, or a folder that is not empty.
    """
    try:
        refuse_existing(out)
    except InputError as error:
        raise InputError(
            "already exists",
            where=str(out),
            fix="Go on with it by --resume, replace it by --force, or choose another --out",
        ) from error


def _only_run(out: Path) -> bool:
    """Nothing but what an interrupted start left."""
    return not out.exists() or {path.name for path in out.iterdir()} <= {"run"}


def _clear(out: Path) -> None:
    """Remove what an earlier run left, and nothing else."""
    if not out.is_dir() or not any(out.iterdir()):
        return
    refuse_foreign(out, ours=OURS)
    refuse_current(out)
    for pattern in _MODEL_FILES:
        for path in out.glob(pattern):
            path.unlink()
    run = out / "run"
    if run.is_symlink():
        run.unlink()
    elif run.is_dir():
        shutil.rmtree(run)


def _go_on(known: Path, identity: dict[str, Any]) -> Path | None:
    """The state to resume from; what is changed from there on is noted in run.json."""
    before = read_json(known)
    changes = _changes(before, identity, known)
    _sweep(known.parent)
    state = newest_state(known.parent)
    if changes:
        noted = [*(before.get("changes") or ()), {"after": state.name if state else None, **changes}]
        write_json(known, {**identity, "changes": noted})
    return state


def _sweep(run: Path) -> None:
    """Remove what a killed process was in the middle of writing."""
    for half in run.glob(".*.part"):
        half.unlink()
    shutil.rmtree(run / "export.part", ignore_errors=True)


def _changes(before: dict[str, Any], identity: dict[str, Any], known: Path) -> dict[str, list[Any]]:
    """Key → old and new value.

    Raises:
        InputError: it would no longer be the same run.
    """
    if before.get("corpus") != identity["corpus"]:
        raise InputError("the run was started on another corpus", where=str(known), fix="Give that corpus, or --force")
    old, new = _flat(_today(before.get("recipe") or {})), _flat(identity["recipe"])
    changed = {
        key: [old.get(key), new.get(key)] for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)
    }
    for key, (was, now) in changed.items():
        if not key.startswith(_CHANGEABLE) or key in _FIXED:
            raise InputError(
                f"the run was started with {key}={was!r}, not {now!r}",
                where=str(known),
                fix=f"Add --set {key}={was}, or start anew with --force",
            )
    return changed


def _today(recipe: dict[str, Any]) -> dict[str, Any]:
    """An earlier recipe with the settings that have been added since, at their defaults."""
    try:
        return recipe_from_dict(recipe).to_dict()
    except SensoriumError:  # it differs, and is shown as it stands
        return recipe


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
