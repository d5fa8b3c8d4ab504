"""Search in a folder of pictures, sounds and clips: vectors of its files, kept beside them, and the nearest to a query.

Unusual: the index is one file in the folder itself, named by the model that made it. What is new or was changed since
(by size and time) is read again, what is gone is dropped, and what could not be read is not tried again until it
changes. A file whose name says that the model reads it counts as one that cannot be read where it holds something else.
Nothing is overwritten but an index.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from sensorium.data.sense_table import Kind, held_by, kind_by_name
from sensorium.errors import DataError, InputError
from sensorium.files import DiskError, StrPath, atomic_file, read_errors, refuse_impossible
from sensorium.progress import progress

Vectors = Float32[np.ndarray, "n width"]
Embed = Callable[[Kind, Path], Float32[np.ndarray, " width"]]
"""The vector of a file, of a kind that is named first."""
_VERSION = 2
_HEAD = b'{"__metadata__":{"sensorium":"{'
"""What an index begins with, behind the 8 bytes of its header's size; a damaged one, too."""


@dataclass(frozen=True, slots=True)
class Hit:
    """What was found."""

    path: str
    """Relative to the folder that was searched."""
    score: float
    """Cosine of its vector and the query's: 1 is the same direction."""


class _State(NamedTuple):
    size: int
    modified: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Index:
    """The vectors of a folder's files."""

    folder: Path
    paths: tuple[str, ...]
    vectors: Vectors
    problems: tuple[tuple[str, str], ...] = ()
    """Files that could not be read, and why."""
    read: int = 0
    """How many files were read anew for it."""
    kept: bool = True
    """Whether it could be kept in a file."""

    def __len__(self) -> int:
        return len(self.paths)

    def nearest(self, query: Float32[np.ndarray, " width"], top_k: int = 10) -> list[Hit]:
        """The files whose vectors lie nearest, the nearest first.

        Raises:
            InputError: `top_k` is not above 0, or the query is of another model.
        """
        refuse_none(top_k)
        if query.shape != self.vectors.shape[1:]:
            raise InputError(
                f"the query has {query.shape[0]} numbers, the index {self.vectors.shape[1]}",
                fix="Use one model for both",
            )
        scores = self.vectors @ query
        order = np.argsort(-scores, kind="stable")[:top_k]
        return [Hit(self.paths[place], float(scores[place])) for place in order.tolist()]


def refuse_none(top_k: int) -> None:
    """Raise if nothing is to be found.

    Raises:
        InputError: `top_k` is not above 0.
    """
    if top_k < 1:
        raise InputError(f"top_k is {top_k}", fix="Give 1 or more")


def index_folder(
    folder: StrPath,
    embed: Embed,
    *,
    kinds: Sequence[Kind],
    identity: str,
    file: StrPath | None = None,
    show_progress: bool | None = None,
) -> Index:
    """The vectors of a folder's files, read anew only where they changed.

    Args:
        folder: searched with all that is in it, but for what is hidden.
        embed: makes a file's vector.
        kinds: of the files that the model reads: "image", "audio", "video".
        identity: of the model.
        file: where the index is kept; by default in the folder. Where that cannot be written, it is not kept.
        show_progress: None shows a bar if stderr is a terminal.

    Raises:
        InputError: there is no such folder, or something else than an index stands at `file`.
        DataError: there is no file in it that the model reads.
        CapabilityError: the extra `audio` or `video` is not installed.
    """
    root = Path(folder)
    with read_errors(root):
        if not root.is_dir():
            raise InputError("no such folder", where=str(root), fix="Name a folder of pictures, sounds or clips")
        states = _files(root)
    place = root / f".sensorium-index-{identity[:12]}.safetensors" if file is None else Path(file)
    _refuse_other(place)
    known, told = _read(place, identity)
    vectors, problems = dict[str, Any](), dict[str, str]()
    todo = []
    for path, state in states.items():
        if told.get(path, {}).get("state") != list(state):
            todo.append(path)
        elif path in known:
            vectors[path] = known[path]
        elif "problem" in told[path]:
            problems[path] = told[path]["problem"]
    others = {path for path, entry in told.items() if path not in todo and "other" in entry}
    with progress("reading the folder", len(todo), show=show_progress) as advance:
        for path in todo:
            kind = next((kind for kind in (held_by(root / path), kind_by_name(path)) if kind in kinds), None)
            if kind is None:
                others.add(path)
            else:
                try:
                    vectors[path] = embed(kind, root / path)
                except (InputError, DataError) as error:
                    problems[path] = error.problem
            advance(1, "")
    if not vectors:
        first = next(iter(problems.items()), None)
        why = f"; the first of {len(problems)} that cannot be read, {first[0]}: {first[1]}" if first else ""
        raise DataError(
            f"there is no file in it that the model reads ({', '.join(kinds)}){why}",
            where=str(root),
            fix="Name another",
        )
    paths = tuple(sorted(vectors))
    table = np.stack([vectors[path] for path in paths]).astype(np.float32)
    kept = True
    if todo or states.keys() != told.keys():
        entries = {path: {"state": list(state)} for path, state in states.items()}
        for path, problem in problems.items():
            entries[path]["problem"] = problem  # type: ignore[assignment]
        for path in others & states.keys():
            entries[path]["other"] = True  # type: ignore[assignment]
        kept = _write(place, paths, table, entries, identity)
    return Index(folder=root, paths=paths, vectors=table, problems=tuple(problems.items()), read=len(todo), kept=kept)


def _files(root: Path) -> dict[str, _State]:
    """All files that are not hidden, with what changes when they do."""
    found: dict[str, _State] = {}
    for place, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place) / name
            with suppress(OSError):
                if not name.startswith(".") and path.is_file():
                    status = path.stat()
                    found[path.relative_to(root).as_posix()] = _State(status.st_size, status.st_mtime_ns)
    return found


def _refuse_other(place: Path) -> None:
    """Raise if an index would take the place of something else.

    Raises:
        InputError: it would, or what stands there may not be read.
    """
    refuse_impossible(place)
    if not os.path.lexists(place):
        return
    head = b""
    if place.is_file():
        with read_errors(place), place.open("rb") as file:
            head = file.read(8 + len(_HEAD))[8:]
    if head != _HEAD:
        raise InputError(
            "is no index that a search made, and is not overwritten", where=str(place), fix="Name another --index-file"
        )


def _read(place: Path, identity: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The vectors and what else an index tells of files; nothing of one that is absent, damaged or of another model."""
    try:
        with safe_open(place, framework="np") as file:
            told = json.loads(file.metadata()["sensorium"])
            if told["version"] != _VERSION or told["model"] != identity:
                return {}, {}
            return dict(zip(told["paths"], file.get_tensor("vectors"), strict=True)), dict(told["files"])
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return {}, {}


def _write(place: Path, paths: Sequence[str], vectors: Vectors, files: Mapping[str, Any], identity: str) -> bool:
    """Whether the index could be kept."""
    told = {"version": _VERSION, "model": identity, "paths": list(paths), "files": dict(files)}
    try:
        with atomic_file(place) as part:
            save_file({"vectors": vectors}, part, metadata={"sensorium": json.dumps(told)})
    except (DiskError, InputError):
        return False
    return True
