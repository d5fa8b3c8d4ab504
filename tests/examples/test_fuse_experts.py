"""The example that fuses the answers of any experts."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from examples.fuse_experts import main
from sensorium.errors import InputError

CLASSES = ["cat", "dog", "owl"]


def write(path: Path, header: list[str], rows: list[list[object]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Two experts that know one class each for sure, and are silent now and then."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 400)
    table = write(tmp_path / "table.csv", ["kind"], [[CLASSES[label]] for label in truth])
    header = [f"p({name})" for name in CLASSES]
    found = {"table": table}
    for name, known in (("sight", 0), ("sound", 1)):
        rows: list[list[object]] = []
        for label in truth:
            said = [0.1, 0.1, 0.1] if label == known else [0.45, 0.45, 0.45]
            said[known] = 0.8 if label == known else 0.1
            rows.append(["", "", ""] if rng.random() < 0.1 else list(said))
        found[name] = write(tmp_path / f"{name}.csv", header, rows)
    return found


def test_experts_that_complete_each_other_are_better_together(files: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "fused.csv"
    experts = [f"{name}={files[name]}" for name in ("sight", "sound")]
    found = main([str(files["table"]), "--label", "kind", "--out", str(out), *experts])
    assert found["stacking"] > max(found["sight"], found["sound"]) + 0.1
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 400
    assert all(abs(sum(float(row[f"p({name})"]) for name in CLASSES) - 1) < 1e-4 for row in rows)


def test_an_expert_without_a_class_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    short = write(tmp_path / "short.csv", ["p(cat)", "p(dog)"], [[0.5, 0.5]] * 400)
    with pytest.raises(InputError, match=r"p\(owl\)"):
        main([str(files["table"]), "--label", "kind", f"short={short}"])
