"""Labelled examples as arrays: tokenised once, in memory, without special tokens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sensorium.data.labelled.classes import Labelled
from sensorium.data.labelled.tags import Tagged
from sensorium.data.labelled.words import spaced
from sensorium.data.ragged import Ragged, fingerprint
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import DataError

_AT_A_TIME = 1000
"""Texts whose offsets and words, which take far more room than their ids, are held at one time."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Examples(ABC):
    """Examples, and how large each one is.

    Args:
        sizes: tokens of each.
        sizes_in_bytes: UTF-8 bytes of each one's text.
    """

    sizes: NDArray[np.int64]
    sizes_in_bytes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def n_tokens(self) -> int:
        return int(self.sizes.sum())

    @property
    def n_bytes(self) -> int:
        return int(self.sizes_in_bytes.sum())

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Tells examples apart, by all that they hold."""

    def head(self, tokens: int) -> Examples:
        """The first of them, up to a number of tokens; at least one."""
        return self.first(max(1, int((np.cumsum(self.sizes) <= tokens).sum())))

    def first(self, count: int) -> Examples:
        """The first of them, so many."""
        return replace(self, sizes=self.sizes[:count], sizes_in_bytes=self.sizes_in_bytes[:count])


@dataclass(frozen=True, eq=False, kw_only=True)
class ClassExamples(Examples):
    """Texts, or pairs of texts, with their classes."""

    texts: tuple[Ragged, ...]
    """Token ids: of the texts, and of what they are paired with."""
    classes: NDArray[np.int64]

    @classmethod
    def of(cls, rows: Sequence[Labelled], tokenizer: Tokenizer, labels: Sequence[str]) -> ClassExamples:
        """Tokenise rows.

        Raises:
            DataError: a row's label is none of `labels`, or some rows have a second text and others not.
        """
        number = {label: i for i, label in enumerate(labels)}
        for row in rows:
            if row.label not in number:
                raise DataError(
                    f"the label {row.label!r} is none of the training data's ({', '.join(labels[:20])})",
                    where=row.source,
                    fix="Remove the row, or add examples of it to the training data",
                )
        seconds = [row.pair for row in rows if row.pair is not None]
        if seconds and len(seconds) < len(rows):
            raise DataError("some rows have a second text and others not", fix="Name the columns with --columns")
        texts = [[row.text for row in rows], *([seconds] if seconds else [])]
        encoded = tuple(Ragged.of(tokenizer.encode_raw(side)) for side in texts)
        return cls(
            texts=encoded,
            classes=np.array([number[row.label] for row in rows], dtype=np.int64),
            sizes=np.sum([side.lengths for side in encoded], axis=0, dtype=np.int64),
            sizes_in_bytes=np.sum([[_bytes(text) for text in side] for side in texts], axis=0, dtype=np.int64),
        )

    @property
    def fingerprint(self) -> str:
        return fingerprint((*self.texts, self.classes))


@dataclass(frozen=True, eq=False, kw_only=True)
class TagExamples(Examples):
    """Sentences whose words have tags."""

    ids: Ragged
    words: Ragged
    """Place of each word's first token in its sentence; of words that have one."""
    tags: Ragged
    """Of those words."""
    untagged: int
    """Words that are nothing to the tokenizer, and are left out."""

    @classmethod
    def of(cls, sentences: Sequence[Tagged], tokenizer: Tokenizer, labels: Sequence[str]) -> TagExamples:
        """Tokenise sentences, word by word.

        Raises:
            DataError: a tag is none of `labels`.
        """
        number = {label: i for i, label in enumerate(labels)}
        ids, words, tags, untagged = list[Sequence[int]](), list[list[int]](), list[list[int]](), 0
        for start in range(0, len(sentences), _AT_A_TIME):
            part = sentences[start : start + _AT_A_TIME]
            encodings = tokenizer.encodings_raw([spaced(sentence.words) for sentence in part])
            for sentence, encoding in zip(part, encodings, strict=True):
                places = dict[int, int]()
                for place, word in enumerate(encoding.word_ids):
                    if word is not None:
                        places.setdefault(word, place)
                unknown = next((tag for tag in sentence.tags if tag not in number), None)
                if unknown is not None:
                    raise DataError(
                        f"the tag {unknown!r} is none of the training data's ({', '.join(labels[:20])})",
                        where=sentence.source,
                        fix="Mend it, or add sentences with it to the training data",
                    )
                ids.append(encoding.ids)
                words.append(list(places.values()))
                tags.append([number[sentence.tags[word]] for word in places])
                untagged += len(sentence.words) - len(places)
        encoded = Ragged.of(ids)
        return cls(
            ids=encoded,
            words=Ragged.of(words),
            tags=Ragged.of(tags),
            untagged=untagged,
            sizes=encoded.lengths,
            sizes_in_bytes=np.array([_bytes("".join(spaced(s.words))) for s in sentences], dtype=np.int64),
        )

    @property
    def fingerprint(self) -> str:
        return fingerprint((self.ids, self.words, self.tags))


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))
