"""What a translation must hold: the source's placeholders and addresses as they stand, and a glossary's terms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import regex

from sensorium.data.parallel.placeholders import find
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import InputError
from sensorium.inference.constrained import Demand
from sensorium.inference.phrases import Phrase, forms_of

_ADDRESS = regex.compile(r"(?:https?|ftp)://[^\s<>\"'()（）\p{Han}，。]*[^\s<>\"'()（）\p{Han}，。.,;:!?]")
_CJK = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]")
_LETTER = regex.compile(r"[\p{L}\p{N}]")


def placeholders(text: str) -> list[tuple[int, int]]:
    """Where the placeholders and addresses of a text stand; none overlap."""
    spans = [match.span() for match in _ADDRESS.finditer(text)]
    spans += [m.span() for m in find(text) if all(m.end() <= a or m.start() >= b for a, b in spans)]
    return sorted(spans)


@dataclass(frozen=True, slots=True)
class Term:
    """One entry of a glossary."""

    term: str
    translation: str
    pattern: regex.Pattern[str]
    forms: tuple[tuple[int, ...], ...]


class Glossary:
    """Terms and the translations that must stand for them.

    Args:
        entries: term → translation. A term counts where it stands as a word, whatever its capitals.
        tokenizer: of the translations.

    Raises:
        InputError: a term or a translation is empty or no string, or the model has no tokens for a translation.
    """

    def __init__(self, entries: Mapping[str, str], tokenizer: Tokenizer) -> None:
        if not isinstance(entries, Mapping):
            raise InputError("a glossary is a mapping of terms to translations", fix='Give {"term": "translation"}')
        self._terms = [self._term(term, said, tokenizer) for term, said in entries.items()]
        self._terms.sort(key=lambda entry: -len(entry.term))

    def of(self, text: str) -> list[Term]:
        """The entries whose terms stand in a text; of two that overlap, the longer one."""
        found, taken = list[Term](), list[tuple[int, int]]()
        for entry in self._terms:
            spans = [match.span() for match in entry.pattern.finditer(text)]
            free = [(a, b) for a, b in spans if all(b <= c or a >= d for c, d in taken)]
            if free:
                taken += free
                found.append(entry)
        return found

    @staticmethod
    def _term(term: object, said: object, tokenizer: Tokenizer) -> Term:
        if not isinstance(term, str) or not isinstance(said, str) or not term.strip() or not said.strip():
            raise InputError(
                f"the glossary's entry {term!r}: {said!r} is no pair of texts", fix="Give each term its translation"
            )
        term, said = term.strip(), said.strip()
        forms = forms_of(tokenizer, said)
        if not forms:
            raise InputError(
                f"the glossary's translation of {term!r}, {said!r}, cannot be produced: the model's vocabulary does "
                "not write it",
                fix="Choose another translation, or leave the term out",
            )
        return Term(term, said, _as_word(term), forms)


def _as_word(term: str) -> regex.Pattern[str]:
    """The term where no letter goes on before it or after it, in the scripts that have spaces between words."""
    ends = [bool(_LETTER.match(letter)) and not _CJK.match(letter) for letter in (term[0], term[-1])]
    before, after = r"(?<![\p{L}\p{N}])" if ends[0] else "", r"(?![\p{L}\p{N}])" if ends[1] else ""
    return regex.compile(before + regex.escape(term) + after, flags=regex.I)


@dataclass(frozen=True, slots=True)
class Kept:
    """What the translation of one text must hold."""

    exactly: Counter[str]
    """Placeholders, and how often."""
    terms: tuple[Term, ...]

    @classmethod
    def of(cls, text: str, glossary: Glossary | None, *, keep_placeholders: bool) -> Kept:
        """What a text demands of its translation."""
        spans = placeholders(text) if keep_placeholders else []
        terms = () if glossary is None else tuple(glossary.of(text))
        return cls(Counter(text[a:b] for a, b in spans), terms)

    def __bool__(self) -> bool:
        return bool(self.exactly or self.terms)

    def missing(self, translation: str) -> list[str]:
        """What the translation does not hold, or not as often as it must."""
        held = Counter(translation[a:b] for a, b in placeholders(translation))
        wrong = [kept for kept, count in self.exactly.items() if held[kept] != count]
        return wrong + self.missing_terms(translation)

    def missing_terms(self, translation: str) -> list[str]:
        """The glossary's translations that it does not hold."""
        return [entry.translation for entry in self.terms if entry.translation not in translation]

    def demand(self, tokenizer: Tokenizer) -> Demand | None:
        """The same, of token ids; None where the vocabulary does not write a placeholder."""
        phrases = list[Phrase]()
        for kept, count in self.exactly.items():
            forms = forms_of(tokenizer, kept)
            if not forms:
                return None
            phrases.append(Phrase(kept, forms, count, exact=True))
        phrases += [Phrase(entry.translation, entry.forms) for entry in self.terms]

        def accepts(tokens: Sequence[int]) -> bool:
            return not self.missing(tokenizer.decode(tokens))

        return Demand(tuple(phrases), accepts)
