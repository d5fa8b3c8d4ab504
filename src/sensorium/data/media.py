"""The decoded cells of a column whose cells are paths of pictures, sounds or clips.

Each file is decoded once, however many rows name it, and kept small: pictures and frames as bytes, at the size that
the model reads; spectrograms in 16 bits. What cannot be read is listed, and its rows count as rows without it.

Unusual: a column of 1 GB or more, where a place for it is named, stands in a memory-mapped file whose name says of
which files it is made, in which state and how; so a run that goes on finds it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, Shaped, UInt8
from numpy.typing import NDArray
from torch import Tensor

from sensorium.data.decoded import ClipSpec, Decoded, Kind, Spec, check_even, decode
from sensorium.errors import ConfigError, DataError, InputError, SensoriumError
from sensorium.files import refuse_impossible
from sensorium.modalities.mel import MelSpec
from sensorium.modalities.pixels import ImageSpec


@dataclass(frozen=True, kw_only=True, eq=False)
class MediaColumn:
    """A column of pictures, sounds or clips.

    Args:
        kind: which of them.
        files: what each row shows, as a place in `values`: equal where rows name the same file; -1 where there is none.
        values: of each file that could be read. Pictures: uint8 "files 3 height width". Sounds: float16
            "files mels frames". Clips: uint8 "files frames 3 height width".
        problems: each file that could not be read, and why, in the order of the rows.
        unread: rows that name one of these.
        sound: the sound tracks of clips, where they were asked for; some clips have none.
    """

    kind: Kind
    files: Int64[np.ndarray, " rows"]
    values: Shaped[np.ndarray, "files ..."]
    problems: tuple[tuple[str, str], ...] = ()
    unread: int = 0
    sound: MediaColumn | None = None

    def __len__(self) -> int:
        return len(self.files)

    @property
    def present(self) -> Bool[np.ndarray, " rows"]:
        """Whether a row has one that could be read."""
        return self.files >= 0

    def rows(self, indices: Sequence[int] | NDArray[np.int64]) -> Shaped[Tensor, "n ..."]:
        """A batch: pictures uint8 "n 3 height width", sounds float32 "n mels frames", clips uint8
        "n frames 3 height width".

        Raises:
            InputError: a row has none; `present` says which have.
        """
        wanted = np.asarray(indices, dtype=np.int64)
        places = self.files[wanted]
        if (places < 0).any():
            row = int(wanted[int(np.argmax(places < 0))])
            raise InputError(f"row {row} has no {self.kind} that can be read", fix="Ask for rows that are present")
        found = torch.from_numpy(np.ascontiguousarray(self.values[places]))
        return found.float() if found.dtype == torch.float16 else found

    def take(self, indices: Sequence[int] | NDArray[np.int64]) -> MediaColumn:
        """The column of some rows, over the same values."""
        wanted = np.asarray(indices, dtype=np.int64)
        sound = None if self.sound is None else self.sound.take(wanted)
        return replace(self, files=self.files[wanted], sound=sound)


def load_media(
    paths: Sequence[str | None],
    kind: Kind,
    spec: Spec,
    *,
    root: Path,
    cache: Path | None = None,
    name: str = "the column",
    some: bool = True,
    threads: int | None = None,
    show_progress: bool | None = None,
) -> MediaColumn:
    """Decode a column.

    Args:
        paths: a path a row, relative to `root` and within it, or absolute; None or "" where a row has none.
        kind: what the files hold.
        spec: how they are brought to one size: an `ImageSpec` (of which only size and crop are applied; see
            `normalised`), a `MelSpec` of a fixed length, a `ClipSpec`.
        root: the folder of the table.
        cache: a folder to keep a large column in; None keeps all in memory.
        name: of the column, for messages.
        some: raise if not one file can be read.
        threads: how many files are decoded at once; as many as PyTorch uses, if None.
        show_progress: None shows a bar if stderr is a terminal.

    Raises:
        ConfigError: the specification is not of this kind, or leaves sounds at different lengths.
        DataError: `some`, and no row has a file, or none of the files can be read.
        CapabilityError: the extra `audio` or `video` is not installed.
        DiskError: the cache cannot be written.
    """
    _check_spec(kind, spec)
    problems: dict[str, str] = {}
    places: dict[str, Path] = {}
    for path in dict.fromkeys(path for path in paths if path):
        try:
            places[path] = resolved(path, root)
        except SensoriumError as error:
            problems[path] = error.problem
    wanted = list(dict.fromkeys(places.values()))
    decoded = decode(wanted, kind, spec, cache, threads, show_progress)
    number = {path: index for index, path in enumerate(wanted)}
    for path, place in places.items():
        if (told := decoded.errors[number[place]]) is not None:
            problems[path] = told
    problems = {path: problems[path] for path in paths if path and path in problems}  # in the order of the rows
    rows = [number[places[path]] if path and path not in problems else -1 for path in paths]
    if some and all(row < 0 for row in rows):
        _refuse(name, kind, problems)
    files = np.array(rows, dtype=np.int64)
    return MediaColumn(
        kind=kind,
        files=files,
        values=decoded.values,
        problems=tuple(problems.items()),
        unread=sum(path in problems for path in paths if path),
        sound=None if decoded.sounds is None else _sounds(files, decoded),
    )


def normalised(
    pixels: UInt8[Tensor, "*batch 3 height width"], spec: ImageSpec
) -> Float[Tensor, "*batch 3 height width"]:
    """Pictures, or frames, as `image_batch` makes them."""
    mean, std = (torch.tensor(part, dtype=torch.float64).view(3, 1, 1) for part in (spec.mean, spec.std))
    scale, shift = (spec.rescale / std).float().to(pixels.device), (mean / std).float().to(pixels.device)
    return pixels.float().mul_(scale).sub_(shift)


def _sounds(files: NDArray[np.int64], decoded: Decoded) -> MediaColumn | None:
    if decoded.sounds is None or decoded.heard is None:
        return None
    has = decoded.heard[files] & (files >= 0) if len(decoded.heard) else np.zeros(len(files), dtype=bool)
    return MediaColumn(kind="audio", files=np.where(has, files, -1), values=decoded.sounds)


def resolved(path: str, root: Path) -> Path:
    """Where a cell leads.

    Raises:
        InputError: it is no path, or a relative one that leads out of the table's folder.
    """
    refuse_impossible(path)
    folder = os.path.abspath(root)
    whole = os.path.abspath(os.path.join(folder, path))
    if not os.path.isabs(path) and whole != folder and not whole.startswith(os.path.join(folder, "")):
        raise InputError(
            "it leads out of the table's folder", where=path, fix="Give an absolute path, or copy it there"
        )
    return Path(whole)


def _check_spec(kind: Kind, spec: Spec) -> None:
    fitting: dict[Kind, type[Any]] = {"image": ImageSpec, "audio": MelSpec, "video": ClipSpec}
    if kind not in fitting or not isinstance(spec, fitting[kind]):
        raise ConfigError(f"{type(spec).__name__} does not say how to read a column of kind {kind!r}")
    if isinstance(spec, MelSpec):
        check_even(spec)


def _refuse(name: str, kind: Kind, problems: dict[str, str]) -> None:
    if not problems:
        raise DataError("no row has a path", where=name, fix="Leave the column out")
    path, message = next(iter(problems.items()))
    raise DataError(
        f"none of its {len(problems)} files can be read; the first, {path!r}: {message}",
        where=name,
        fix="Paths are relative to the table's folder",
    )


def problems_told(column: MediaColumn, name: str, *, most: int = 3) -> str | None:
    """One line about what could not be read, the first few by name; None where all could. What is no UTF-8 in a name
    is escaped."""
    return unread_told(column.problems, column.unread, name, most=most) if column.problems else None


def unread_told(problems: Sequence[tuple[str, str]], unread: int, name: str, *, most: int = 3) -> str:
    """The same of files that could not be read, and why, and how many rows name one of them."""
    files = "file" if len(problems) == 1 else "files"
    rows = f", named by {unread:,} rows" if unread > len(problems) else ""
    told = f"column {name!r}: {len(problems)} {files} could not be read ({listed(problems, most=most)}){rows}"
    return told.encode("utf-8", "backslashreplace").decode("utf-8")


def listed(problems: Sequence[tuple[str, str]], *, most: int = 3) -> str:
    """What is wrong and where, the first few by name. What is no UTF-8 in a name is escaped."""
    first = "; ".join(f"{place}: {message}" for place, message in problems[:most])
    told = first if len(problems) <= most else f"{first}; and {len(problems) - most} more"
    return told.encode("utf-8", "backslashreplace").decode("utf-8")
