"""The folder that a run works in, beside what it makes: `.corpus.partial` for `corpus`.

It keeps what is finished, each file of it whole or absent, so that the same command goes on where one that was killed
stopped. It says whose it is: the settings, the stages and the inputs that it was begun with. What it holds of documents
is cleared away as soon as the next step has it, so that at most two copies of the text are on the disk.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from sensorium.data.prepare.describe import describe
from sensorium.errors import InputError
from sensorium.files import (
    DiskError,
    StrPath,
    disk_errors,
    refuse_existing,
    refuse_replacing,
    replace_folder,
    write_json,
)

OURS = ["manifest.json"]
"""What shows that a folder may be replaced by a corpus."""
KEPT_AFTER = 60.0
"""Seconds of work that are worth keeping when something fails."""
_RUN, _LOCK = "run.json", "lock"


class Work:
    """The folder of a run.

    Args:
        folder: where.
        target: the folder that it becomes.
    """

    def __init__(self, folder: Path, target: Path) -> None:
        self.folder = folder
        self.target = target

    def step(self, name: str) -> Path:
        """The folder of a step, made if need be."""
        path = self.folder / name
        path.mkdir(exist_ok=True)
        return path

    def done(self, name: str) -> dict[str, Any] | None:
        """What a step that is finished left in words, or None if it is not."""
        return read_whole(self.folder / f"{name}.json")

    def finish(self, name: str, told: Mapping[str, Any]) -> None:
        """Say that a step is finished."""
        write_json(self.folder / f"{name}.json", told)

    def clear(self, name: str, suffix: str = ".arrow") -> None:
        """Remove what a step left for the next."""
        for path in self.folder.joinpath(name).glob(f"*{suffix}"):
            path.unlink()

    def publish(self, part: Path) -> None:
        """Put a finished folder into the target's place and remove all else."""
        part.chmod(0o755)
        replace_folder(part, self.target)
        self.remove()

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def begun(self) -> bool:
        """Whether there is a finished unit in it, which a second run need not do again."""
        return next(self.folder.glob("*/*.json"), None) is not None


def place_of(out: StrPath) -> tuple[Path, Path]:
    """The work folder and the folder that it becomes; a link at `out` stays, and what it leads to is replaced."""
    target = Path(os.path.realpath(out))
    return target.with_name(f".{target.name}.partial"), target


@contextmanager
def working(out: StrPath, run: Mapping[str, Any], *, force: bool, again: bool) -> Iterator[Work]:
    """The work folder of a run, new or with what an earlier process of the same run left.

    It is kept when the block is interrupted, or fails after work that is worth keeping; a failure before that clears it
    away.

    Args:
        out: the corpus to make.
        run: what decides its bytes; another run's folder is refused.
        force: replace the corpus at `out`, and begin anew where another run was begun.
        again: whether the same run can go on later. What came through a pipe cannot be read again.

    Raises:
        InputError: something stands at `out`; another run was begun there, or is at work at this moment.
        DiskError: the disk is full or may not be written.
    """
    with disk_errors(out):
        refuse_existing(out, force=force)
        refuse_replacing(out, ours=OURS)
        folder, target = place_of(out)
        if folder.is_symlink():
            raise InputError("a link stands where this run would work", where=str(folder), fix="Remove it")
        work, new, begun = Work(folder, target), not folder.exists(), time.monotonic()
        folder.mkdir(parents=True, exist_ok=True)
        with _lock(folder, out):
            try:
                _begin(work, json.loads(json.dumps(run)), out, force=force)
            except DiskError:
                if new:
                    work.remove()
                raise
            try:
                with disk_errors(out):
                    yield work
            except (KeyboardInterrupt, SystemExit, GeneratorExit):
                if not (again and work.begun):
                    work.remove()
                raise
            except BaseException:
                if not (again and time.monotonic() - begun > KEPT_AFTER):
                    work.remove()
                raise


def _begin(work: Work, run: dict[str, Any], out: StrPath, *, force: bool) -> None:
    before = read_whole(work.folder / _RUN)
    if before == run:
        return
    if before is not None and not force:
        raise InputError(
            f"another run was begun here and not finished; it differs in {_difference(before, run)}",
            where=str(work.folder),
            fix="Repeat its command to go on with it, pass --force to begin anew, or choose another --out",
        )
    left = [path for path in work.folder.iterdir() if path.name != _LOCK]
    if before is None and left and not force:
        raise InputError(
            "a folder that no run has signed stands where this one would work",
            where=str(work.folder),
            fix="Remove it, pass --force to empty it, or choose another --out",
        )
    for path in work.folder.iterdir():
        if path.name != _LOCK:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    write_json(work.folder / _RUN, run)


def _difference(before: Mapping[str, Any], run: Mapping[str, Any]) -> str:
    """The first thing that two runs do not have in common."""
    for name in run:
        old, new = before.get(name), run[name]
        if old == new:
            continue
        if isinstance(new, dict) and isinstance(old, dict):
            return _difference(old, new)
        if isinstance(new, list) and isinstance(old, list):
            return (
                f"{name}: {describe([one for one in old if one not in new] or [one for one in new if one not in old])}"
            )
        return f"{name}: {old!r} then, {new!r} now"
    return "what it was told"


@contextmanager
def _lock(folder: Path, out: StrPath) -> Iterator[None]:
    """Hold the folder for this process, where the file system knows locks."""
    with (folder / _LOCK).open("w") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                "another process is making this corpus at this moment",
                where=str(out),
                fix="Wait for it, or choose another --out",
            ) from error
        except (ImportError, OSError):
            pass
        yield


def read_whole(path: Path) -> dict[str, Any] | None:
    """The JSON object of a file that is there, else None. It was written as a whole or not at all."""
    with suppress(FileNotFoundError):
        value: dict[str, Any] = json.loads(path.read_bytes())
        return value
    return None


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A path to write to, beside `path`; it takes that name when the block has succeeded.

    Unlike `sensorium.files.atomic_file` it does not wait for the disk: what a power cut takes is done again.
    """
    part = path.with_name(f"{path.stem}.{uuid4().hex}.part{path.suffix}")  # two machines may have one process number
    try:
        yield part
        if part.exists():
            os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
