"""The rows of a table told in pieces: memory holds a few files of each thread, however long the table is.

Unusual: a file is read and encoded once among some thousand rows, however many of them name it; what is kept of it are
the few vectors that the fusion reads. And pieces go side by side, each of them read and encoded by one thread that
computes alone, so that some threads compute while others read, and none waits for the others after every operation.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from sensorium.data.decoded import values_of
from sensorium.data.tables.cells import text_of
from sensorium.data.tables.senses import Augment
from sensorium.data.tables.specs import Problems, SenseSpec, decode_senses
from sensorium.data.tables.table import Table
from sensorium.fusion.compare import Answers, Told, joined, judge, told_by
from sensorium.modalities.threads import for_each
from sensorium.progress import Advance, progress
from sensorium.training.fuse_folder import Fused

ROWS = 4096
"""Rows among which no file is read twice."""
_PIECE = 64
"""Files or rows, at most, that a thread reads and encodes at a time."""
_VALUES = 1 << 22
"""Numbers, at most, that a model reads of them, unless one file holds more."""
_THREADS = 16
"""At most so many, since each holds a piece."""
_TOKENISING = threading.Lock()
"""A tokenizer is not to be used by two threads; it has threads of its own."""
_Job = TypeVar("_Job")
_Made = TypeVar("_Made")


@dataclass(frozen=True, eq=False)
class _Encoded:
    """One modality of some rows, or of the different files that rows name."""

    features: Float[Tensor, "n tokens dim"] | None
    """None of a modality that only an expert of tables answers for."""
    present: Bool[Tensor, " n"]
    known: Answers | None
    """The answers of that expert."""

    def of(self, places: Int64[np.ndarray, " rows"]) -> _Encoded:
        """The rows that show these."""
        chosen = torch.from_numpy(places)
        features = None if self.features is None else self.features[chosen.to(self.features.device)]
        return _Encoded(features, self.present[chosen], None if self.known is None else self.known[places])


def tell_in_pieces(
    fused: Fused, table: Table, *, device: torch.device, problems: Problems, show_progress: bool | None = None
) -> Iterator[Told]:
    """What features and experts tell of a table, some thousand rows after the other.

    Args:
        fused: the model, on `device`.
        table: the rows.
        problems: gathers the files that cannot be read.
        show_progress: None shows a bar if stderr is a terminal.

    Raises:
        CapabilityError: an extra is not installed.
    """
    with progress("predicting", table.rows, show=show_progress) as advance:
        for start in range(0, table.rows, ROWS):
            yield _tell(fused, _cut(table, start, ROWS), device, problems, advance)


def _tell(fused: Fused, table: Table, device: torch.device, problems: Problems, advance: Advance) -> Told:
    groups = dict[tuple[str, ...], list[SenseSpec]]()
    for spec in fused.specs:  # clips are read once for their frames and their sound
        groups.setdefault(spec.sense.columns, []).append(spec)
    jobs, places = list[tuple[list[SenseSpec], Table]](), dict[str, Int64[np.ndarray, " rows"]]()
    for specs in groups.values():
        different, shown = _different(table, specs)
        places |= {spec.sense.name: shown for spec in specs}
        size = min((_PIECE, *(max(1, _VALUES // values_of(spec.media)) for spec in specs if spec.media)))
        jobs += [(specs, _cut(different, start, size)) for start in range(0, different.rows, size)]

    def work(job: tuple[list[SenseSpec], Table]) -> tuple[dict[str, _Encoded], Problems]:
        found = _encode(fused, *job, device)
        advance(table.rows / len(jobs), "")
        return found

    parts = dict[str, list[_Encoded]]()
    for encoded, bad in _side_by_side(work, jobs):
        for name, one in encoded.items():
            parts.setdefault(name, []).append(one)
        for column, told in bad.items():
            problems.setdefault(column, {}).update(told)
    whole = {name: _join(some) for name, some in parts.items()}

    def judge_some(start: int) -> Told:
        some = {name: one.of(places[name][start : start + _PIECE]) for name, one in whole.items()}
        with torch.inference_mode():
            return judge(
                fused.model,
                {name: one.features for name, one in some.items() if one.features is not None},
                {name: one.present for name, one in some.items()},
                fused.target,
                known={name: one.known for name, one in some.items() if one.known is not None},
            )

    return joined(_side_by_side(judge_some, range(0, table.rows, _PIECE)))


def _side_by_side(work: Callable[[_Job], _Made], jobs: Sequence[_Job]) -> list[_Made]:
    """In threads that compute alone. Few jobs are rather done one after the other, each by all threads."""
    threads = min(torch.get_num_threads(), _THREADS)
    return for_each(work, jobs, threads=threads if len(jobs) >= 2 * threads else 1)


def _different(table: Table, specs: Sequence[SenseSpec]) -> tuple[Table, Int64[np.ndarray, " rows"]]:
    """Of a table the columns that modalities read, every text and path once, and where each row's stands."""
    names = specs[0].sense.columns
    if specs[0].numbers is not None:
        columns = {name: table.columns[name] for name in names if name in table.columns}
        return replace(table, columns=columns), np.arange(table.rows)
    texts = [text_of(cell) for cell in table.columns.get(names[0], [None] * table.rows)]
    place = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    return replace(table, columns={names[0]: list(place)}, rows=len(place)), np.array([place[text] for text in texts])


def _cut(table: Table, start: int, rows: int) -> Table:
    """Some rows that follow each other."""
    columns = {name: cells[start : start + rows] for name, cells in table.columns.items()}
    return replace(table, columns=columns, rows=min(rows, table.rows - start))


def _encode(
    fused: Fused, specs: Sequence[SenseSpec], table: Table, device: torch.device
) -> tuple[dict[str, _Encoded], Problems]:
    with _TOKENISING if specs[0].tokenizer is not None else nullcontext():
        senses, problems = decode_senses(specs, table, some=False, show_progress=False)
    found = dict[str, _Encoded]()
    for name, sense in senses.items():
        given = sense.input(np.arange(table.rows), Augment(), None)
        with torch.inference_mode():
            features = fused.model.encode(name, given.to(device)) if name in fused.model.names else None
        expert = fused.expert if fused.expert is not None and fused.expert[0] == name else None
        known = None if expert is None else told_by(expert[1], given, fused.target)
        found[name] = _Encoded(features, given.present, known)
    return found, problems


def _join(parts: Sequence[_Encoded]) -> _Encoded:
    features = [part.features for part in parts if part.features is not None]
    known = [part.known for part in parts if part.known is not None]
    return _Encoded(
        torch.cat(features) if features else None,
        torch.cat([part.present for part in parts]),
        np.concatenate(known) if known else None,
    )
