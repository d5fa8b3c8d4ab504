"""Phrases that a text must hold, followed token by token: what is written of them, what comes next, what is too much.

A tokenizer writes the same phrase differently after a space, after a bracket or at the beginning, so a phrase is a
few sequences of tokens, any of which will do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sensorium.data.tokens.tokenizer import Tokenizer

Form = tuple[int, ...]
_BEFORE = (("", ""), ("a", " "), ("(", ""), ("。", ""), ("的", ""))
"""What may stand before a phrase, and between the two."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """A piece of text, and how often it must be written.

    Args:
        text: the piece.
        forms: token sequences that write it.
        count: how often it must stand in the text.
        exact: not more often either.
    """

    text: str
    forms: tuple[Form, ...]
    count: int = 1
    exact: bool = False

    @property
    def length(self) -> int:
        """Tokens of the longest form."""
        return max(map(len, self.forms))


def forms_of(tokenizer: Tokenizer, text: str) -> tuple[Form, ...]:
    """The token sequences by which a tokenizer writes a text in the middle of others; none if it cannot."""
    found = list[Form]()
    for before, between in _BEFORE:
        lead, whole = tokenizer.encode_raw([before, before + between + text])
        if whole[: len(lead)] != lead or tokenizer.unk_id in whole[len(lead) :]:
            continue
        if tokenizer.decode(whole).endswith(text):
            found.append(tuple(whole[len(lead) :]))
    return tuple(form for form in dict.fromkeys(found) if form)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a text has come with its phrases."""

    left: tuple[int, ...]
    """How often each phrase is still to be written."""
    begun: tuple[tuple[int, int, int], ...] = ()
    """Forms whose first tokens are the text's last: phrase, form, and how many tokens."""

    @classmethod
    def start(cls, phrases: Sequence[Phrase]) -> Progress:
        """Nothing is written."""
        return cls(tuple(phrase.count for phrase in phrases))

    def written(self, phrases: Sequence[Phrase]) -> int:
        """Tokens of what must be written that are."""
        whole = sum((p.count - left) * p.length for p, left in zip(phrases, self.left, strict=True))
        return whole + max((place for number, _, place in self.begun if self.left[number]), default=0)

    def wanted(self, phrases: Sequence[Phrase]) -> list[int]:
        """Tokens that go on with a phrase or begin one that is still to be written."""
        going = [token for number, token, _ in self._next(phrases) if self.left[number]]
        begin = [form[0] for phrase, left in zip(phrases, self.left, strict=True) if left for form in phrase.forms]
        return list(dict.fromkeys([*going, *begin]))

    def forbidden(self, phrases: Sequence[Phrase]) -> list[int]:
        """Tokens that would complete a phrase once too often."""
        spent = [number for number, phrase in enumerate(phrases) if phrase.exact and not self.left[number]]
        single = [form[0] for number in spent for form in phrases[number].forms if len(form) == 1]
        return single + [token for number, token, last in self._next(phrases) if last and number in spent]

    def after(self, token: int, phrases: Sequence[Phrase]) -> Progress:
        """With one token more."""
        going = [
            (number, form, place + 1)
            for number, form, place in self.begun
            if phrases[number].forms[form][place] == token
        ]
        fresh = [
            (number, form, 1)
            for number, phrase in enumerate(phrases)
            for form, tokens in enumerate(phrase.forms)
            if tokens[0] == token
        ]
        begun = [*going, *fresh]
        complete = [(place, number) for number, form, place in begun if place == len(phrases[number].forms[form])]
        due = [number for _, number in sorted(complete, reverse=True) if self.left[number]]
        if due:  # what overlaps with a phrase that is complete counts for nothing else
            left = list(self.left)
            left[due[0]] -= 1
            return Progress(tuple(left))
        open_ = [(number, form, place) for number, form, place in begun if place < len(phrases[number].forms[form])]
        return Progress(self.left, tuple(open_))

    def _next(self, phrases: Sequence[Phrase]) -> Iterator[tuple[int, int, bool]]:
        """Of every form that is begun: its phrase, its next token, and whether that is its last."""
        for number, form, place in self.begun:
            tokens = phrases[number].forms[form]
            yield number, tokens[place], place + 1 == len(tokens)
