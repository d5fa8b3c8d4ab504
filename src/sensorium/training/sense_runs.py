"""What the runs of other senses share: their folder is as it was if nothing came of them, and a model comes into it
whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sensorium.errors import SensoriumError
from sensorium.families.aligned import FUSION, FUSION_WEIGHTS
from sensorium.files import disk_errors, replace_folder

_LAST = ("config.json", FUSION)
"""What makes a folder a model."""
_STALE = (*_LAST, FUSION_WEIGHTS, "preprocessor_config.json")


@contextmanager
def undone(out: Path, *, existed: bool) -> Iterator[None]:
    """Take away a run's new folder if nothing comes of it, so that the corrected command finds the place free."""
    try:
        yield
    except SensoriumError:
        if not existed:
            shutil.rmtree(out, ignore_errors=True)
        raise


@contextmanager
def finished(out: Path) -> Iterator[Path]:
    """An empty folder for the model of a finished run; all of it is moved to `out` if the block succeeds, the file
    that makes it a model last.

    Raises:
        DiskError: the disk is full or may not be written.
    """
    part = out / "run" / "export.part"
    with disk_errors(out):
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir(parents=True)
            yield part
            for name in _STALE:
                (out / name).unlink(missing_ok=True)
            for path in sorted(part.iterdir(), key=lambda path: (path.name in _LAST, path.name)):
                if path.is_dir():
                    replace_folder(path, out / path.name)
                else:
                    os.replace(path, out / path.name)
        finally:
            shutil.rmtree(part, ignore_errors=True)
