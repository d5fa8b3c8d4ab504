"""Stages of a user's own, at the top level of a module, as other processes need them."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute

from sensorium.data.stages import SOURCE, TEXT, Judged, Mapped, with_column


def shout(text: str) -> str:
    return text.upper()


def short(text: str) -> bool:
    return len(text) < 60


def fussy(text: str) -> str:
    if "ship 7 " in text.lower():
        raise ValueError("no seven, please")
    return text


def unreadable(text: str) -> str:
    raise FileNotFoundError(2, "No such file or directory", "words.txt")


@dataclass(frozen=True)
class Undecided:
    """Fails when it is to decide."""

    error: Exception
    name: str = "undecided"

    def keys(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return pa.record_batch({"length": pa.compute.utf8_length(batch.column(TEXT))})

    def decide(self, keys: Sequence[Path], out: Sequence[Path], scratch: Path) -> Mapping[str, int]:
        raise self.error

    def apply(self, batch: pa.RecordBatch, decided: pa.RecordBatch) -> Judged:
        return Judged(batch, pa.nulls(batch.num_rows, pa.string()))


@dataclass(frozen=True)
class Weigh:
    """Adds a column."""

    name: str = "weigh"

    def map(self, batch: pa.RecordBatch) -> Mapped:
        return Mapped(with_column(batch, "weight", pa.array([len(text) for text in batch.column(TEXT).to_pylist()])))


@dataclass(frozen=True)
class Deadly:
    """Kills its process where it meets a word, always or the first time alone."""

    word: str
    once: str | None = None
    name: str = "deadly"

    def judge(self, batch: pa.RecordBatch) -> pa.Array:
        if any(self.word in text for text in batch.column(TEXT).to_pylist()) and not self._spared():
            os.kill(os.getpid(), signal.SIGKILL)
        return pa.nulls(batch.num_rows, pa.string())

    def _spared(self) -> bool:
        if self.once is None:
            return False
        seen = Path(self.once).exists()
        Path(self.once).touch()
        return seen


@dataclass(frozen=True)
class Slow:
    """Waits for a file to go away, once a unit; tells in another that it waits."""

    gate: str
    name: str = "slow"

    def judge(self, batch: pa.RecordBatch) -> pa.Array:
        import time

        if any("gate" in source for source in batch.column(SOURCE).to_pylist()):
            Path(f"{self.gate}.waiting").touch()
            while Path(self.gate).exists():
                time.sleep(0.02)
        return pa.nulls(batch.num_rows, pa.string())


@dataclass(frozen=True)
class Broken:
    """Answers what no stage may answer."""

    way: str
    name: str = "broken"

    def map(self, batch: pa.RecordBatch) -> Mapped:
        if self.way == "rows":
            return Mapped(batch.slice(1))
        if self.way == "column":
            return Mapped(batch.drop_columns([SOURCE]))
        return batch  # type: ignore[return-value]
