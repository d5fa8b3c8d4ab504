"""Words with tags: how a text is split into them, and how given words are put back into a text.

Models read the words with the spaces that stand before them, so that they see what they saw in plain text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import regex

_ALONE = r"\p{Han}\p{Hiragana}\p{Katakana}"
_LETTERS = rf"[\p{{L}}\p{{M}}\p{{N}}--[{_ALONE}]]"
_WORD = regex.compile(rf"(?:{_LETTERS}\.){{2,}}|{_LETTERS}+(?:[-'’.,&/]{_LETTERS}+)*|\S", flags=regex.VERSION1)
_STANDS_ALONE = regex.compile(rf"[{_ALONE}]")
_CLOSES = regex.compile(r"[.,;:!?%)\]}’”]+|['’]\p{L}{1,2}|n['’]t|[。，、；：？！）】》」』”’]+")
_OPENS = regex.compile(r"[(\[{“‘$#£€]|[（【《「『]")


class Word(NamedTuple):
    """A word of a text, and its place there."""

    text: str
    start: int
    end: int


def words_of(text: str) -> list[Word]:
    """The words and marks of a text; each Chinese or Japanese character is one."""
    return [Word(match.group(), match.start(), match.end()) for match in _WORD.finditer(text)]


def pieces(text: str, words: Sequence[Word]) -> list[str]:
    """Words with a space before those that have one in their text."""
    return [f" {w.text}" if w.start and text[w.start - 1].isspace() else w.text for w in words]


def spaced(words: Sequence[str]) -> list[str]:
    """Words whose text is not known, with a space where one most likely stood before them."""
    parts = list[str]()
    before = ""
    for word in words:
        joined = (
            not before
            or _CLOSES.fullmatch(word)
            or _OPENS.fullmatch(before)
            or (_STANDS_ALONE.match(word) and _STANDS_ALONE.search(before[-1]))
        )
        parts.append(word if joined else f" {word}")
        before = word
    return parts
