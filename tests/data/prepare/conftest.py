"""Texts and processes that the tests of `prepare` share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sensorium.data.prepare import units
from sensorium.data.prepare.executor import Processes
from tests.data.prepare.texts import TEXTS, jsonl


@pytest.fixture(scope="session")
def pair() -> Iterator[Processes]:
    """Two processes, started once for all tests."""
    executor = Processes(2)
    yield executor
    executor.close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six files, each a unit of its own; some documents stand in two of them."""
    monkeypatch.setattr(units, "UNIT", 1)
    (tmp_path / "in").mkdir()
    for i in range(6):
        jsonl(tmp_path / "in" / f"{i}.jsonl", [*TEXTS[i * 40 : i * 40 + 60], " "])
    return tmp_path / "in"
