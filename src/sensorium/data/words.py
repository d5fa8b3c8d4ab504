"""Words: by Unicode's word boundaries (Standard Annex 29), and by a dictionary where no spaces stand between them.

Chinese is cut by jieba's dictionary and hidden Markov model (its Rust version, from the extra `zh`), or into single
characters if that is not installed. Japanese and Thai need a dictionary that is not here: Han characters, hiragana
and Thai letters come out one by one, as Unicode's rules have it. White space and marks are no words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache

import regex

from sensorium.errors import CapabilityError, InputError, require, unknown

_PLAIN = re.compile(
    r"\w+(?:(?:['.’·:](?<=[^\W\d_].)(?=[^\W\d_])|[.,;'](?<=\d.)(?=\d))\w+)*"  # don't, e.g, 3.14, 1,000
)
"""Unicode's rules for scripts whose words are runs of letters: ten times as fast as asking for each boundary."""
_NOT_PLAIN = re.compile(
    "[\u0300-\u036f\u0483-\u0489\u0590-\u1cff\u1dc0-\u1dff\u200c\u200d\u20d0-\u20ff\u2de0-\u31ff\ua66f-\ua67f"
    "\ua800-\uabff\ufb1d-\ufdff\ufe00-\ufe2f\ufe70-\ufeff\uff66-\uff9f\U00010000-\U0001ffff]"
)
"""Characters for which that does not do: combining marks, and scripts with rules of their own."""
_BY_RULES = regex.compile(r"\b[\p{L}\p{N}\p{M}_].*?\b", flags=regex.WORD | regex.V1 | regex.S)
_HAN = regex.compile(r"\p{Han}")
_HAN_RUN = regex.compile(r"(\p{Han}+)")


def words(text: str, language: str | None = None, *, chinese: str = "auto") -> list[str]:
    """The words of a text, in order, as they are written.

    Args:
        text: in any language, or several.
        language: its code, if known: the Han characters of Japanese (`ja`) are not cut by the Chinese dictionary.
        chinese: how runs of Han characters are cut: by the `dictionary`, into `characters`, or (`auto`) by the
            dictionary if it is installed.

    Raises:
        CapabilityError: the dictionary is asked for and not installed.
        InputError: there is no such way to cut.
    """
    if text.isascii() or not _HAN.search(text):
        return _unicode_words(text)
    cut = _cutter("characters" if language is not None and language.startswith("ja") else chinese)
    found = list[str]()
    for place, part in enumerate(_HAN_RUN.split(text)):
        if part:
            found.extend(cut(part) if place % 2 else _unicode_words(part))
    return found


def _unicode_words(text: str) -> list[str]:
    if text.isascii() or not _NOT_PLAIN.search(text):
        return _PLAIN.findall(text)
    return _BY_RULES.findall(text)


@lru_cache(maxsize=3)
def _cutter(chinese: str) -> Callable[[str], Iterable[str]]:
    """A function that cuts a run of Han characters."""
    ways = ("auto", "dictionary", "characters")
    if chinese not in ways:
        raise InputError(unknown("way to cut Chinese", chinese, ways))
    if chinese == "characters":
        return list
    try:
        cut: Callable[[str], Iterable[str]] = require("rjieba", extra="zh", purpose="cutting Chinese into words").cut
    except CapabilityError:
        if chinese == "dictionary":
            raise
        return list
    return cut
