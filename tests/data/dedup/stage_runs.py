"""Runs a comparer over documents as the engine does: keys to files, a decision, the batches told of it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from sensorium.data.stages import Comparer, Judged, documents


def write_keys(stage: Comparer, batches: Sequence[pa.RecordBatch], path: Path) -> Path:
    """The keys of some batches, in one file."""
    made = [stage.keys(batch) for batch in batches] or [stage.keys(documents([], []))]
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, made[0].schema) as writer:
        for batch in made[: len(batches)]:
            writer.write_batch(batch)
    return path


def run(stage: Comparer, units: Sequence[Sequence[pa.RecordBatch]]) -> tuple[list[Judged], Mapping[str, int]]:
    """What becomes of each batch of each unit, and what was counted."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "scratch").mkdir()
        keys = [write_keys(stage, batches, folder / f"{at}.keys") for at, batches in enumerate(units)]
        out = [folder / f"{at}.out" for at in range(len(units))]
        counts = stage.decide(keys, out, folder / "scratch")
        judged = []
        for batches, path in zip(units, out, strict=True):
            with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
                assert reader.num_record_batches == len(batches)
                judged += [stage.apply(batch, reader.get_batch(at)) for at, batch in enumerate(batches)]
        return judged, counts


def cut(texts: Sequence[str], sizes: Sequence[int]) -> list[list[pa.RecordBatch]]:
    """Texts as units of a few batches: a batch of each size in turn, a unit of each two batches."""
    batches, start = [], 0
    for size in [*sizes, len(texts)]:
        stop = min(start + size, len(texts))
        batches.append(documents(texts[start:stop], [f"f#{row}" for row in range(start, stop)]))
        start = stop
    return [batches[at : at + 2] for at in range(0, len(batches), 2)]


def reasons(judged: Sequence[Judged]) -> list[str | None]:
    """Of each document, in order."""
    return [reason for one in judged for reason in one.reasons.to_pylist()]


def texts(judged: Sequence[Judged]) -> list[str]:
    """The texts that are kept, in order."""
    return [
        text
        for one in judged
        for text, reason in zip(one.batch.column("text").to_pylist(), one.reasons.to_pylist(), strict=True)
        if reason is None
    ]
