"""Several filters of quality as one stage, which looks at the words of each document once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from sensorium.data.quality.verdicts import judged
from sensorium.data.quality.words import Words

if TYPE_CHECKING:
    import pyarrow as pa


@runtime_checkable
class WordFilter(Protocol):
    """A filter that needs nothing but words: `Gopher`, `FineWeb`, `C4Documents`, or one's own."""

    def reasons(self, words: Words, languages: list[str]) -> list[str | None]:
        """Of each document why it is dropped.

        Args:
            words: of some documents.
            languages: by whose limits each is judged: `english`, `chinese` or `elsewhere`.
        """


@dataclass(frozen=True)
class Together:
    """Drops what any of its filters drops; the first that does gives the reason.

    Args:
        filters: in order.
        name: of the stage.
    """

    filters: Sequence[WordFilter]
    name: str = field(default="quality")

    def judge(self, batch: pa.RecordBatch) -> pa.Array:
        """Of each document the first rule that it breaks, or null."""
        return judged(batch, self._reasons)

    def _reasons(self, words: Words, languages: list[str]) -> list[str | None]:
        first: list[str | None] = [None] * len(words)
        for rules in self.filters:
            first = [one or other for one, other in zip(first, rules.reasons(words, languages), strict=True)]
        return first
