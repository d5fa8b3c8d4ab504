"""The characters, words and scripts of a whole batch of texts at once, by arithmetic on code points.

A word is a run of letters, marks and digits, with apostrophes inside it ("don't"). Scripts that put no spaces between
words (Chinese, Japanese, Thai, Lao, Khmer, Burmese, Tibetan) count by the letter: every Han character is a word. That
is coarser than Unicode's word break (UAX 29) with a dictionary, and fifty times faster; it is for counting, and the
same for every corpus. Each code point has a class in one table, so a batch costs a few passes of numpy over its
characters and no loop over its rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

Offsets = NDArray[np.int64]
_APOSTROPHE, _MARK, _NUMBER, _LETTER = 1, 2, 3, 4
"""Classes of code points; 0 is all that is no part of a word. Those of scripts follow."""
SPACED = (
    "Latin", "Cyrillic", "Greek", "Arabic", "Hebrew", "Armenian", "Georgian", "Ethiopic", "Hangul", "Devanagari",
    "Bengali", "Gurmukhi", "Gujarati", "Oriya", "Tamil", "Telugu", "Kannada", "Malayalam", "Sinhala", "Mongolian",
)  # fmt: skip
"""Scripts that put something between words; the letters of others that do count as "Other"."""
UNSPACED = ("Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan")
"""Scripts of which each letter counts as a word."""
_FIRST_UNSPACED = _LETTER + 1 + len(SPACED)
_NAMES = {_LETTER + number: name for number, name in enumerate(("Other", *SPACED, *UNSPACED))}
_LIMIT, _SELECTORS = 0x40000, range(0xE0100, 0xE01F0)
"""Letters stand in the first four planes; beyond, only the marks that choose a Chinese character's form."""
_BLOCK = 1 << 16
"""Code points looked up at a time: what numpy makes of them on the way stays in the cache."""


@dataclass(frozen=True, eq=False)
class Characters:
    """What the texts of a batch consist of; all positions are in characters of `text`."""

    text: str
    """All texts, one after another."""
    documents: Offsets
    """Where each text starts, and the end: one more than there are texts."""
    starts: Offsets
    """Where each word starts."""
    ends: Offsets
    """Where each word ends."""
    letters: dict[str, int]
    """How many letters there are of each script."""

    @classmethod
    def of(cls, texts: pa.Array) -> Characters:
        """Look at every character.

        Args:
            texts: strings; a null counts as empty.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        texts = pc.fill_null(texts.cast(pa.large_string()), "")
        documents = np.concatenate(([0], np.cumsum(pc.utf8_length(texts).to_numpy(zero_copy_only=False))))
        raw = _bytes_of(texts)
        text = raw.decode("utf-8")
        classes = _classes(raw, text)
        starts, ends = _words(classes, documents)
        counts = np.zeros(256, np.int64)
        for place in range(0, len(classes), _BLOCK):
            counts += np.bincount(classes[place : place + _BLOCK], minlength=256)
        letters = {name: int(counts[number]) for number, name in _NAMES.items() if counts[number]}
        return cls(text, documents.astype(np.int64), starts, ends, letters)

    @property
    def word_offsets(self) -> Offsets:
        """The first word of each text, and the number of words: one more than there are texts."""
        return np.searchsorted(self.starts, self.documents).astype(np.int64)

    @property
    def words(self) -> Offsets:
        """How many words each text has."""
        return np.diff(self.word_offsets)


def _bytes_of(texts: pa.Array) -> bytes:
    """The UTF-8 of all texts of a large_string array, one after another."""
    import pyarrow as pa

    if not len(texts):
        return b""
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    return b"" if data is None else pa.py_buffer(data).slice(bounds[0], bounds[-1] - bounds[0]).to_pybytes()


def _classes(raw: bytes, text: str) -> NDArray[np.uint8]:
    """The class of each character."""
    table = _table()
    if len(raw) == len(text):
        return np.frombuffer(raw.translate(table[:256].tobytes()), np.uint8)
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    classes = np.empty(len(codes), np.uint8)
    for place in range(0, len(codes), _BLOCK):
        table.take(codes[place : place + _BLOCK], mode="clip", out=classes[place : place + _BLOCK])
    return classes


def _words(classes: NDArray[np.uint8], documents: Offsets) -> tuple[Offsets, Offsets]:
    """Where words start and where they end."""
    size = len(classes)
    first = np.zeros(size + 1, np.bool_)
    first[documents] = True
    inside, alone = classes >= _MARK, classes >= _FIRST_UNSPACED
    marks = np.flatnonzero(classes == _MARK)
    if len(marks):  # They are of the letter that they stand on.
        runs = np.diff(marks, prepend=-2) > 1
        runs |= first[marks]
        bases = alone[marks[runs] - 1] & ~first[marks[runs]]
        alone[marks] = bases[np.cumsum(runs) - 1]
    within = inside & ~alone
    signs = np.flatnonzero(classes == _APOSTROPHE)
    signs = signs[(signs > 0) & (signs < size - 1)]
    signs = signs[~(first[signs] | first[signs + 1])]
    inside[signs[within[signs - 1] & within[signs + 1]]] = True
    apart = alone.copy()
    apart[1:] |= alone[:-1]
    apart[marks] = False
    apart |= first[:size]
    apart[1:] |= ~inside[:-1]
    starts = inside & apart
    last = inside
    last[:-1] &= ~inside[1:] | starts[1:]
    return np.flatnonzero(starts), np.flatnonzero(last) + 1


@cache
def _table() -> NDArray[np.uint8]:
    """The class of each code point; the last stands for all beyond."""
    import regex

    every = "".join(map(chr, range(_LIMIT)))
    table = np.zeros(_SELECTORS.stop + 1, np.uint8)
    kinds = [(r"\p{N}", _NUMBER), (r"\p{M}", _MARK), (r"\p{L}", _LETTER), ("['’]", _APOSTROPHE)]
    kinds += [
        (rf"[\p{{{name}}}&&[\p{{L}}\p{{M}}\p{{Nl}}]]", number) for number, name in _NAMES.items() if number > _LETTER
    ]
    for pattern, number in kinds:
        for span in regex.finditer(f"{pattern}+", every, flags=regex.V1):
            table[span.start() : span.end()] = number
    table[_SELECTORS.start : _SELECTORS.stop] = _MARK
    return table
