"""One segment of the pipeline over one unit: read documents, take them through stages, leave them for the next step.

A pipeline is cut behind each stage that must see all documents. A segment begins with what such a stage decided of the
unit's documents, and ends with what the next such stage compares them by, or with the hashes that choose the split.

    s0/00012.arrow         the documents that are left, a record batch for each few megabytes
    s0/00012.keys.arrow    what the next comparer asks of them, a record batch for each
    s0/00012.dropped.arrow a sample of what was dropped
    s0/00012.json          counts; written last: a unit that has it is finished
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xxhash

from sensorium.data.characters import Characters
from sensorium.data.language import script
from sensorium.data.prepare.account import ledger_dict
from sensorium.data.prepare.arrow import ArrowWriter, read_arrow
from sensorium.data.prepare.chain import Books, Named, keys_of, through, timed, told
from sensorium.data.prepare.reading import PieceError, Reading, batches
from sensorium.data.prepare.units import Task, Unit, mark
from sensorium.data.prepare.work import whole
from sensorium.data.sample import Ledger
from sensorium.data.stages import TEXT, with_column
from sensorium.data.statistics import CONFIDENCE, LANGUAGE, Statistics
from sensorium.files import write_json

if TYPE_CHECKING:
    import pyarrow as pa

HASH = "sensorium_hash"
"""The column of the hashes that choose the split."""
SCRIPT = "sensorium_script"
"""The column of the script that most of a document is written in."""
_HEAD = 2000
"""Characters that tell it."""


@dataclass(frozen=True)
class Segment:
    """What is done to a unit between two stages that see all documents.

    Args:
        number: of the segment; the first reads the input.
        reading: how the input is read.
        before: the comparer whose decisions are carried out first.
        stages: mappers and filters.
        after: the comparer that comes next; None in the last segment.
        folder: the work folder.
        seed: of the hashes that choose the split.
        expected: bytes of the whole input; the larger it is, the fewer of its n-grams are counted.
    """

    number: int
    reading: Reading
    before: Named | None
    stages: tuple[Named, ...]
    after: Named | None
    folder: str
    seed: int
    expected: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"s{self.number}"

    def path(self, unit: Unit, suffix: str) -> Path:
        """A file of a unit."""
        return Path(self.folder, self.name, f"{unit.number:05}{suffix}")

    def __call__(self, task: Task) -> int:
        """Work on a unit; its number, when it is finished."""
        while True:
            try:
                self._once(task)
            except PieceError as error:
                task = task.without(error.piece, error.reason)
            else:
                return task.unit.number

    def _once(self, task: Task) -> None:
        ledger, books, last = Ledger(strict=self.reading.strict), Books(), self.after is None
        failed = self.reading.tell(ledger, task) if self.number == 0 else _tell_left_out(ledger, task)
        # Of what is read fewer n-grams will do: they show what is repeated, not what is rare.
        before, after = Statistics.empty(4 * self.expected), Statistics.empty(self.expected)
        split = _Split()
        rows = 0
        for suffix in (".arrow", ".keys.arrow", ".dropped.arrow"):
            self.path(task.unit, suffix).unlink(missing_ok=True)
        with ExitStack() as stack:
            staged = stack.enter_context(ArrowWriter(self.path(task.unit, ".arrow")))
            keys = stack.enter_context(ArrowWriter(self.path(task.unit, ".keys.arrow"), packed=False))
            for batch in self._batches(task, ledger, books):
                seen = Characters.of(batch.column(TEXT)) if self.number == 0 else None
                if seen is not None:
                    before = before.add(batch, seen)
                left = through(batch, self.stages, books)
                if not left.num_rows:
                    continue
                rows += left.num_rows
                if self.after is not None:
                    staged.write(left)
                    keys.write(keys_of(left, self.after, books))
                else:
                    hashed = _hashed(left, self.seed)
                    split.add(hashed)
                    after = after.add(_told_languages(hashed), seen if left is batch else None)
                    staged.write(hashed)
        sample = books.dropped.table()
        if sample.num_rows:
            with ArrowWriter(self.path(task.unit, ".dropped.arrow")) as writer:
                for batch in sample.to_batches():
                    writer.write(batch)
        told = {"before": before} if self.number == 0 else {}
        for when, statistics in (told | ({"after": after} if last else {})).items():
            with whole(self.path(task.unit, f".{when}")) as part:
                part.write_text(json.dumps(statistics.to_dict()), encoding="utf-8")
        write_json(
            self.path(task.unit, ".json"),
            {
                "documents": rows,
                "ledger": ledger_dict(ledger),
                "stages": [account.to_dict() for account in books.accounts.values()],
                "failed": failed,
                "reading": books.reading,
                "split": split.to_dict(),
            },
        )
        self.path(task.unit, ".at").unlink(missing_ok=True)

    def _batches(self, task: Task, ledger: Ledger, books: Books) -> Iterator[pa.RecordBatch]:
        marker = self.path(task.unit, ".at")
        if self.number == 0:
            yield from timed(batches(task, self.reading, ledger, marker), books)
            return
        assert self.before is not None
        left_out = {piece for piece, _ in task.left_out}
        staged = Path(self.folder, f"s{self.number - 1}", f"{task.unit.number:05}.arrow")
        decided = Path(self.folder, f"d{self.number - 1}", f"{task.unit.number:05}.arrow")
        for piece, (batch, decision) in enumerate(zip(read_arrow(staged), read_arrow(decided), strict=True)):
            mark(marker, piece)
            if piece not in left_out:
                yield told(batch, self.before, decision, books)


class _Split:
    """What the choice between training and validation must know of all documents together: how many each script has,
    and which hashes are the extreme ones."""

    def __init__(self) -> None:
        self.scripts: Counter[str] = Counter()
        self.lowest: list[int] | None = None
        self.highest: list[int] | None = None
        self.rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        hashes = batch.column(HASH).to_numpy()
        for row, better in ((int(hashes.argmin()), min), (int(hashes.argmax()), max)):
            # Of equal hashes the first counts, as it does among all units.
            found = [int(hashes[row]), self.rows + row]
            name = "lowest" if better is min else "highest"
            known = getattr(self, name)
            if known is None or better(known[0], found[0]) != known[0]:
                setattr(self, name, found)
        self.scripts.update(batch.column(SCRIPT).to_pylist())
        self.rows += batch.num_rows

    def to_dict(self) -> dict[str, Any]:
        return {"scripts": dict(self.scripts), "lowest": self.lowest, "highest": self.highest}


def _hashed(batch: pa.RecordBatch, seed: int) -> pa.RecordBatch:
    import pyarrow as pa

    texts = batch.column(TEXT).to_pylist()
    hashes = [xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"), seed=seed) for text in texts]
    batch = with_column(batch, HASH, pa.array(hashes, pa.uint64()))
    return with_column(batch, SCRIPT, pa.array((script(text[:_HEAD]) for text in texts), pa.string()))


def language_of(batch: pa.RecordBatch) -> list[str]:
    """The language of each document, or its script where no stage has told languages."""
    names = batch.column(LANGUAGE if LANGUAGE in batch.schema.names else SCRIPT).to_pylist()
    return [name or "other" for name in names]


def _told_languages(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with the languages as `language_of` tells them; a script is no language that anything is sure of."""
    import pyarrow as pa

    if LANGUAGE not in batch.schema.names:
        batch = with_column(batch, CONFIDENCE, pa.array([0.0] * batch.num_rows, pa.float32()))
    return with_column(batch, LANGUAGE, pa.array(language_of(batch), pa.string()))


def _tell_left_out(ledger: Ledger, task: Task) -> dict[str, str]:
    where = f"{task.unit.parts[0].path} and what follows" if len(task.unit.parts) > 1 else task.unit.parts[0].path
    for piece, reason in task.left_out:
        ledger.problem(where, f"a batch of its documents is left out: {reason} (batch {piece + 1})")
    return {}
