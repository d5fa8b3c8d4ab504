"""A table told in pieces: the same answers and the same words as in one piece, and memory that does not grow."""

from __future__ import annotations

import gc
import shutil
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import sensorium.tasks.fused_pieces as pieces
from sensorium.data.tables.table import read_table
from sensorium.tasks.fused import FusedHandle, Predictions
from sensorium.training.fuse import fuse
from tests.training.fused import SMALL, read, toy, write

LEVELS = {"classification": "both", "multi_label": "decision", "regression": "feature"}
ROWS = 80


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of which some name the same files, some none, some missing and broken ones, in several spellings."""
    path = toy(tmp_path_factory.mktemp("toy"), ROWS)
    (path.parent / "zero.png").write_bytes(b"")
    (path.parent / "half.wav").write_bytes((path.parent / "0.wav").read_bytes()[:30])
    rows = read(path)
    for number, row in enumerate(rows):
        letter = str(row["label"])
        row["classification"] = letter
        row["multi_label"] = "|".join(["red"] * (letter in "cd") + ["low"] * (letter in "bd"))
        row["regression"] = 10 + 5 * (letter in "cd") + 0.01 * number
        del row["label"], row["id"]
        row["picture"] = (f"{number // 3}.png", f"./{number % 5}.png", "", "../out.png", "zero.png", "gone.png")[
            (0, 0, 0, 1, 1, 2, 0, 3, 4, 5)[number % 10]
        ]
        row["sound"] = (f"{number // 2}.wav", "half.wav", f"gone{number % 4}.wav")[(0, 0, 0, 1, 2)[number % 5]]
        if number % 9 == 0:
            row["note"], row["place"] = "", "elsewhere"
        if number % 11 == 0:
            row["size"], row["note"] = "large", "a nice day"
    rows[50] |= dict.fromkeys(("picture", "sound", "note", "size", "place"), "")
    return write(path.parent / "odd.csv", rows)


@pytest.fixture(scope="module", params=list(LEVELS))
def handle(request: pytest.FixtureRequest, table: Path, tmp_path_factory: pytest.TempPathFactory) -> FusedHandle:
    run = fuse(
        table, label=request.param, level=LEVELS[request.param], problem=request.param,
        columns=dict.fromkeys(LEVELS.keys() - {request.param}, "ignore") | {"note": "text", "size": "numeric"},
        out=tmp_path_factory.mktemp("f") / "run", overrides=[*SMALL, "run.epochs=2", "sound.seconds=2.0"],
    )  # fmt: skip
    return FusedHandle.open(run.folder, device="cpu")


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def numbers(found: Predictions) -> np.ndarray:
    return np.array([list(row.probabilities.values()) or [row.label] for row in found.rows])


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("rows", "size"), [(4096, 64), (24, 5)])
def test_pieces_tell_what_the_whole_tells(
    handle: FusedHandle, table: Path, rows: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "ROWS", rows)
    monkeypatch.setattr(pieces, "_PIECE", size)
    found = handle.predict_all(table)
    data, notes = handle.read(read_table(table))
    told = handle.tell(data)
    whole = handle.fused.verdict(told)
    assert np.allclose(numbers(found), whole, atol=1e-5, rtol=1e-5)
    assert found.notes == tuple(notes), "each file is told of once, with the rows of the whole table"
    assert any("zero.png" in note and "rows" in note for note in notes)
    assert found.missing == {name: int((~here).sum()) for name, here in told.present.items() if not here.all()}
    assert found.empty == 1
    assert [row.used for row in found.rows] == [
        tuple(name for name, here in told.present.items() if here[row]) for row in range(ROWS)
    ]


@pytest.mark.usefixtures("two_threads")
def test_the_same_table_gives_the_same_bits(handle: FusedHandle, table: Path) -> None:
    first = numbers(handle.predict_all(table))
    assert np.array_equal(first, numbers(handle.predict_all(table)))


def test_columns_that_are_absent_are_named_once(
    handle: FusedHandle, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "ROWS", 10)
    rows = [{"size": row["size"], "note": row["note"]} for row in read(table)[1:31]]
    found = handle.predict_all(rows, root=table.parent)
    assert [note for note in found.notes if "is not there" in note] == [
        f"column {name!r} is not there: predictions do without it" for name in ("place", "picture", "sound")
    ]
    assert found.missing["picture"] == found.missing["sound"] == 30


def test_one_bar_goes_over_the_rows(
    handle: FusedHandle, table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pieces, "ROWS", 50)
    handle.predict_all(table, show_progress=True)
    told = capsys.readouterr().err
    assert "predicting" in told
    assert "100%" in told
    assert "reading" not in told


@pytest.mark.parametrize("handle", ["regression"], indirect=True)
def test_memory_does_not_grow_with_what_the_files_hold(
    handle: FusedHandle, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "ROWS", 32)
    monkeypatch.setattr(pieces, "_PIECE", 8)
    few, many = 32, 128
    for number in range(many):
        shutil.copyfile(table.parent / f"{number % ROWS}.wav", tmp_path / f"{number}.wav")
    rows = [{"sound": f"{number}.wav"} for number in range(many)]

    def peak(count: int) -> int:
        given = read_table(rows[:count], root=tmp_path)
        gc.collect()
        tracemalloc.start()
        handle.predict_all(given)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(8)
    spec = next(spec for spec in handle.fused.specs if spec.mel is not None)
    assert spec.mel is not None
    decoded = 2 * spec.mel.mels * spec.mel.frames(0)
    assert peak(many) - peak(few) < 0.4 * (many - few) * decoded
