"""Equal paragraphs and lines: what occurred before, anywhere, is taken out of a text.

As CCNet (Wenzek et al. 2020) does for paragraphs. A page's navigation, a licence, a forwarded mail go at their second
occurrence; the document loses them, and is dropped if little else is left. What the dropped document said first is
taken out of later ones all the same, as it is when a later stage drops the first: the price of seeing each text once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from sensorium.data.dedup.exact import HASH, MEMORY, check_rows, first_equals, folded, hash_column, texts_of
from sensorium.data.dedup.keyfiles import KeyFiles, marked
from sensorium.data.stages import Judged, with_texts
from sensorium.errors import ConfigError

SEEN = "seen"
ROW = "row"


@dataclass(frozen=True, kw_only=True)
class SameLines:
    """Takes lines out of texts that occurred before in any text.

    Args:
        shortest: bytes of the shortest line that is compared, of those that are left without case and superfluous
            white space. Bytes of UTF-8, so that a Chinese character weighs as three Latin letters.
        most: share of a document's characters that may go; beyond it, or if nothing is left, the document is dropped.
        against: key files of earlier corpora, whose lines count as earlier than all.
        memory: bytes that `decide` keeps to, beside a few batches of keys.
        name: of the stage, in reports.

    Raises:
        ConfigError: a number is out of range.
    """

    shortest: int = 60
    most: float = 0.5
    against: tuple[Path, ...] = ()
    memory: int = field(default=MEMORY, repr=False)
    name: str = "same lines"

    _between = re.compile(r"(\n)")
    _kind = "lines"

    def __post_init__(self) -> None:
        if self.shortest < 1 or not 0 <= self.most <= 1:
            raise ConfigError(
                f"shortest is {self.shortest} and most is {self.most}",
                where=self.name,
                fix="shortest must be at least 1, and most a share between 0 and 1",
            )

    @property
    def _made_by(self) -> str:
        return f"same {self._kind}, 1, shortest={self.shortest}"

    def keys(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """A hash of each part that is long enough, and the row that it is of."""
        rows, hashed = [], []
        for row, text in enumerate(texts_of(batch)):
            for _, part in self._compared(self._between.split(text)):
                rows.append(row)
                hashed.append(part)
        return marked({HASH: hash_column(hashed), ROW: pa.array(rows, pa.uint32())}, self._made_by)

    def _compared(self, pieces: Sequence[str]) -> Iterable[tuple[int, str]]:
        """The parts among pieces that are long enough, folded; between two parts stands what separates them."""
        for at in range(0, len(pieces), 2):
            part = folded(pieces[at])
            if len(part) >= self.shortest or (not part.isascii() and len(part.encode()) >= self.shortest):
                yield at, part

    def decide(self, keys: Sequence[Path], out: Sequence[Path], scratch: Path) -> Mapping[str, int]:
        """Of each part, whether it occurred before."""
        files = KeyFiles(self.against, keys, self._made_by)
        found = first_equals(files, files, scratch, self.memory)
        repeated = 0

        def decided(start: int, stop: int) -> dict[str, pa.Array]:
            nonlocal repeated
            seen = found.read(start, stop) >= 0
            repeated += int(np.count_nonzero(seen))
            return {SEEN: pa.array(seen)}

        files.write(out, pa.schema([(SEEN, pa.bool_())]), decided)
        return {f"{self._kind} compared": files.rows - files.earlier, f"{self._kind} seen before": repeated}

    def apply(self, batch: pa.RecordBatch, decided: pa.RecordBatch) -> Judged:
        """Take out the parts that occurred before; drop the documents of which too little is left."""
        seen = iter(decided.column(SEEN).to_pylist())
        texts, reasons, compared, taken = texts_of(batch), list[str | None](), 0, 0
        for row, text in enumerate(texts):
            pieces = self._between.split(text)
            gone = set()
            for at, _ in self._compared(pieces):
                compared += 1
                if next(seen, False):
                    gone.add(at)
            whole, left = _characters(pieces, ()), _characters(pieces, gone)
            if gone and (not left or whole - left > self.most * whole):
                reasons.append(f"{self._kind} seen before: {(whole - left) / whole:.0%} of the text")
                continue
            reasons.append(None)
            if gone:
                taken += len(gone)
                texts[row] = _without(pieces, gone)
        check_rows(compared, decided)
        changed = with_texts(batch, texts) if taken else batch
        return Judged(changed, pa.array(reasons, pa.string()), {f"{self._kind} taken out": taken} if taken else {})


@dataclass(frozen=True, kw_only=True)
class SameParagraphs(SameLines):
    """Takes paragraphs out of texts that occurred before in any text; blank lines stand between paragraphs.

    The arguments are those of `SameLines`, with paragraph for line.
    """

    shortest: int = 120
    name: str = "same paragraphs"

    _between = re.compile(r"(\n\s*\n)")
    _kind = "paragraphs"


def _characters(pieces: Sequence[str], gone: Iterable[int]) -> int:
    """How many characters the parts have but for some, without the white space around them."""
    return sum(len(pieces[at].strip()) for at in range(0, len(pieces), 2) if at not in gone)


def _without(pieces: Sequence[str], gone: Iterable[int]) -> str:
    """The parts but for some, each with what separates it from the next; no separator is left over at the end."""
    last = len(pieces) - 1
    kept = [at for at in range(0, len(pieces), 2) if at not in gone]
    text = "".join(pieces[at] + (pieces[at + 1] if at < last else "") for at in kept)
    return text if kept[-1] == last else text[: len(text) - len(pieces[kept[-1] + 1])]
