"""The chapter on search: what it counts is what the model ranks, and without the model it says so."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sensorium.errors import CheckpointError
from sensorium.inference import open as opening
from sensorium.reports.blocks import Columns, Text
from sensorium.tasks.load import load
from sensorium.tour.plan import Plan
from sensorium.tour.search import find_pictures
from sensorium.tour.trip import Trip


def test_the_bundled_model_finds_new_pictures_far_above_chance(tmp_path: Path) -> None:
    trip = Trip(tmp_path, Plan())
    said, shown = find_pictures(trip)
    assert isinstance(said, Text)
    assert isinstance(shown, Columns)
    assert {block.text[:2] for block in shown.blocks} == {"en", "fr", "de", "es", "zh"}
    with zipfile.ZipFile(Plan().pictures) as packed:
        names = json.loads(packed.read("names.json"))
        pictures = [packed.read(name) for name in names]
    model = load("default:align")
    texts = [text for told in names.values() for text in told.values()]
    scores = model.embed(texts) @ model.embed(images=pictures).T
    right = scores[np.arange(len(texts)), np.repeat(np.arange(len(pictures)), 5)]
    rank = (scores > right[:, None]).sum(1)
    assert trip.numbers["pictures_first"] == pytest.approx((rank == 0).mean())
    assert trip.numbers["pictures_among_five"] == pytest.approx((rank < 5).mean())
    assert trip.numbers["pictures_among_five"] > 3 * 5 / len(pictures)


def test_without_the_model_the_chapter_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(part: str) -> Path:
        raise CheckpointError(f"the bundled model {part!r} is not part of this installation", fix="Install it")

    monkeypatch.setattr(opening, "default_folder", gone)
    (only,) = find_pictures(Trip(tmp_path, Plan()))
    assert isinstance(only, Text)
    assert "not part of this installation" in only.text
