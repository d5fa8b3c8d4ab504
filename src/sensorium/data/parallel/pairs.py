"""Which pairs of a text and its translation are worth learning from, and in what form.

Each pair that is dropped is counted under one reason: the first of those below that applies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import regex
import xxhash

from sensorium.data.cleaning.text import UnicodeForm, clean
from sensorium.data.codes import base
from sensorium.data.language import is_in
from sensorium.data.parallel.placeholders import agree
from sensorium.data.sample import Ledger

_PARAGRAPHS = regex.compile(r"\n\s*\n")
_WIDE = r"\p{Han}\p{Hiragana}\p{Katakana}\u3000-\u303f\uff00-\uffef"
_BREAK_BETWEEN_WIDE = regex.compile(rf"(?<=[{_WIDE}])\s*\n\s*(?=[{_WIDE}])")
_BREAK = regex.compile(r"\s*\n\s*")
_WORD = regex.compile(r"\p{L}")
_LETTERS_OF = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}]")
_WEIGHT = 2.0
"""A Chinese or Japanese character says about as much as three letters; length counts it as three."""
_SLACK = 12
"""Letters by which lengths may differ in any case: short texts have wide ratios."""


@dataclass(frozen=True, kw_only=True)
class PairRules:
    """What a pair must keep to."""

    form: UnicodeForm = "NFC"
    max_characters: int = 1000
    """On either side."""
    max_ratio: float = 3.0
    """Between the sides' lengths, where Chinese and Japanese characters count as three letters."""


class PairFilter:
    """Cleans pairs and drops those that are of no use; remembers what it kept, to drop duplicates.

    Args:
        rules: the limits.
        ledger: receives how many were dropped, by reason.
    """

    def __init__(self, rules: PairRules, ledger: Ledger) -> None:
        self._rules, self._ledger = rules, ledger
        self._seen: set[bytes] = set()

    def keep(self, source: str, target: str, languages: tuple[str, str]) -> Iterator[tuple[str, str]]:
        """The cleaned pair, or a pair for each paragraph where both sides have as many; nothing if it is dropped.

        Args:
            source: a text as it was read.
            target: its translation.
            languages: the codes of both.
        """
        pairs = _paragraphs(clean(source, form=self._rules.form), clean(target, form=self._rules.form))
        if len(pairs) > 1:
            self._ledger.count("pairs made of paragraphs", len(pairs))
        for one, other in pairs:
            a, b = _one_line(one), _one_line(other)
            reason = self._reason(a, b, languages)
            if reason:
                self._ledger.drop(reason)
            else:
                yield a, b

    def _reason(self, a: str, b: str, languages: tuple[str, str]) -> str | None:
        rules = self._rules
        if not a or not b:
            return "empty on one side"
        if not _WORD.search(a) or not _WORD.search(b):
            return "without words"
        if a.casefold() == b.casefold() and base(languages[0]) != base(languages[1]):
            return "copied, not translated"
        if max(len(a), len(b)) > rules.max_characters:
            return "too long"
        short, long = sorted((length(a), length(b)))
        if long > rules.max_ratio * short + _SLACK:
            return "lengths that do not match"
        if not is_in(a, languages[0]):
            return f"not in {languages[0]}"
        if not is_in(b, languages[1]):
            return f"not in {languages[1]}"
        if not agree(a, b):
            return "placeholders that differ"
        digest = xxhash.xxh3_128_digest("\0".join((*languages, a, b)).encode())
        if digest in self._seen:
            return "duplicate"
        self._seen.add(digest)
        return None


def length(text: str) -> float:
    """The length of a text in letters, comparable between languages."""
    return len(text) + _WEIGHT * len(_LETTERS_OF.findall(text))


def folded(text: str) -> str:
    """What two texts have in common that differ in case and white space alone."""
    return " ".join(text.casefold().split())


def _paragraphs(source: str, target: str) -> list[tuple[str, str]]:
    """Both texts, cut at blank lines if that gives as many pieces on both sides."""
    a, b = _PARAGRAPHS.split(source), _PARAGRAPHS.split(target)
    return list(zip(a, b, strict=True)) if len(a) == len(b) else [(source, target)]


def _one_line(text: str) -> str:
    """A text without line ends, which catalogues wrap messages by; Chinese is joined without a space."""
    return _BREAK.sub(" ", _BREAK_BETWEEN_WIDE.sub("", text)).strip()
