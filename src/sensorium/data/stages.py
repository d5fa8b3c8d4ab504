"""What a stage of `prepare` is: a typed object that is handed documents a batch at a time.

Documents travel as Arrow record batches with the columns `text` and `source`, to which a stage may add others. A list
of stages is the pipeline: its order is the order of the list, and anything that has one of the three shapes below may
stand in it, a user's own class included. Stages are plain values: they are sent to the processes that run them, and
their `repr` is part of what tells one run from another.

* A `Mapper` changes documents.
* A `Filter` says of each document why it is dropped, or nothing.
* A `Comparer` needs to see all documents before it can judge one: it says of each what others are compared with
  (`keys`), all keys are looked at together (`decide`, out of core), and each batch is then told what became of its own.
  Everything before it in the list is done by then for every document.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import pyarrow as pa

TEXT, SOURCE = "text", "source"
"""The columns that every batch has: a document, and the file and row that it came from."""


@dataclass(frozen=True, eq=False)
class Mapped:
    """What a mapper made of a batch."""

    batch: pa.RecordBatch
    counts: Mapping[str, int] = field(default_factory=dict)
    """What was done how often ("e-mail addresses masked": 12), for the report."""


@dataclass(frozen=True, eq=False)
class Judged:
    """What a comparer made of a batch."""

    batch: pa.RecordBatch
    """As it was, or with texts of which parts were taken out; as many rows as were handed in."""
    reasons: pa.Array
    """String, of each document: why it is dropped, or null."""
    counts: Mapping[str, int] = field(default_factory=dict)


@runtime_checkable
class Mapper(Protocol):
    """Changes documents; each row becomes one row."""

    @property
    def name(self) -> str:
        """Of the stage, in reports."""

    def map(self, batch: pa.RecordBatch) -> Mapped:
        """The changed documents, in the same order."""


@runtime_checkable
class Filter(Protocol):
    """Drops documents."""

    @property
    def name(self) -> str:
        """Of the stage, in reports."""

    def judge(self, batch: pa.RecordBatch) -> pa.Array:
        """A string array: of each document the rule that drops it and what it measured ("gopher: 31 words, fewer than
        50"), or null to keep it. What stands before the first ": " or "," is what reports count by."""


@runtime_checkable
class Comparer(Protocol):
    """Drops documents, or parts of them, in view of all others."""

    @property
    def name(self) -> str:
        """Of the stage, in reports."""

    def keys(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """What the documents are compared by, in columns of fixed width: one row a document, or one a part of it, then
        with a column that says which row of the batch it is of. The texts themselves are not seen by `decide`."""

    def decide(self, keys: Sequence[Path], out: Sequence[Path], scratch: Path) -> Mapping[str, int]:
        """Look at all keys together.

        Args:
            keys: Arrow IPC files, one a unit of the input, in the order of the documents, with what `keys` made of its
                batches, a record batch for each.
            out: where to write, for each of these files, an Arrow IPC file with one record batch for each of its
                record batches: what `apply` is handed.
            scratch: an empty folder for what does not fit in memory; removed afterwards.

        Returns:
            What was found how often ("clusters": 12), for the report.
        """

    def apply(self, batch: pa.RecordBatch, decided: pa.RecordBatch) -> Judged:
        """Tell a batch what was decided of it."""


Stage = Mapper | Filter | Comparer


@dataclass(frozen=True)
class Where:
    """A filter of one's own: keeps the documents whose text fulfils a condition.

    Args:
        keeps: a function of a text; at the top level of a module, so that other processes can import it.
        name: of the stage, in reports.
    """

    keeps: Callable[[str], bool]
    name: str = "where"

    def judge(self, batch: pa.RecordBatch) -> pa.Array:
        """Which texts do not fulfil it."""
        import pyarrow as pa

        reason = f"not {_called(self.keeps)}"
        reasons = [None if self.keeps(text) else reason for text in batch.column(TEXT).to_pylist()]
        return pa.array(reasons, pa.string())


@dataclass(frozen=True)
class Each:
    """A mapper of one's own: changes each text.

    Args:
        change: a function from a text to a text; at the top level of a module.
        name: of the stage, in reports.
    """

    change: Callable[[str], str]
    name: str = "each"

    def map(self, batch: pa.RecordBatch) -> Mapped:
        """The changed texts."""
        return Mapped(with_texts(batch, [self.change(text) for text in batch.column(TEXT).to_pylist()]))


def _called(function: Callable[[str], object]) -> str:
    """What a function is called; what has no name of its own, by its kind: a `repr` would show an address."""
    inner = function.func if isinstance(function, partial) else function
    return str(getattr(inner, "__name__", None) or type(inner).__name__)


def documents(texts: Sequence[str], sources: Sequence[str]) -> pa.RecordBatch:
    """A batch of documents.

    Args:
        texts: one a document.
        sources: where each came from.
    """
    import pyarrow as pa

    return pa.record_batch({TEXT: pa.array(texts, pa.large_string()), SOURCE: pa.array(sources, pa.string())})


def with_texts(batch: pa.RecordBatch, texts: Sequence[str]) -> pa.RecordBatch:
    """The batch with other texts, in the same order."""
    import pyarrow as pa

    return with_column(batch, TEXT, pa.array(texts, pa.large_string()))


def with_column(batch: pa.RecordBatch, name: str, values: pa.Array) -> pa.RecordBatch:
    """The batch with a column more, or with another in its place."""
    place = batch.schema.get_field_index(name)
    if place < 0:
        return batch.append_column(name, values)
    return batch.set_column(place, name, values)


def neighbours(texts: Sequence[str], characters: int) -> Iterator[Sequence[str]]:
    """Texts that follow each other, in groups of together about so many characters."""
    start = size = 0
    for place, text in enumerate(texts):
        size += len(text)
        if size >= characters:
            yield texts[start : place + 1]
            start, size = place + 1, 0
    if start < len(texts):
        yield texts[start:]
