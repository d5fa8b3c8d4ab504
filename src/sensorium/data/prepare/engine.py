"""Runs the segments of a pipeline over all units, and the decisions between them; goes on where an earlier run stopped.

A unit whose process dies is tried once more, now a piece at a time; the piece that it dies of again is left out, listed
and counted, and the rest of the unit is kept.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from sensorium.data.prepare.chain import Named, decided_by, named
from sensorium.data.prepare.clusters import largest
from sensorium.data.prepare.executor import Executor, Here, Lost
from sensorium.data.prepare.reading import Reading
from sensorium.data.prepare.segment import Segment
from sensorium.data.prepare.units import Task, Unit, marked
from sensorium.data.prepare.work import Work, read_whole
from sensorium.data.stages import Comparer, Stage
from sensorium.errors import DataError
from sensorium.files import DiskError
from sensorium.progress import progress

LATE = 30.0
"""Seconds that what another machine wrote may take to come into sight."""


@runtime_checkable
class Step(Protocol):
    """What is done to units one by one, each result whole or absent in a folder of the step."""

    @property
    def name(self) -> str:
        """Of the folder."""

    def __call__(self, task: Task) -> int:
        """Work on a unit; its number, when it is finished."""


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A run.

    Args:
        work: its folder.
        units: of the input.
        executor: who works.
        strict: whether a unit that kills its process ends the run.
        show_progress: None shows bars if stderr is a terminal.
    """

    work: Work
    units: Sequence[Unit]
    executor: Executor
    strict: bool
    show_progress: bool | None = None

    def segments(self, stages: Sequence[Stage], reading: Reading, seed: int) -> list[Segment]:
        """The pipeline, cut behind each comparer."""
        pieces: list[tuple[Named | None, list[Named], Named | None]] = [(None, [], None)]
        for step in named(stages):
            if isinstance(step.stage, Comparer):
                before, between, _ = pieces[-1]
                pieces[-1] = before, between, step
                pieces.append((step, [], None))
            else:
                pieces[-1][1].append(step)
        size = sum(unit.size for unit in self.units)
        return [
            Segment(number, reading, before, tuple(between), after, str(self.work.folder), seed, size)
            for number, (before, between, after) in enumerate(pieces)
        ]

    def run(self, segments: Sequence[Segment]) -> None:
        """Take all units through all segments."""
        for segment in segments:
            self.work.step(segment.name)
            self.each(segment, self.units if segment.number == 0 else self.left(segments[segment.number - 1]))
            if segment.number == 0:
                self._leave_out_split_files(segment)
            else:
                self.work.clear(segments[segment.number - 1].name, "[0-9].arrow")
                shutil.rmtree(self.work.folder / f"d{segment.number - 1}", ignore_errors=True)
            if segment.after is not None and self.work.done(f"decided{segment.number}") is None:
                self._decide(segment, segment.after)

    def each(self, step: Step, units: Sequence[Unit], title: str | None = None) -> None:
        """Do a step for each unit that it is not yet done for.

        Raises:
            DataError: in strict mode, a unit killed its process twice.
            DiskError: what a unit left does not come into sight.
        """
        folder = self.work.step(step.name)
        waiting = [unit for unit in units if not (folder / f"{unit.number:05}.json").exists()]
        sizes = {unit.number: unit.size for unit in units}
        total = sum(sizes.values())
        with progress(title or _title(step), total or None, done=0, show=self.show_progress) as advance:
            advance(total - sum(unit.size for unit in waiting), "")
            streamed = [Task(unit) for unit in waiting if unit.streamed]
            others = [Task(unit) for unit in waiting if not unit.streamed]
            for executor, tasks in ((Here(), streamed), (self.executor, others)):
                for number in self._until_done(step, executor, tasks, folder):
                    advance(sizes[number], "")
        if unseen := _unseen(units, folder):
            raise DiskError(
                f"what {len(unseen)} of {len(units)} finished units left is not seen here",
                where=str(folder),
                fix="Repeat the command; all machines must see the folder alike: see the guide on clusters",
            )

    def _until_done(self, step: Step, executor: Executor, tasks: Sequence[Task], folder: Path) -> Iterator[int]:
        while tasks:
            again = []
            for result in executor.run(step, tasks):
                if isinstance(result, Lost):
                    again.append(self._again(result, folder))
                else:
                    yield result
            tasks = again

    def _again(self, lost: Lost, folder: Path) -> Task:
        """How to try a task once more."""
        task, piece = lost.task, marked(folder / f"{lost.task.unit.number:05}.at")
        if not task.careful:
            return replace(task, careful=True)
        if self.strict:
            parts = task.unit.parts
            raise DataError(
                f"working on it failed twice: {lost.reason}",
                where=parts[min(piece, len(parts) - 1)].path,
                fix="Mend or remove it, or run without --strict",
            )
        return task.without(piece, f"working on it failed twice: {lost.reason}")

    def left(self, segment: Segment) -> list[Unit]:
        """The units of which a segment has left documents."""
        return [unit for unit, told in self.told(segment) if told["documents"]]

    def told(self, step: Step, units: Iterable[Unit] | None = None) -> Iterator[tuple[Unit, dict[str, Any]]]:
        """What a step says of each unit that it was done for."""
        for unit in self.units if units is None else units:
            told = read_whole(self.work.folder / step.name / f"{unit.number:05}.json")
            if told is not None:
                yield unit, told

    def decided(self, segment: Segment) -> dict[str, Any]:
        """What the comparer behind a segment found, if there is one: `counts`, and the largest `clusters`."""
        return self.work.done(f"decided{segment.number}") or {}

    def _leave_out_split_files(self, segment: Segment) -> None:
        """Where a span of a file could not be used, use no other of its spans either."""
        while True:
            failed: dict[str, str] = {}
            for _, told in self.told(segment):
                failed.update(told["failed"])
            tasks = [
                _without_files(unit, failed)
                for unit, told in self.told(segment)
                if {part.path for part in unit.parts} & failed.keys() - told["failed"].keys()
            ]
            if not tasks:
                return
            for _ in self._until_done(segment, self.executor, tasks, self.work.step(segment.name)):
                pass

    def _decide(self, segment: Segment, step: Named) -> None:
        """Let a comparer look at the keys of all units."""
        assert isinstance(step.stage, Comparer)
        numbers = [f"{unit.number:05}" for unit in self.left(segment)]
        folder, part, scratch = (self.work.folder / name for name in (f"d{segment.number}", "deciding", "scratch"))
        for path in (folder, part, scratch):
            shutil.rmtree(path, ignore_errors=True)
        part.mkdir()
        scratch.mkdir()
        keys = [self.work.folder / segment.name / f"{number}.keys.arrow" for number in numbers]
        decided = [part / f"{number}.arrow" for number in numbers]
        counts: dict[str, int] = {}
        with progress(f"comparing for {step.name}", show=self.show_progress):
            if keys:
                counts = decided_by(step, keys, decided, scratch)
        clusters = largest(keys, decided)
        shutil.rmtree(scratch, ignore_errors=True)
        part.rename(folder)
        self.work.finish(f"decided{segment.number}", {"name": step.name, "counts": counts, "clusters": clusters})


def _without_files(unit: Unit, failed: Mapping[str, str]) -> Task:
    left_out = [(piece, failed[part.path]) for piece, part in enumerate(unit.parts) if part.path in failed]
    return Task(unit, left_out=tuple(left_out))


def _unseen(units: Sequence[Unit], folder: Path) -> list[Unit]:
    """Units whose files are not there: on a network file system others' may come into sight late."""
    end = time.monotonic() + LATE
    while True:
        there = {path.name for path in folder.iterdir()}  # asks the system anew, which `exists` need not
        unseen = [unit for unit in units if f"{unit.number:05}.json" not in there]
        if not unseen or time.monotonic() > end:
            return unseen
        time.sleep(0.5)


def _title(step: Step) -> str:
    if isinstance(step, Segment):
        return "reading" if step.number == 0 else f"after {step.before.name}" if step.before else step.name
    return step.name
