"""Files that are either whole or absent: atomic writes, staged folders, hashes, disk errors made clear.

A file is written beside its destination and renamed over it, a folder likewise, so that neither a full
disk nor `kill -9` leaves half of one behind.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import xxhash

from sensorium.errors import CheckpointError, InputError, SensoriumError

StrPath = str | os.PathLike[str]


class DiskError(SensoriumError):
    """The file system refused a write: it is full, read-only, or not ours to write in."""


_FULL = DiskError, "no space left on the device", "Free some space, or choose another place"
_FORBIDDEN = DiskError, "not allowed to write here", "Choose a folder that you may write in"
_FILE_IN_WAY = InputError, "a file stands where a folder would have to be", "Choose another --out"
_MOUNTED = DiskError, "a file system is mounted there, or begins there", "Choose another --out"
_REFUSALS: dict[int | None, tuple[type[SensoriumError], str, str]] = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EROFS: _FORBIDDEN,
    errno.EEXIST: _FILE_IN_WAY,
    errno.ENOTDIR: _FILE_IN_WAY,
    errno.EBUSY: _MOUNTED,
    errno.EXDEV: _MOUNTED,
    errno.ENAMETOOLONG: (InputError, "the name is too long", "Choose a shorter --out"),
    errno.EFBIG: (DiskError, "a file would become larger than is allowed here", "Raise the limit (ulimit -f)"),
    errno.EIO: (DiskError, "the device failed", "Check the disk"),
}
_RUST_ERROR = re.compile(r"\(os error (\d+)\)$")


@contextmanager
def disk_errors(path: StrPath) -> Iterator[None]:
    """Turn the operating system's refusals of a write into an error that says what to do.

    Raises:
        DiskError: the disk is full or may not be written.
        InputError: no such path can be made.
    """
    refuse_impossible(path)
    try:
        yield
    except SensoriumError:
        raise
    except Exception as error:
        if (number := _errno(error)) not in _REFUSALS:
            raise
        kind, problem, fix = _REFUSALS[number]
        raise kind(problem, where=str(path), fix=fix) from error


@contextmanager
def read_errors(path: StrPath) -> Iterator[None]:
    """Turn the operating system's refusals of a read into an error that says what to do.

    Raises:
        InputError: the file, or a folder above it, cannot be read.
    """
    try:
        yield
    except OSError as error:
        raise unreadable(error, path) from error


def unreadable(error: OSError, path: StrPath | None = None) -> InputError:
    """What to say of a refused read: the file is the one that the system names, else `path`."""
    where = path if error.filename is None else error.filename
    return InputError(error.strerror or str(error), where=str(where), fix="Check the path and its permissions")


def _errno(error: Exception) -> int | None:
    """The operating system's number of an error. PyTorch raises an error of its own about it; libraries in Rust
    (safetensors, tokenizers) only print it."""
    if isinstance(error, RuntimeError) and isinstance(error.__context__, OSError):
        error = error.__context__
    if isinstance(error, OSError):
        return error.errno
    told = _RUST_ERROR.search(str(error))
    return int(told.group(1)) if told else None


@contextmanager
def atomic_file(path: StrPath) -> Iterator[Path]:
    """Yield a temporary path in the same folder; rename it to `path` if the block succeeds.

    Raises:
        DiskError: the disk is full or may not be written.
    """
    target = Path(path)
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        os.close(descriptor)
        part = Path(name)
        try:
            yield part
            _sync(part)
            part.chmod(0o644)
            os.replace(part, target)
        finally:
            part.unlink(missing_ok=True)


def write_text(path: StrPath, text: str) -> None:
    """Write a UTF-8 file atomically."""
    with atomic_file(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: StrPath, value: Any) -> None:
    """Write indented UTF-8 JSON atomically, with a final newline. A file's name that is no UTF-8 is escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    write_text(path, text.encode("utf-8", "backslashreplace").decode("utf-8"))


def read_json(path: StrPath) -> dict[str, Any]:
    """The JSON object in a file that belongs to a model.

    Raises:
        InputError: it cannot be read.
        CheckpointError: it is not valid JSON, or not an object.
    """
    try:
        with read_errors(path):
            value = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # ValueError: bad JSON, bad UTF-8, a number of 5000 digits
        raise CheckpointError(f"not valid JSON: {error}", where=str(path), fix="Copy the folder anew") from error
    if not isinstance(value, dict):
        raise CheckpointError("not a JSON object", where=str(path), fix="Copy the folder anew")
    return value


@contextmanager
def atomic_folder(path: StrPath, *, ours: Sequence[str], force: bool = False) -> Iterator[Path]:
    """Yield an empty folder beside `path`; it takes `path`'s place if the block succeeds.

    Args:
        path: the folder to make, or a link to it, which stays.
        ours: names of files, one of which shows that a folder is ours to replace.
        force: replace what stands there. Without it, something at `path` (other than an empty folder)
            is an error, raised before any work is done.

    Raises:
        InputError: `path` exists and `force` is off, or it may not be replaced; the block cannot read a file.
        DiskError: the disk is full or may not be written.
    """
    with disk_errors(path):
        refuse_existing(path, force=force)
        refuse_replacing(path, ours=ours)
        target = Path(os.path.realpath(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
        try:
            with _reads_told(part):
                yield part
            part.chmod(0o755)
            replace_folder(part, target)
        finally:
            shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _reads_told(part: Path) -> Iterator[None]:
    """Tell refused reads from refused writes in a block that writes nowhere but in `part`."""
    try:
        yield
    except OSError as error:
        if isinstance(error.filename, str) and not Path(error.filename).is_relative_to(part):
            raise unreadable(error) from error
        raise


def replace_folder(part: Path, target: Path) -> None:
    """Rename the folder `part` to `target`, moving what stands there out of the way first."""
    old: Path | None = None
    if target.exists() or target.is_symlink():
        old = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".old", dir=target.parent)) / "old"
        os.replace(target, old)
    try:
        os.replace(part, target)
    except OSError:
        if old is not None:
            os.replace(old, target)
        raise
    finally:
        if old is not None:
            shutil.rmtree(old.parent, ignore_errors=True)


def refuse_impossible(path: StrPath) -> None:
    """Raise if no file system can have such a name.

    Raises:
        InputError: there is a zero byte in it, or half of a surrogate pair.
    """
    if "\0" in str(path):
        raise InputError(f"{str(path)!r} is no path: it has a zero byte in it", fix="Name a file or a folder")
    try:
        os.fsencode(path)
    except UnicodeEncodeError as error:
        raise InputError(f"{str(path)!r} is no path: it is not valid Unicode", fix="Name a file or a folder") from error


def refuse_unspeakable(text: str, *, where: str | None = None) -> None:
    """Raise if UTF-8 cannot write a text.

    Raises:
        InputError: there is half of a surrogate pair in it (as JSON may hold, or a command line that was no UTF-8).
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"the text is not valid Unicode at character {error.start + 1}", where=where, fix="Give UTF-8 text"
        ) from error


def refuse_existing(path: StrPath, *, force: bool = False) -> None:
    """Raise if an output would overwrite something of the user's.

    Raises:
        InputError: `path` is a file, or a folder that is not empty, and `force` is off.
    """
    if _occupied(Path(path)) and not force:
        raise InputError("already exists", where=str(path), fix="Choose another --out, or pass --force to replace it")


def _occupied(path: Path) -> bool:
    """Whether something stands there; a link that leads nowhere does, an empty folder does not."""
    return any(path.iterdir()) if path.is_dir() else os.path.lexists(path)


def refuse_replacing(path: StrPath, *, ours: Sequence[str]) -> None:
    """Raise if a folder may not be replaced as a whole.

    Raises:
        InputError: the current folder or a file system stands there, or it is not ours.
    """
    refuse_current(path)
    if os.path.ismount(os.path.realpath(path)):
        raise InputError("a file system is mounted there", where=str(path), fix="Choose a folder inside it")
    refuse_foreign(path, ours=ours)


def refuse_foreign(path: StrPath, *, ours: Sequence[str]) -> None:
    """Raise if something that we did not make would be replaced.

    Raises:
        InputError: `path` is a file, or a folder that is not empty and holds none of the files `ours`.
    """
    target = Path(path)
    if _occupied(target) and not any((target / name).is_file() for name in ours):
        raise InputError(
            f"--force replaces only what Sensorium made, and this holds no {' or '.join(ours)}",
            where=str(path),
            fix="Choose another --out, or empty the folder yourself",
        )


def refuse_current(path: StrPath) -> None:
    """Raise if the current folder would be replaced.

    Raises:
        InputError: the current folder is `path`, or lies in it.
    """
    if Path.cwd().is_relative_to(os.path.realpath(path)):
        raise InputError("the current folder stands there", where=str(path), fix="Choose another --out")


def file_hash(path: StrPath) -> str:
    """128-bit xxHash of a file's bytes, as 32 hexadecimal digits."""
    digest = xxhash.xxh3_128()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def text_hash(text: str) -> str:
    """128-bit xxHash of a text's UTF-8 bytes, as 32 hexadecimal digits."""
    return xxhash.xxh3_128(text.encode("utf-8", "surrogatepass")).hexdigest()


def _sync(path: Path) -> None:
    """Flush a file to the disk, where the file system can."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
