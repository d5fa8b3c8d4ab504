"""Pictures and sounds of digits, each of which is spoiled now and then: each sense alone, and both fused.

The digits come with the package. Where the extras that read sound and fit decisions are not there, the chapter says so.
"""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Sequence

from sensorium.errors import CapabilityError
from sensorium.reports.blocks import Block, Text
from sensorium.tasks.fuse_compare import FusionComparison, compare_fusion
from sensorium.tasks.fuse_report import advice, examples, systems_plot
from sensorium.tour.trip import Trip, left_out

_JUDGE = 0.3
"""Share of the rows that judge: of fewer voices a test could not be sure, whatever they said."""


def fuse_digits(trip: Trip) -> Sequence[Block]:
    """Experts of each sense and their decisions, fused features, and rows in which fusion changes the answer."""
    data = trip.folder / "digits.part"
    try:
        with zipfile.ZipFile(trip.plan.digits) as packed:
            packed.extractall(data)
        found = compare_fusion(
            data / "digits.csv", label="digit", group="voice", out=data / "models", kinds=[trip.plan.fusion],
            modulation=False, judge=_JUDGE, overrides=trip.plan.fuse, show_progress=trip.show_progress,
        )  # fmt: skip
        said = _said(trip, found)
        os.replace(data / "models" / trip.plan.fusion, trip.folder / "fused")
    except CapabilityError as error:
        return left_out(error)
    finally:
        shutil.rmtree(data, ignore_errors=True)
    return said


def _said(trip: Trip, found: FusionComparison) -> list[Block]:
    by_name = {one.name: one.measures["accuracy"] for one in found.systems}
    trip.numbers["accuracy_alone"] = found.alone.measures["accuracy"]
    trip.numbers["accuracy_fused"] = found.fused.measures["accuracy"]
    rows = len(found.alone.scores)
    alone = " and ".join(f"{by_name[name]:.0%} ({name})" for name in sorted(by_name) if name.endswith(" alone"))
    return [
        Text(
            "Handwritten digits and spoken ones, in the voices of a synthesiser. In about every third row the picture "
            "is hidden for the most part, and in every third the sound is drowned in noise, so that neither is enough. "
            "A small Vision Transformer of each sense learns for half a minute from some hundred rows; of voices that "
            f"none of them heard, {rows} rows judge. Guessing is right in 10% of them; one sense alone in {alone}."
        ),
        systems_plot(found),
        Text(advice(found)),
        *examples(found, most=2),
    ]
