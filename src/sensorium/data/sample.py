"""The records that travel through `prepare`, and the ledger of what was dropped on the way."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from sensorium.errors import DataError


@dataclass(frozen=True, slots=True)
class Sample:
    """A document."""

    text: str
    source: str
    """File and row that it came from."""
    meta: dict[str, str] = field(default_factory=dict)
    """What its file says of it besides: `url`, `title`, `language`, `licence`, `date`, where it says so."""


@dataclass(frozen=True, slots=True)
class Translations:
    """One text in two or more languages."""

    texts: dict[str, str]
    """By language code; a language that has no text here is absent."""
    source: str
    """File and row that it came from."""
    group: str | None = None
    """The document or package that it belongs to, if that is known."""


@dataclass
class Ledger:
    """What came in, what was dropped and why.

    Args:
        strict: raise at the first unusable file or row instead of counting it.
    """

    strict: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    problems: list[dict[str, str]] = field(default_factory=list)
    files: list[dict[str, object]] = field(default_factory=list)

    LISTED = 1000
    """Problems listed by name; more are only counted."""

    def count(self, what: str, amount: int = 1) -> None:
        self.counts[what] += amount

    def drop(self, reason: str) -> None:
        """Count a document that a filter refused."""
        self.dropped[reason] += 1

    def problem(self, where: str, reason: str, fix: str = "Mend or remove it, or run without --strict") -> None:
        """Count and list an unusable file or row.

        Raises:
            DataError: in strict mode.
        """
        if self.strict:
            raise DataError(reason, where=where, fix=fix)
        self.counts["problems"] += 1
        if len(self.problems) < self.LISTED:
            self.problems.append({"where": where, "reason": reason})

    def merge(self, other: Ledger) -> None:
        """Add what another one has."""
        self.counts.update(other.counts)
        self.dropped.update(other.dropped)
        self.problems += other.problems[: max(self.LISTED - len(self.problems), 0)]
        self.files += other.files
