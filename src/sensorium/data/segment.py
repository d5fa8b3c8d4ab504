"""Sentences: of English and Chinese by rules of our own, of other languages by the marks that Unicode knows.

The pieces join back to the text exactly: white space stays at the head of the sentence that it precedes, so that
a tokenizer that keeps spaces sees the same text in pieces as in whole. A blank line always ends a sentence; a
single line break does not, because it is mostly mere wrapping. A full stop is not told from that of an abbreviation
by grammar, but by what follows and by lists of abbreviations. Thai and Lao have no mark: a space after a long run of
their letters ends a piece.
"""

from __future__ import annotations

import re
from functools import lru_cache

import regex

_CLOSERS = "\"'”’»)\\]）】」』》"
_MARK = regex.compile(r"[[\p{Sentence_Break=STerm}；…\u0f0d\u0f0e]--[!?]]", flags=regex.V1)
"""Marks that end a sentence by themselves (Unicode Standard Annex 29: STerm): 。！？ । ؟ ۔ ። ။ ។ and others; with the
Chinese semicolon and ellipsis, and Tibetan shad."""
_UNSPACED = "\u0e01-\u0ecd"
"""Thai and Lao."""


@lru_cache(maxsize=1)
def _end() -> re.Pattern[str]:
    """What may end a sentence. One character is looked for, so that most of a text is skipped; then what it begins.

    Possessive, and tried once a run: a megabyte of full stops must not take a megabyte squared.
    """
    marks = "".join(_MARK.findall("".join(map(chr, range(0x10000)))))  # those beyond are of dead scripts, and slow
    return re.compile(
        rf"""
        [\n.!?{marks}{_UNSPACED}] (?:
            (?P<mark> (?<=[{marks}]) [{marks}]*+ [{_CLOSERS}]*+ )
          | (?P<latin> (?<=[.!?]) (?<![.!?][.!?]) [.!?]*+ [{_CLOSERS}]*+ ) (?=\s)(?!\s++[a-z])  # may end one
          | (?P<blank> (?<=\n) (?=\s*?\n) )
          | (?P<unspaced> (?<=[{_UNSPACED}]) (?<![{_UNSPACED}][{_UNSPACED}])
                [{_UNSPACED}]{{19,}}+ (?=\s+[{_UNSPACED}]) )
        )
        """,
        flags=re.VERBOSE,
    )


_LETTER = regex.compile(r"\S")
_LAST_WORD = regex.compile(r"[\p{L}\p{N}.&]+$")
_STARTS_SENTENCE = regex.compile(r"\s+[\"'“‘«(\[（「『¿¡]*[\p{Lu}\p{Lt}\p{Lo}\p{N}]")
_BEFORE_NAMES = """
mr mrs ms dr prof rev hon st sir gen col capt lt sgt messrs mme mlle jr sr vs no fig vol pp ch sec
nr bzw vgl evtl ggf inkl zzgl hrsg geb mio mrd str tel
sra srta dra ud uds núm pág págs av
dott sig ing mgr art
"""
"""Abbreviations that a name, a number or a noun follows: English and French, German, Spanish, others."""
_NEVER_LAST = ("e.g", "i.e", "cf", "viz", "approx", "z.b", "d.h", "u.a", "p.ex")
_ABBREVIATIONS = frozenset([*_BEFORE_NAMES.split(), *_NEVER_LAST])
_LONGEST = max(map(len, _ABBREVIATIONS))
_LOOKED_BACK = 24
"""Characters before a full stop in which its word is looked for."""
_ORDINALS = frozenset(["de", "da", "nb", "nn", "no", "fi", "cs", "sk", "hu", "et", "lv", "hr", "sl", "sr", "is", "pl"])
"""Languages in which a number with a full stop is an ordinal: am 3. Oktober."""


def sentences(text: str, language: str | None = None) -> list[str]:
    """The sentences of `text`, in order; their concatenation is `text`.

    Args:
        text: in any language, or several.
        language: its code, if known: in German and some others a full stop after one or two digits ends nothing.
    """
    ordinals = language is not None and language.partition("-")[0] in _ORDINALS
    pieces, start, first = list[str](), 0, -1
    for match in _end().finditer(text):
        kind, (place, end) = match.lastgroup, match.span()
        if kind == "latin":
            if not _ends(text, start, place, end, ordinals=ordinals):
                continue
        elif kind == "blank":
            if first < start:
                first = _first_letter(text, start)  # once a sentence, as thousands of blank lines may begin it
            if place <= first:
                continue
            end = place
        pieces.append(text[start:end])
        start = end
    if start < len(text):
        rest = text[start:]
        if rest.strip() or not pieces:
            pieces.append(rest)
        else:
            pieces[-1] += rest
    return pieces


def _first_letter(text: str, start: int) -> int:
    """Where the white space ends that a sentence begins with."""
    found = _LETTER.search(text, start)
    return found.start() if found else len(text)


def _ends(text: str, start: int, place: int, end: int, *, ordinals: bool) -> bool:
    """Does the full stop at a place end a sentence, or an abbreviation? What belongs to it reaches to `end`."""
    behind = text[end + 1 : end + 2]
    if text[end] == " " and behind.isascii() and behind.isalnum():  # as mostly
        follows = not behind.islower()
    else:
        follows = _STARTS_SENTENCE.match(text, end) is not None
    if not follows or text[place] != "." or text.startswith("..", place):
        return follows
    last = text[max(start, place - _LOOKED_BACK) : place]
    last = last[max(last.rfind(" "), last.rfind("\n")) + 1 :]
    if not last.isalnum():  # most words consist of letters only, and need no pattern
        found = _LAST_WORD.search(last)
        last = found.group().rstrip(".") if found else ""
    if len(last) > _LONGEST:
        return True
    word = last.lower()
    if word in _ABBREVIATIONS or (len(word) == 1 and word.isalpha() and word != "i"):
        return False
    return not (ordinals and word.isdecimal() and len(word) <= 2)
