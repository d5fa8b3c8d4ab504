"""Files of pictures, sounds or clips to one array, side by side in threads; on the disk where that is large.

Unusual: many small steps in threads of Python wait for each other longer than they take, so that sounds are read one
by one and transformed together, and small files are read in one thread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sensorium.errors import ConfigError, DataError, InputError, SensoriumError
from sensorium.files import atomic_file, disk_errors, read_json, text_hash, write_json
from sensorium.modalities.audio import read_audio
from sensorium.modalities.mel import MelSpec, log_mel
from sensorium.modalities.pixels import ImageSpec, small_pictures
from sensorium.modalities.threads import for_each
from sensorium.modalities.video import read_video
from sensorium.progress import progress

Kind = Literal["image", "audio", "video"]
LARGE = 1_000_000_000
"""Bytes from which on a column is kept on the disk."""
SMALL = 65_536
"""Bytes of a file, on average, below which one thread is faster than several."""
_AT_ONCE = 64
"""Files that are decoded between two movements of the progress bar."""


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
            check_even(self.sound)


Spec = ImageSpec | MelSpec | ClipSpec


@dataclass(frozen=True, kw_only=True, eq=False)
class Decoded:
    """What became of some files."""

    values: NDArray[Any]
    errors: list[str | None]
    """Of each file."""
    sounds: NDArray[Any] | None = None
    heard: NDArray[np.bool_] | None = None
    """Whether a file has a sound track."""


def decode(
    paths: Sequence[Path], kind: Kind, spec: Spec, cache: Path | None, threads: int | None, show: bool | None
) -> Decoded:
    """Decode files into memory, or into the cache, or find them there."""
    shapes = _shapes(spec)
    size = sum(len(paths) * math.prod(shape) * np.dtype(kind_of).itemsize for shape, kind_of in shapes)
    if kind != "video":
        threads = _enough(paths, threads)
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
    return Decoded(values=values[0], errors=found["errors"], sounds=values[1] if len(values) > 1 else None, heard=heard)


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
) -> Decoded:
    made = Decoded(
        values=arrays[0],
        errors=[None] * len(paths),
        sounds=arrays[1] if len(arrays) > 1 else None,
        heard=np.zeros(len(paths), dtype=bool) if len(arrays) > 1 else None,
    )
    with progress(f"reading {kind}s", len(paths), show=show) as advance:
        for start in range(0, len(paths), _AT_ONCE):
            part = range(start, min(start + _AT_ONCE, len(paths)))
            if isinstance(spec, ImageSpec):
                _fill_pictures(made, paths, part, spec, threads)
            elif isinstance(spec, MelSpec):
                _fill_sounds(made, paths, part, spec, threads)
            else:
                _fill_clips(made, paths, part, spec, threads)
            advance(len(part), "")
    return made


def _fill_pictures(made: Decoded, paths: Sequence[Path], part: range, spec: ImageSpec, threads: int | None) -> None:
    def failed(place: int, error: SensoriumError) -> None:
        made.errors[part[place]] = error.problem

    pixels = small_pictures([paths[index] for index in part], spec, threads=threads, failed=failed)
    made.values[part.start : part.stop] = pixels.numpy()


def _fill_sounds(made: Decoded, paths: Sequence[Path], part: range, spec: MelSpec, threads: int | None) -> None:
    """Sounds are read side by side, and transformed together: many small steps in threads of Python would wait for
    each other."""
    longest = int((spec.seconds or 0) * spec.rate)

    def one(index: int) -> Tensor | None:
        try:
            sound = read_audio(paths[index], rate=spec.rate)
        except (InputError, DataError) as error:
            made.errors[index] = error.problem
            return None
        return sound[:longest].clone() if len(sound) > longest else sound  # the rest need not stay in memory

    read = for_each(one, part, threads=threads)
    if good := [(index, sound) for index, sound in zip(part, read, strict=True) if sound is not None]:
        made.values[[index for index, _ in good]] = log_mel([sound for _, sound in good], spec).numpy()


def _fill_clips(made: Decoded, paths: Sequence[Path], part: range, spec: ClipSpec, threads: int | None) -> None:
    rate = spec.sound.rate if spec.sound else None

    def one(index: int) -> None:
        try:
            clip = read_video(paths[index], frames=spec.frames, size=spec.size, sound_rate=rate)
            made.values[index] = clip.frames.numpy()
            if made.sounds is None or made.heard is None or spec.sound is None:
                return
            if clip.sound is not None and len(clip.sound):
                made.sounds[index] = log_mel(clip.sound, spec.sound)[0].numpy()
                made.heard[index] = True
        except (InputError, DataError) as error:
            made.errors[index] = error.problem

    for_each(one, part, threads=threads)


def values_of(spec: Spec) -> int:
    """How many numbers are kept of a file."""
    return sum(math.prod(shape) for shape, _ in _shapes(spec))


def _shapes(spec: Spec) -> list[tuple[tuple[int, ...], str]]:
    """Shape and type of what is kept of a file."""
    if isinstance(spec, ImageSpec):
        return [((3, *spec.size), "uint8")]
    if isinstance(spec, MelSpec):
        return [((spec.mels, spec.frames(0)), "float16")]
    frames: tuple[tuple[int, ...], str] = ((spec.frames, 3, spec.size, spec.size), "uint8")
    return [frames] if spec.sound is None else [frames, *_shapes(spec.sound)]


def _enough(paths: Sequence[Path], threads: int | None) -> int | None:
    """How many threads read some files, where nobody says."""
    if threads is not None:
        return threads
    sizes = [_state(path)[1] for path in paths]
    return 1 if sum(sizes) < SMALL * len(sizes) else None


def _state(path: Path) -> tuple[str, int, int]:
    """What changes when a file does."""
    try:
        status = path.stat()
    except OSError:
        return str(path), -1, -1
    return str(path), status.st_size, status.st_mtime_ns


def check_even(spec: MelSpec) -> None:
    """Raise where sounds would differ in length.

    Raises:
        ConfigError: they would.
    """
    if spec.seconds is None:
        raise ConfigError("sounds of one column must be equal in length", fix="Give MelSpec its seconds")
