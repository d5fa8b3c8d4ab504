"""Which files the inputs name: folders with all that is in them, URLs with all that is below them.

A link inside a folder is followed to a file of the same folder only: a folder from elsewhere must not bring in what
lies outside it. What is passed over is counted, links that lead out are listed. Pipes and devices are refused.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sensorium.data.reading.formats import kind_of, readable
from sensorium.data.reading.places import STANDARD_INPUT, Place, Remote, file_system, is_url, path_of
from sensorium.data.sample import Ledger
from sensorium.errors import DataError, InputError
from sensorium.files import StrPath, read_errors

_READABLE = f"Readable: {readable()}"


def list_files(inputs: Sequence[StrPath], ledger: Ledger | None = None) -> list[Place]:
    """Every readable file that the inputs name, in their order; those of a folder in the order of their paths.

    Args:
        inputs: files, folders, URLs that fsspec reads ("s3://bucket/folder"; "file://" names a path), or "-" for
            standard input.
        ledger: receives what the folders hold besides.

    Raises:
        InputError: nothing given, a path does not exist, a file's format is not known, or it is a pipe or a device.
        DataError: a folder holds no readable file.
        CapabilityError: fsspec is not installed, but a URL given.
    """
    if not inputs:
        raise InputError("no input given", fix="Name files or folders, or - for standard input")
    ledger = Ledger() if ledger is None else ledger
    files = list[Place]()
    for given in inputs:
        if is_url(given):
            files += _remote(str(given), ledger)
            continue
        path = path_of(given)
        if path == STANDARD_INPUT:
            files.append(path)
        elif path.is_dir():
            files += _folder(path, ledger)
        elif not path.exists():
            raise InputError("no such file or folder", where=str(path), fix="Check the path")
        elif not path.is_file():
            raise InputError("not a regular file", where=str(path), fix="Pipe its content in, and name - as the input")
        elif not kind_of(path):
            raise InputError(f"files of the kind {path.suffix!r} cannot be read", where=str(path), fix=_READABLE)
        else:
            files.append(path)
    return files


def names_of(files: Sequence[Place], inputs: Sequence[StrPath]) -> list[str]:
    """What to call files: their path from the folder that was given, with its name, `books/a/1.txt`; where two would
    have one name, as they were given.

    Args:
        files: as `list_files` gives them.
        inputs: as they were given to it.
    """
    paths = [path_of(given) for given in inputs if not is_url(given)]
    roots = {path: path.absolute().name for path in paths if path.is_dir()}
    names = [_name(file, roots) for file in files]
    counts = Counter(names)
    return [str(file) if counts[name] > 1 else name for name, file in zip(names, files, strict=True)]


def _name(file: Place, roots: Mapping[Path, str]) -> str:
    """A file's path from the innermost of some folders, with that one's name."""
    if isinstance(file, Remote):
        return file.url
    root = next((folder for folder in file.parents if folder in roots), None)
    if root is None:
        return file.name
    return (Path(roots[root]) / file.relative_to(root)).as_posix()


def hidden(path: Path, root: Path) -> bool:
    """Whether the file, or a folder between `root` and it, is hidden."""
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _folder(root: Path, ledger: Ledger) -> list[Path]:
    found, others = list[Path](), 0
    for path in _walk(root, root.resolve(), ledger):
        if kind_of(path):
            found.append(path)
        else:
            others += 1
    if others:
        ledger.count("files of other kinds", others)
    if not found:
        raise DataError("the folder holds no file that can be read", where=str(root), fix=_READABLE)
    return sorted(found)


def _walk(folder: Path, root: Path, ledger: Ledger) -> Iterator[Path]:
    """The regular files in a folder and those below it, but hidden ones."""
    with read_errors(folder):
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.startswith("."):
            continue
        path = folder / entry.name
        if entry.is_symlink():
            if _stays(path, root, ledger):
                yield path
        elif entry.is_dir(follow_symlinks=False):
            yield from _walk(path, root, ledger)
        elif entry.is_file(follow_symlinks=False):
            yield path
        else:
            ledger.count("pipes, sockets and devices passed over")


def _stays(link: Path, root: Path, ledger: Ledger) -> bool:
    """Whether a link leads to a regular file inside the folder."""
    try:
        target = link.resolve(strict=True)
        mode = target.stat().st_mode
    except (OSError, RuntimeError):  # RuntimeError: links that lead to each other
        ledger.count("links that lead nowhere")
        return False
    if not target.is_relative_to(root):
        ledger.count("links that leave the folder")
        ledger.problem(str(link), "a link that leaves the input folder", fix="Name what it leads to as an input")
        return False
    if stat.S_ISDIR(mode):
        ledger.count("links to folders passed over")
        return False
    return stat.S_ISREG(mode)


def _remote(url: str, ledger: Ledger) -> list[Remote]:
    system, path = file_system(url)
    try:
        if system.isdir(path):
            below = system.find(path, detail=True)
            prefix = len(path.rstrip("/")) + 1
            shown = {key: value for key, value in below.items() if not _hidden(key[prefix:])}
            files = [Remote(system.unstrip_protocol(key), int(told.get("size") or -1)) for key, told in shown.items()]
            found = sorted(file for file in files if kind_of(file.name))
            if len(found) < len(files):
                ledger.count("files of other kinds", len(files) - len(found))
            if not found:
                raise DataError("holds no file that can be read", where=url, fix=_READABLE)
            return found
        if not system.exists(path):
            raise InputError("no such file or folder", where=url, fix="Check the URL")
        found = [Remote(url, int(system.info(path).get("size") or -1))]
    except (OSError, ValueError, ImportError) as error:
        raise InputError(
            f"cannot be reached: {error}", where=url, fix="Check the URL, and your right to read it"
        ) from error
    if not kind_of(found[0].name):
        raise InputError("files of this kind cannot be read", where=url, fix=_READABLE)
    return found


def _hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))
