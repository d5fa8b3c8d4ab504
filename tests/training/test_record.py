"""Metrics survive a crash and a damaged file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sensorium.training.record import Record, plot_loss, read_metrics

GOOD = [{"step": i, "tokens": 10 * i, "split": "train", "loss": 1.0 / i} for i in (1, 2, 3)]
WORDS_FOR_NUMBERS = '{"step": "x", "tokens": 1, "split": "train", "loss": 1}'
DAMAGED = ["7", "[]", "{}", '{"step": 1}', WORDS_FOR_NUMBERS, '{"step": 2, "to', "\udcff"]


@pytest.mark.parametrize("damaged", DAMAGED)
def test_a_damaged_line_is_left_out(damaged: str, tmp_path: Path) -> None:
    lines = [json.dumps(GOOD[0]), damaged, json.dumps(GOOD[1])]
    path = tmp_path / "metrics.jsonl"
    path.write_bytes("\n".join(lines).encode("utf-8", "surrogateescape"))
    assert read_metrics(path) == GOOD[:2]
    plot_loss(read_metrics(path), tmp_path / "loss.png")
    Record(tmp_path, step=1).close()
    assert read_metrics(path) == GOOD[:1]


def test_resuming_replaces_the_metrics_in_one_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in GOOD))

    def full(*args: object) -> None:
        raise OSError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", full)
        with pytest.raises(OSError, match="gone"):
            Record(tmp_path, step=2)
    assert read_metrics(path) == GOOD
    record = Record(tmp_path, step=2)
    record.write({"step": 3, "tokens": 30, "split": "train", "loss": 0.5})
    record.close()
    assert [row["loss"] for row in read_metrics(path)] == [1.0, 0.5, 0.5]
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["metrics.jsonl"]
