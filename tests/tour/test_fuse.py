"""The chapter on digits to see and hear: what it shows, and what it says where an extra is not there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sensorium.reports.blocks import Columns, Exhibit, Figure, Text
from sensorium.tasks.load import load
from sensorium.tour.fuse import fuse_digits
from sensorium.tour.plan import Plan
from sensorium.tour.trip import Trip


def test_every_sense_alone_and_both_fused_stand_in_the_plot(tmp_path: Path, plan: Plan) -> None:
    trip = Trip(tmp_path, plan, show_progress=False)
    blocks = fuse_digits(trip)
    plots = [block for block in blocks if isinstance(block, Figure)]
    for name in ("image alone", "sound alone", "features: concat", "decisions: mean"):
        assert name in plots[0].svg
    shown = [one for block in blocks if isinstance(block, Columns) for one in block.blocks if isinstance(one, Exhibit)]
    assert all({medium.kind for medium in one.media} == {"image", "audio"} for one in shown)
    assert 0 <= trip.numbers["accuracy_alone"] <= 1
    assert [path.name for path in tmp_path.iterdir()] == ["fused"]
    handle = load(tmp_path / "fused")
    assert handle.label == "digit"


def test_without_the_extra_for_sound_the_chapter_says_what_installs_it(
    tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    (only,) = fuse_digits(Trip(tmp_path, plan, show_progress=False))
    assert isinstance(only, Text)
    assert "sensorium[audio]" in only.text
    assert not list(tmp_path.iterdir())
