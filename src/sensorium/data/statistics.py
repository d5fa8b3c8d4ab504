"""What a corpus consists of: counts, languages, scripts, lengths, files, licences, commonest n-grams.

`Statistics` adds up: those of two halves merged are those of the whole, to the last number, in whatever order and
however the documents are cut into batches. They stay small whatever is counted.

    statistics = Statistics.empty(n_bytes)
    for batch in batches:
        statistics = statistics.add(batch)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sensorium.data.characters import Characters
from sensorium.data.stages import SOURCE, TEXT
from sensorium.data.tally import Tally
from sensorium.data.top_ngrams import CAPACITY, ORDERS, NgramSample
from sensorium.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

LANGUAGE, CONFIDENCE, TOKENS, LICENCE, FILE = "language", "confidence", "tokens", "licence", "file"
"""Columns that a batch may have besides the text and its source."""
OF_LANGUAGES = ("documents", "bytes", "characters", "words", "tokens", "permille")
"""What is counted of each language; the last is the sum of the confidences, in thousandths."""
OF_FILES = OF_LICENCES = ("documents", "bytes")
_LISTED = 30
_WITHIN = r"(?i)(\.(?:zip|tar|tgz|tbz2|txz|tzst|gz|zst|xz|bz2))!.*$"
_BEHIND = r"(?::\d+)?(?:#\d+)?$"
"""What stands in a source behind the file: a member of an archive; a row, a part of a text."""
EDGES = tuple(sorted({round(10 ** (fifth / 5)) for fifth in range(51)}))
"""Where the bins of lengths begin: 1, 2, 3, 4, 6, 10, 16, 25, 40, 63, 100, ... (five a decade)."""


@dataclass(frozen=True)
class Lengths:
    """A histogram in bins that widen with what they hold."""

    counts: Mapping[int, int] = field(default_factory=dict)
    """How many lie in each bin, by its lower edge; what is empty lies in 0."""

    @classmethod
    def of(cls, lengths: NDArray[np.integer[Any]]) -> Lengths:
        """Count lengths, in any unit."""
        bins = np.bincount(np.searchsorted(EDGES, lengths, "right"), minlength=1)
        return cls({(0, *EDGES)[place]: int(bins[place]) for place in np.flatnonzero(bins).tolist()})

    def merge(self, other: Lengths) -> Lengths:
        """The histogram of both."""
        return Lengths(_sums(self.counts, other.counts))

    def to_dict(self) -> dict[str, int]:
        """By lower edge."""
        return {str(edge): count for edge, count in sorted(self.counts.items())}

    @classmethod
    def from_dict(cls, value: Mapping[str, int]) -> Lengths:
        """What `to_dict` made."""
        return cls({int(edge): int(count) for edge, count in value.items()})


@dataclass(frozen=True)
class Statistics:
    """What some documents consist of. Without arguments: of none."""

    documents: int = 0
    characters: int = 0
    bytes: int = 0
    """Of UTF-8."""
    words: int = 0
    """As `sensorium.data.characters` counts them: every Chinese character is one."""
    scripts: Mapping[str, int] = field(default_factory=dict)
    """Letters of each script."""
    lengths: Lengths = field(default_factory=Lengths)
    """Of documents, in characters."""
    token_lengths: Lengths = field(default_factory=Lengths)
    """Of documents, in tokens, where they are known."""
    languages: Tally = field(default_factory=Tally)
    """`OF_LANGUAGES` by the language's code, where it is known."""
    files: Tally = field(default_factory=Tally)
    """`OF_FILES` by the file that documents came from."""
    licences: Tally = field(default_factory=Tally)
    """`OF_LICENCES` by the licence, where it is known."""
    ngrams: NgramSample = field(default_factory=NgramSample)

    @classmethod
    def empty(cls, n_bytes: int = 0) -> Statistics:
        """Of no documents, to begin with.

        Args:
            n_bytes: of the corpus to come, as far as it is known. Of a large one, n-grams are then counted in a share
                of the text from the start, where else all would be counted until they are too many.
        """
        return cls(ngrams=NgramSample(max(0, (n_bytes // (CAPACITY * 64)).bit_length())))

    @classmethod
    def of(
        cls,
        batch: pa.RecordBatch,
        *,
        level: int = 0,
        capacity: int = CAPACITY,
        characters: Characters | None = None,
    ) -> Statistics:
        """Look at a batch.

        Args:
            batch: a record batch with the columns `text` and `source`, and perhaps `language`, `confidence` (0 to 1),
                `tokens` (how many a document has), `licence` and `file` (else the source tells the file).
            level: n-grams are counted in one piece of text in 2^level, or fewer.
            capacity: distinct n-grams to hold.
            characters: of its texts, where they are known already.
        """
        import pyarrow.compute as pc

        columns, texts = set(batch.schema.names), batch.column(TEXT)
        if characters is None:
            characters = Characters.of(texts)
        words, length = characters.words, np.diff(characters.documents)
        size = pc.fill_null(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False).astype(np.int64)
        one = np.ones(len(size), np.int64)
        tokens = _whole(batch.column(TOKENS)) if TOKENS in columns else None
        sure = _whole(batch.column(CONFIDENCE), times=1000) if CONFIDENCE in columns else 1000 * one
        of_language = (one, size, length, words, one * 0 if tokens is None else tokens, sure)
        return cls(
            documents=len(size),
            characters=int(characters.documents[-1]),
            bytes=int(size.sum()),
            words=int(words.sum()),
            scripts=characters.letters,
            lengths=Lengths.of(length),
            token_lengths=Lengths() if tokens is None else Lengths.of(tokens),
            languages=Tally.of(batch.column(LANGUAGE), of_language) if LANGUAGE in columns else Tally(),
            files=Tally.of(_files(batch), (one, size)),
            licences=Tally.of(batch.column(LICENCE), (one, size)) if LICENCE in columns else Tally(),
            ngrams=NgramSample.of(characters, batch.column(SOURCE), level=level, capacity=capacity),
        )

    def merge(self, other: Statistics) -> Statistics:
        """Of the documents of both."""
        return Statistics(
            documents=self.documents + other.documents,
            characters=self.characters + other.characters,
            bytes=self.bytes + other.bytes,
            words=self.words + other.words,
            scripts=_sums(self.scripts, other.scripts),
            lengths=self.lengths.merge(other.lengths),
            token_lengths=self.token_lengths.merge(other.token_lengths),
            languages=self.languages.merge(other.languages),
            files=self.files.merge(other.files),
            licences=self.licences.merge(other.licences),
            ngrams=self.ngrams.merge(other.ngrams),
        )

    def add(self, batch: pa.RecordBatch, characters: Characters | None = None) -> Statistics:
        """Of these documents and a batch more: what `merge` of its own would give, sooner.

        Args:
            batch: as for `of`.
            characters: of its texts, where they are known already.
        """
        level, capacity = self.ngrams.level, self.ngrams.capacity
        return self.merge(Statistics.of(batch, level=level, capacity=capacity, characters=characters))

    def summary(self) -> dict[str, Any]:
        """What a report shows, as plain values."""
        best = {
            str(order): [[ngram.text, ngram.count, ngram.error] for ngram in self.ngrams.top(order, _LISTED)]
            for order in ORDERS
        }
        return {**self._counts(), "ngrams": {"share": round(self.ngrams.share, 6), **best}}

    def _counts(self) -> dict[str, Any]:
        return {
            "documents": self.documents,
            "characters": self.characters,
            "bytes": self.bytes,
            "words": self.words,
            "scripts": dict(sorted(self.scripts.items())),
            "lengths": self.lengths.to_dict(),
            "token_lengths": self.token_lengths.to_dict(),
            "languages": self.languages.to_dict(OF_LANGUAGES),
            "files": self.files.to_dict(OF_FILES),
            "licences": self.licences.to_dict(OF_LICENCES),
        }

    def to_dict(self) -> dict[str, Any]:
        """All there is, to be merged later; the n-grams held make it some megabytes at most."""
        return {**self._counts(), "sample": self.ngrams.to_dict()}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Statistics:
        """What `to_dict` made.

        Raises:
            DataError: it is a mere summary, or something else.
        """
        try:
            return cls(
                **{name: int(value[name]) for name in ("documents", "characters", "bytes", "words")},
                scripts={name: int(count) for name, count in value["scripts"].items()},
                lengths=Lengths.from_dict(value["lengths"]),
                token_lengths=Lengths.from_dict(value["token_lengths"]),
                languages=Tally.from_dict(value["languages"], OF_LANGUAGES),
                files=Tally.from_dict(value["files"], OF_FILES),
                licences=Tally.from_dict(value["licences"], OF_LICENCES),
                ngrams=NgramSample.from_dict(value["sample"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"these are no whole statistics: {error!r}", fix="Count them again") from error


def _files(batch: pa.RecordBatch) -> pa.Array:
    """The file of each document."""
    import pyarrow.compute as pc

    if FILE in batch.schema.names:
        return batch.column(FILE)
    archives = pc.replace_substring_regex(batch.column(SOURCE), _WITHIN, r"\1")
    return pc.replace_substring_regex(archives, _BEHIND, "", max_replacements=1)


def _whole(values: pa.Array, times: int = 1) -> NDArray[np.int64]:
    """Numbers of a column, rounded; null counts as 0."""
    import pyarrow as pa
    import pyarrow.compute as pc

    numbers = np.asarray(pc.fill_null(values.cast(pa.float64()), 0), np.float64)
    return np.rint(times * numbers).astype(np.int64)


def _sums(ours: Mapping[Any, int], theirs: Mapping[Any, int]) -> dict[Any, int]:
    return dict(sorted((Counter(ours) + Counter(theirs)).items()))
