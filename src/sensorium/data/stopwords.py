"""Stop words out: the content words of each document, in a column beside its text.

For statistics, retrieval and classic baselines. The text that a language model is trained on keeps all its words:
a model that never sees "not", "the" and "of" learns neither grammar nor what is denied, and cannot write a sentence.
So this stage adds a column and leaves the text as it is, and no pipeline has it unless it is put there.

The lists are stopwords-iso's (57 languages, from the package `stopwordsiso`), or one's own.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from sensorium.data.stages import TEXT, Mapped, with_column
from sensorium.data.words import words
from sensorium.errors import InputError, require, unknown
from sensorium.files import StrPath, read_errors

if TYPE_CHECKING:
    import pyarrow as pa

CONTENT_WORDS = "content_words"
"""The column that is added: words in small letters, with a space between."""


def stop_words(language: str) -> frozenset[str]:
    """The stop words of a language, in small letters.

    Args:
        language: a code of ISO 639-1; a region or script after it is left aside.

    Raises:
        CapabilityError: the lists are not installed.
        InputError: there is no list for the language.
    """
    known = _all_lists()
    code = language.partition("-")[0].lower()
    if code not in known:
        raise InputError(unknown("language with stop words", language, known), fix="Give a file with a word a line")
    return known[code]


def languages() -> tuple[str, ...]:
    """The languages that have a list."""
    return tuple(sorted(_all_lists()))


@lru_cache(maxsize=1)
def _all_lists() -> dict[str, frozenset[str]]:
    package = require("stopwordsiso", extra="prepare", purpose="removing stop words")
    return {code: frozenset(map(_folded, package.stopwords(code))) for code in package.langs()}


def read_stop_words(path: StrPath) -> frozenset[str]:
    """The stop words of a file: UTF-8, a word a line; what follows a `#` is a remark.

    Raises:
        InputError: the file cannot be read, is no UTF-8, or holds no word.
    """
    return _read_list(os.fspath(path))


@lru_cache(maxsize=8)
def _read_list(path: str) -> frozenset[str]:
    try:
        with read_errors(path):
            lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8: {error}", where=path, fix="Save the list as UTF-8") from error
    found = frozenset(word for line in lines if (word := _folded(line.partition("#")[0].strip())))
    if not found:
        raise InputError("no stop word in it", where=path, fix="Put one word a line")
    return found


def content_words(text: str, language: str | None, *, without: Collection[str] | None = None) -> list[str]:
    """The words of a text but its stop words, in small letters.

    Args:
        text: any text.
        language: its code; None or one without a list leaves all words.
        without: stop words of one's own, instead of the language's.
    """
    if without is None:
        without = _list_or_none(language)
    return [word for word in map(_folded, words(text, language)) if word not in without]


def _list_or_none(language: str | None) -> frozenset[str]:
    code = (language or "").partition("-")[0].lower()
    return _all_lists().get(code, frozenset())


def _folded(word: str) -> str:
    """In small letters, with a straight apostrophe: don’t is don't."""
    return word.lower().replace("’", "'")


@dataclass(frozen=True, kw_only=True)
class StopWords:
    """Adds the column `content_words`: the words of each text that are no stop words, joined by spaces.

    Args:
        language: of all texts. None takes each one's own from the column `language` (see `Identify`).
        files: lists of one's own, instead of the language's: UTF-8, a word a line.
    """

    language: str | None = None
    files: Sequence[StrPath] = ()
    name: str = "stop words"

    def __post_init__(self) -> None:
        if self.language is not None and not self.files:
            stop_words(self.language)
        for path in self.files:
            read_stop_words(path)

    def map(self, batch: pa.RecordBatch) -> Mapped:
        """The batch with the column.

        Raises:
            InputError: neither a language nor lists are given, and the batch has no column `language`.
        """
        import pyarrow as pa

        texts: list[str] = batch.column(TEXT).to_pylist()
        spoken: list[str | None]
        if self.language is not None or (self.files and "language" not in batch.schema.names):
            spoken = [self.language] * len(texts)
        elif "language" in batch.schema.names:
            spoken = batch.column("language").to_pylist()
        else:
            raise InputError(
                "the stage 'stop words' does not know the language of the texts",
                fix="Put the stage Identify before it, or give it a language",
            )
        own = frozenset().union(*map(read_stop_words, self.files)) if self.files else None
        kept = [content_words(text, code, without=own) for text, code in zip(texts, spoken, strict=True)]
        added = with_column(batch, CONTENT_WORDS, pa.array([" ".join(found) for found in kept], pa.large_string()))
        return Mapped(added, {"content words": sum(map(len, kept))})
