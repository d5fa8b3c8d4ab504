"""`tour`: every chapter in order, in a folder aside; then models and report move to where they were wanted.

out/
  report.html    the page
  corpus/        the prepared text
  encoder/       a BERT, as a Hugging Face folder
  decoder/       a Llama, likewise
  fused/         a model of pictures and sounds, where the extras for it are there
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sensorium.errors import InputError, SensoriumError
from sensorium.files import StrPath, disk_errors, refuse_existing, refuse_replacing, replace_folder
from sensorium.progress import heading
from sensorium.reports.blocks import Block
from sensorium.reports.numbers import Number
from sensorium.tour.chapters import CHAPTERS
from sensorium.tour.plan import Plan
from sensorium.tour.report import compose
from sensorium.tour.trip import Trip
from sensorium.training.folder import OURS
from sensorium.training.loop import TrainingInterruptedError

REPORT = "report.html"
_PARTS = {"corpus": ["manifest.json"], "encoder": OURS, "decoder": OURS, "fused": OURS}
"""The folders of a tour, and the files one of which shows that --force may replace them."""


class TourInterruptedError(SensoriumError):
    """Stopped by a signal; nothing was kept."""

    exit_code = 130


@dataclass(frozen=True)
class Tour:
    """A finished tour."""

    folder: Path
    report: Path
    """The page."""
    numbers: dict[str, Number]
    """What was measured, by name."""
    seconds: dict[str, float]
    """How long each chapter took."""

    @property
    def verified(self) -> bool:
        """Whether the saved models compute what they computed when they were saved."""
        return bool(self.numbers["verified"])


def tour(
    out: StrPath = "tour", *, force: bool = False, plan: Plan | None = None, show_progress: bool | None = None
) -> Tour:
    """Go the whole way from raw text to two trained models, and write a page about it.

    Args:
        out: the folder to make, with the page, the corpus and both models.
        force: replace an earlier tour that stands there; other files in the folder stay.
        plan: another text, other recipes, other prompts.
        show_progress: None shows headings and bars if stderr is a terminal.

    Raises:
        InputError: `out` exists, is a file, or holds something that is not ours to replace.
        TourInterruptedError: Ctrl-C or SIGTERM; nothing is left behind.
        DiskError: the disk is full or may not be written.
    """
    out = Path(out)
    with disk_errors(out):
        refuse_existing(out, force=force)
        if os.path.lexists(out) and not out.is_dir():
            raise InputError("is a file", where=str(out), fix="Choose another --out")
        for name, ours in _PARTS.items():
            refuse_replacing(out / name, ours=ours)
        out.parent.mkdir(parents=True, exist_ok=True)
        place = out if out.is_dir() else out.parent
        part = Path(tempfile.mkdtemp(prefix=".tour.", suffix=".part", dir=place))
    try:
        trip = Trip(part, plan or Plan(), show_progress=show_progress)
        chapters, seconds = _go(trip)
        page = compose(chapters, numbers=trip.numbers, seconds=seconds, out=str(out))
        page.write(part / REPORT)
        with disk_errors(out):
            _settle(part, out)
    except TrainingInterruptedError as error:
        raise TourInterruptedError("the tour was stopped, and nothing was kept", fix="Start it again") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Tour(out, out / REPORT, trip.numbers, seconds)


def _go(trip: Trip) -> tuple[dict[str, Sequence[Block]], dict[str, float]]:
    """Run the chapters; what each says and how long it took."""
    chapters: dict[str, Sequence[Block]] = {}
    seconds: dict[str, float] = {}
    for number, chapter in enumerate(CHAPTERS, 1):
        heading(f"[{number}/{len(CHAPTERS)}] {chapter.title}", show=trip.show_progress)
        start = time.perf_counter()
        chapters[chapter.title] = chapter.run(trip)
        seconds[chapter.title] = time.perf_counter() - start
    return chapters, seconds


def _settle(part: Path, out: Path) -> None:
    """Move what was made to its place. The page goes last: where it stands, all that it speaks of stands too."""
    out.mkdir(exist_ok=True)
    (out / REPORT).unlink(missing_ok=True)
    for path in sorted(part.iterdir(), key=lambda path: path.name == REPORT):
        if path.is_dir():
            replace_folder(path, out / path.name)
        else:
            os.replace(path, out / path.name)
