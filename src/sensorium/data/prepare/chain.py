"""One batch of documents through a list of stages, with an account of each stage.

What a stage answers is held to its contract: a stage of the user's that loses a row or raises is named, with the
document that it stumbled over.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sensorium.data.prepare.account import StageAccount
from sensorium.data.prepare.dropped import DroppedSample
from sensorium.data.stages import SOURCE, TEXT, Comparer, Filter, Judged, Mapped, Mapper
from sensorium.errors import InputError, SensoriumError

if TYPE_CHECKING:
    import pyarrow as pa

Answer = TypeVar("Answer")


class StageError(SensoriumError):
    """A stage of a pipeline failed, or answered what a stage may not answer."""


@dataclass(frozen=True)
class Named:
    """A stage under a name that no other stage of the list has."""

    name: str
    stage: Mapper | Filter | Comparer


def named(stages: Sequence[object]) -> list[Named]:
    """The stages, each under a name of its own: a second `where` becomes `where 2`.

    Raises:
        InputError: what stands in the list is no stage.
    """
    seen: dict[str, int] = {}
    result = []
    for place, given in enumerate(stages, start=1):
        stage = _stage(given, place)
        seen[stage.name] = seen.get(stage.name, 0) + 1
        result.append(Named(stage.name if seen[stage.name] == 1 else f"{stage.name} {seen[stage.name]}", stage))
    return result


def _stage(stage: object, place: int) -> Mapper | Filter | Comparer:
    if isinstance(stage, type):
        raise InputError(f"stage {place} of the list is the class {stage.__name__}", fix=f"Write {stage.__name__}(...)")
    if isinstance(stage, Mapper | Filter | Comparer):
        return stage
    if callable(stage):
        called = getattr(stage, "__name__", None) or type(stage).__name__
        raise InputError(
            f"stage {place} of the list, {called!r}, is a plain function",
            fix="Wrap it in Where, to keep the texts for which it is true, or in Each, to change texts",
        )
    raise InputError(
        f"stage {place} of the list is no stage: {type(stage).__name__}",
        fix="A stage has a name, and either map, or judge, or keys, decide and apply: see sensorium.data.stages",
    )


@dataclass
class Books:
    """Where a unit's accounts are kept."""

    accounts: dict[str, StageAccount] = field(default_factory=dict)
    dropped: DroppedSample = field(default_factory=DroppedSample)
    reading: float = 0.0
    """Seconds that documents took to come."""

    def of(self, name: str) -> StageAccount:
        """The account of a stage."""
        return self.accounts.setdefault(name, StageAccount(name))


def through(batch: pa.RecordBatch, stages: Sequence[Named], books: Books) -> pa.RecordBatch:
    """What the mappers and filters leave of a batch."""
    for step in stages:
        if not batch.num_rows:
            break
        account, stage = books.of(step.name), step.stage
        begun = _enter(account, batch)
        if isinstance(stage, Mapper):
            mapped = asked(step.name, stage.map, batch)
            batch = _checked(step.name, batch, mapped, Mapped).batch
            account.counts.update(mapped.counts)
        else:
            assert isinstance(stage, Filter)
            batch = _drop(batch, asked(step.name, stage.judge, batch), step.name, account, books.dropped)
        _leave(account, batch, begun)
    return batch


def told(batch: pa.RecordBatch, step: Named, decided: pa.RecordBatch, books: Books) -> pa.RecordBatch:
    """What a comparer leaves of a batch."""
    account, stage = books.of(step.name), step.stage
    assert isinstance(stage, Comparer)
    begun = _enter(account, batch)
    judged = _checked(step.name, batch, asked(step.name, lambda b: stage.apply(b, decided), batch, retry=False), Judged)
    account.counts.update(judged.counts)
    # What is dropped is shown as it came, not with the parts taken out that it is dropped for.
    batch = _drop(judged.batch, judged.reasons, step.name, account, books.dropped, shown=batch)
    _leave(account, batch, begun)
    return batch


def keys_of(batch: pa.RecordBatch, step: Named, books: Books) -> pa.RecordBatch:
    """What a comparer compares the documents by."""
    stage, begun = step.stage, time.perf_counter()
    assert isinstance(stage, Comparer)
    keys = asked(step.name, stage.keys, batch)
    books.of(step.name).seconds += time.perf_counter() - begun
    return keys


def timed(batches: Iterator[pa.RecordBatch], books: Books) -> Iterator[pa.RecordBatch]:
    """The batches; how long they take to come is put into the books."""
    while True:
        begun = time.perf_counter()
        batch = next(batches, None)
        books.reading += time.perf_counter() - begun
        if batch is None:
            return
        yield batch


def text_bytes(batch: pa.RecordBatch) -> int:
    """UTF-8 bytes of the texts."""
    import pyarrow.compute as pc

    return int(pc.sum(pc.binary_length(batch.column(TEXT))).as_py() or 0)


def asked(name: str, ask: Callable[[pa.RecordBatch], Answer], batch: pa.RecordBatch, *, retry: bool = True) -> Answer:
    """A stage's answer.

    Raises:
        StageError: it raises, with the first document that it raises at alone.
    """
    try:
        return ask(batch)
    except SensoriumError:
        raise
    except Exception as error:
        if _of_the_machine(error):
            raise
        found = _culprit(ask, batch) if retry else None
        at, cause = found or (0, error)
        sources = batch.column(SOURCE)
        first = str(sources[at])
        where = first if found or batch.num_rows == 1 else f"{first} to {sources[batch.num_rows - 1]}"
        raise _failed(name, cause, where) from error


def decided_by(step: Named, keys: Sequence[Path], out: Sequence[Path], scratch: Path) -> dict[str, int]:
    """What a comparer found in all keys, as its `decide` tells it.

    Raises:
        StageError: it raises.
    """
    stage = step.stage
    assert isinstance(stage, Comparer)
    try:
        return dict(stage.decide(keys, out, scratch))
    except SensoriumError:
        raise
    except Exception as error:
        if _of_the_machine(error):
            raise
        raise _failed(step.name, error, f"comparing {len(keys)} files of keys") from error


def _failed(name: str, cause: Exception, where: str) -> StageError:
    return StageError(
        f"the stage {name!r} failed with {type(cause).__name__}: {cause}",
        where=where,
        fix="Mend the stage, or leave it out",
    )


def _of_the_machine(error: Exception) -> bool:
    """Whether there is no memory or no room on the disk, which no stage is to blame for."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    return full or isinstance(error, MemoryError)


def _culprit(ask: Callable[[pa.RecordBatch], Any], batch: pa.RecordBatch) -> tuple[int, Exception] | None:
    for row in range(batch.num_rows):
        try:
            ask(batch.slice(row, 1))
        except Exception as error:  # noqa: BLE001 - it is what the caller tells
            return row, error
    return None


def _enter(account: StageAccount, batch: pa.RecordBatch) -> float:
    account.documents_in += batch.num_rows
    account.bytes_in += text_bytes(batch)
    return time.perf_counter()


def _leave(account: StageAccount, batch: pa.RecordBatch, begun: float) -> None:
    account.seconds += time.perf_counter() - begun
    account.documents_out += batch.num_rows
    account.bytes_out += text_bytes(batch)


def _checked(name: str, batch: pa.RecordBatch, answer: Any, kind: type[Any]) -> Any:
    problem = None
    if not isinstance(answer, kind):
        problem = f"answered with {type(answer).__name__}, not {kind.__name__}"
    elif answer.batch.num_rows != batch.num_rows:
        problem = f"made {answer.batch.num_rows} documents of {batch.num_rows}"
    elif not {TEXT, SOURCE} <= set(answer.batch.schema.names):
        problem = f"lost the column {TEXT!r} or {SOURCE!r}"
    elif answer.batch.column(TEXT).null_count:
        problem = "left a document without a text"
    if problem:
        raise StageError(f"the stage {name!r} {problem}", where=str(batch.column(SOURCE)[0]), fix="Mend the stage")
    return answer


def _drop(
    batch: pa.RecordBatch,
    reasons: Any,
    name: str,
    account: StageAccount,
    sample: DroppedSample,
    *,
    shown: pa.RecordBatch | None = None,
) -> pa.RecordBatch:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not isinstance(reasons, pa.Array) or len(reasons) != batch.num_rows:
        got = f"{len(reasons)} reasons" if isinstance(reasons, pa.Array) else type(reasons).__name__
        raise StageError(
            f"the stage {name!r} answered with {got} for {batch.num_rows} documents",
            where=str(batch.column(SOURCE)[0]),
            fix="A filter answers with an Arrow array of a reason, or null, for each document",
        )
    if reasons.null_count == len(reasons):
        return batch
    kept = reasons.is_null()
    gone = pc.invert(kept)
    lost = (batch if shown is None else shown).filter(gone)
    texts, sources = lost.column(TEXT), lost.column(SOURCE)
    for row, reason in enumerate(reasons.filter(gone).cast(pa.string()).to_pylist()):
        account.drop(sample.add(name, reason, sources[row].as_py(), texts[row].as_py()))
    return batch.filter(kept)
