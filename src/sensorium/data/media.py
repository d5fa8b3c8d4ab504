"""The decoded cells of a column whose cells are paths of pictures, sounds or clips.

Each file is decoded once, however many rows name it, and kept small: pictures and frames as bytes, at the size that
the model reads; spectrograms in 16 bits. What cannot be read is listed, and its rows count as rows without it.

Unusual: a column of 1 GB or more, where a place for it is named, stands in a memory-mapped file whose name says of
which files it is made, in which state and how; so a run that goes on finds it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, Shaped, UInt8
from numpy.typing import NDArray
from torch import Tensor

from sensorium.errors import ConfigError, DataError, InputError, SensoriumError
from sensorium.files import atomic_file, disk_errors, read_json, refuse_impossible, text_hash, write_json
from sensorium.modalities.audio import read_audio
from sensorium.modalities.mel import MelSpec, log_mel
from sensorium.modalities.pixels import ImageSpec, image_batch
from sensorium.modalities.threads import for_each
from sensorium.modalities.video import read_video
from sensorium.progress import progress

Kind = Literal["image", "audio", "video"]
LARGE = 1_000_000_000
"""Bytes from which on a column is kept on the disk."""
_AT_ONCE = 64
"""Files that are decoded between two movements of the progress bar."""
_RAW = {"rescale": 1.0, "mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


@dataclass(frozen=True, kw_only=True)
class ClipSpec:
    """How a clip becomes frames and, where it is asked for, the spectrogram of its sound track.

    Args:
        frames: how many, evenly over its duration.
        size: edge of the middle square of each.
        sound: how its sound track is made; None leaves it out.

    Raises:
        ConfigError: a number is not above 0, or sounds would differ in length.
    """

    frames: int = 8
    size: int = 64
    sound: MelSpec | None = None

    def __post_init__(self) -> None:
        if min(self.frames, self.size) < 1:
            raise ConfigError(f"frames={self.frames} and size={self.size} must be above 0")
        if self.sound is not None:
            _check_even(self.sound)


Spec = ImageSpec | MelSpec | ClipSpec


@dataclass(frozen=True, kw_only=True, eq=False)
class MediaColumn:
    """A column of pictures, sounds or clips.

    Args:
        kind: which of them.
        files: what each row shows, as a place in `values`: equal where rows name the same file; -1 where there is none.
        values: of each file that could be read. Pictures: uint8 "files 3 height width". Sounds: float16
            "files mels frames". Clips: uint8 "files frames 3 height width".
        problems: each file that could not be read, and why.
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
            problems[path] = _said(error)
    wanted = list(dict.fromkeys(places.values()))
    decoded = _decode(wanted, kind, spec, cache, threads, show_progress)
    number = {path: index for index, path in enumerate(wanted)}
    for path, place in places.items():
        if (told := decoded.errors[number[place]]) is not None:
            problems[path] = told
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


@dataclass(frozen=True, kw_only=True, eq=False)
class _Decoded:
    """What became of some files."""

    values: NDArray[Any]
    errors: list[str | None]
    """Of each file."""
    sounds: NDArray[Any] | None = None
    heard: NDArray[np.bool_] | None = None
    """Whether a file has a sound track."""


def _decode(
    paths: Sequence[Path], kind: Kind, spec: Spec, cache: Path | None, threads: int | None, show: bool | None
) -> _Decoded:
    """Decode files into memory, or into the cache, or find them there."""
    shapes = _shapes(spec)
    size = sum(len(paths) * int(np.prod(shape)) * np.dtype(kind_of).itemsize for shape, kind_of in shapes)
    if cache is None or size < LARGE:
        arrays = [np.zeros((len(paths), *shape), dtype=kind_of) for shape, kind_of in shapes]
        return _fill(arrays, paths, kind, spec, threads, show)
    with disk_errors(cache):
        cache.mkdir(parents=True, exist_ok=True)
    key = text_hash(repr((kind, spec, [_state(path) for path in paths])))
    told, stored = cache / f"{key}.json", [cache / f"{key}-{part}.npy" for part in range(len(shapes))]
    if not (told.is_file() and all(path.is_file() for path in stored)):
        _fill_files(stored, told, shapes, paths, kind, spec, threads, show)
    found = read_json(told)
    values = [np.load(path, mmap_mode="r") for path in stored]
    heard = None if len(values) == 1 else np.array(found["heard"], dtype=bool)
    return _Decoded(
        values=values[0], errors=found["errors"], sounds=values[1] if len(values) > 1 else None, heard=heard
    )


def _fill_files(
    stored: Sequence[Path],
    told: Path,
    shapes: Sequence[tuple[tuple[int, ...], str]],
    paths: Sequence[Path],
    kind: Kind,
    spec: Spec,
    threads: int | None,
    show: bool | None,
) -> None:
    """Decode into files that are whole or absent; what tells of them is written last."""
    with ExitStack() as stack:
        arrays = [
            np.lib.format.open_memmap(
                stack.enter_context(atomic_file(path)), mode="w+", dtype=kind_of, shape=(len(paths), *shape)
            )
            for path, (shape, kind_of) in zip(stored, shapes, strict=True)
        ]
        made = _fill(arrays, paths, kind, spec, threads, show)
        for array in arrays:
            array.flush()
    write_json(told, {"errors": made.errors, "heard": None if made.heard is None else made.heard.tolist()})


def _fill(
    arrays: Sequence[NDArray[Any]],
    paths: Sequence[Path],
    kind: Kind,
    spec: Spec,
    threads: int | None,
    show: bool | None,
) -> _Decoded:
    heard = np.zeros(len(paths), dtype=bool) if len(arrays) > 1 else None
    errors: list[str | None] = [None] * len(paths)
    sound = spec.sound if isinstance(spec, ClipSpec) else None

    def one(index: int) -> None:
        try:
            if isinstance(spec, ImageSpec):
                pixels = image_batch([paths[index]], replace(spec, **_RAW), threads=1)  # type: ignore[arg-type]
                arrays[0][index] = pixels[0].to(torch.uint8).numpy()
            elif isinstance(spec, MelSpec):
                arrays[0][index] = log_mel(read_audio(paths[index], rate=spec.rate), spec)[0].numpy()
            else:
                clip = read_video(
                    paths[index], frames=spec.frames, size=spec.size, sound_rate=sound.rate if sound else None
                )
                arrays[0][index] = clip.frames.numpy()
                if heard is not None and sound is not None and clip.sound is not None and len(clip.sound):
                    arrays[1][index] = log_mel(clip.sound, sound)[0].numpy()
                    heard[index] = True
        except (InputError, DataError) as error:
            errors[index] = _said(error)

    with progress(f"reading {kind}s", len(paths), show=show) as advance:
        for part in _parts(len(paths)):
            for_each(one, part, threads=threads)
            advance(len(part), "")
    return _Decoded(values=arrays[0], errors=errors, sounds=arrays[1] if heard is not None else None, heard=heard)


def _sounds(files: NDArray[np.int64], decoded: _Decoded) -> MediaColumn | None:
    if decoded.sounds is None or decoded.heard is None:
        return None
    has = decoded.heard[files] & (files >= 0) if len(decoded.heard) else np.zeros(len(files), dtype=bool)
    return MediaColumn(kind="audio", files=np.where(has, files, -1), values=decoded.sounds)


def _shapes(spec: Spec) -> list[tuple[tuple[int, ...], str]]:
    """Shape and type of what is kept of a file."""
    if isinstance(spec, ImageSpec):
        return [((3, *spec.size), "uint8")]
    if isinstance(spec, MelSpec):
        return [((spec.mels, spec.frames(0)), "float16")]
    frames: tuple[tuple[int, ...], str] = ((spec.frames, 3, spec.size, spec.size), "uint8")
    return [frames] if spec.sound is None else [frames, *_shapes(spec.sound)]


def _parts(count: int) -> Iterator[range]:
    for start in range(0, count, _AT_ONCE):
        yield range(start, min(start + _AT_ONCE, count))


def resolved(path: str, root: Path) -> Path:
    """Where a cell leads.

    Raises:
        InputError: it is no path, or a relative one that leads out of the table's folder.
    """
    refuse_impossible(path)
    whole = Path(os.path.abspath(root / path))
    if not os.path.isabs(path) and not whole.is_relative_to(os.path.abspath(root)):
        raise InputError(
            "it leads out of the table's folder", where=path, fix="Give an absolute path, or copy it there"
        )
    return whole


def _state(path: Path) -> tuple[str, int, int]:
    """What changes when a file does."""
    try:
        status = path.stat()
    except OSError:
        return str(path), -1, -1
    return str(path), status.st_size, status.st_mtime_ns


def _check_spec(kind: Kind, spec: Spec) -> None:
    fitting: dict[Kind, type[Any]] = {"image": ImageSpec, "audio": MelSpec, "video": ClipSpec}
    if kind not in fitting or not isinstance(spec, fitting[kind]):
        raise ConfigError(f"{type(spec).__name__} does not say how to read a column of kind {kind!r}")
    if isinstance(spec, MelSpec):
        _check_even(spec)


def _check_even(spec: MelSpec) -> None:
    if spec.seconds is None:
        raise ConfigError("sounds of one column must be equal in length", fix="Give MelSpec its seconds")


def _refuse(name: str, kind: Kind, problems: dict[str, str]) -> None:
    if not problems:
        raise DataError("no row has a path", where=name, fix="Leave the column out")
    path, message = next(iter(problems.items()))
    raise DataError(
        f"none of its {len(problems)} files can be read; the first, {path!r}: {message}",
        where=name,
        fix="Paths are relative to the table's folder",
    )


def _said(error: SensoriumError) -> str:
    return error.problem


def problems_told(column: MediaColumn, name: str, *, most: int = 3) -> str | None:
    """One line about what could not be read, the first few by name; None where all could. What is no UTF-8 in a name
    is escaped."""
    if not column.problems:
        return None
    files = "file" if len(column.problems) == 1 else "files"
    rows = f", named by {column.unread:,} rows" if column.unread > len(column.problems) else ""
    named = listed(column.problems, most=most)
    told = f"column {name!r}: {len(column.problems)} {files} could not be read ({named}){rows}"
    return told.encode("utf-8", "backslashreplace").decode("utf-8")


def listed(problems: Sequence[tuple[str, str]], *, most: int = 3) -> str:
    """What is wrong and where, the first few by name. What is no UTF-8 in a name is escaped."""
    first = "; ".join(f"{place}: {message}" for place, message in problems[:most])
    told = first if len(problems) <= most else f"{first}; and {len(problems) - most} more"
    return told.encode("utf-8", "backslashreplace").decode("utf-8")
