"""Sentences of English, Chinese, and texts that mix them.

The pieces join back to the text exactly: white space stays at the head of the sentence that it precedes, so that
a tokenizer that keeps spaces sees the same text in pieces as in whole. A blank line always ends a sentence; a
single line break does not, because it is mostly mere wrapping.
"""

from __future__ import annotations

import regex

_CLOSERS = "\"'”’»)\\]）】」』》"
_END = regex.compile(
    rf"""
    (?P<cjk> [。！？；…]+ [{_CLOSERS}]* )            # Chinese: the mark itself ends the sentence
  | (?P<latin> (?<![.!?]) [.!?]++ [{_CLOSERS}]*+ ) (?=\s)  # Latin: a mark before white space may end it
  | (?P<blank> (?=\n\s*?\n) )
    """,
    flags=regex.X,
)
"""Possessive, and tried once a run of marks: a megabyte of full stops must not take a megabyte squared."""
_LETTER = regex.compile(r"\S")
_LAST_WORD = regex.compile(r"[\p{L}\p{N}.&]+$")
_STARTS_SENTENCE = regex.compile(r"\s+[\"'“‘«(\[（「『]*[\p{Lu}\p{Lt}\p{Lo}\p{N}]")
_TITLES = frozenset(
    [
        "mr",
        "mrs",
        "ms",
        "dr",
        "prof",
        "rev",
        "hon",
        "st",
        "sir",
        "gen",
        "col",
        "capt",
        "lt",
        "sgt",
        "messrs",
        "mme",
        "mlle",
        "jr",
        "sr",
        "vs",
        "no",
        "fig",
        "vol",
        "pp",
        "ch",
        "sec",
    ]
)
_NEVER_LAST = frozenset(["e.g", "i.e", "cf", "viz", "approx"])


def sentences(text: str) -> list[str]:
    """The sentences of `text`, in order; their concatenation is `text`."""
    pieces, start, first = [], 0, _first_letter(text, 0)
    for match in _END.finditer(text):
        end = match.end()
        if end <= first:
            continue
        if match.lastgroup == "latin" and not _ends(text, start, match):
            continue
        pieces.append(text[start:end])
        start, first = end, _first_letter(text, end)
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


def _ends(text: str, start: int, match: regex.Match[str]) -> bool:
    """Does this full stop end a sentence, or an abbreviation?"""
    marks = match.group("latin")
    follows = _STARTS_SENTENCE.match(text, match.end()) is not None
    if marks[0] != "." or marks.startswith(".."):
        return follows
    before = _LAST_WORD.search(text, max(start, match.start() - 24), match.start())
    word = before.group().rstrip(".").lower() if before else ""
    initial = len(word) == 1 and word.isalpha() and word != "i"
    if word in _TITLES or word in _NEVER_LAST or initial:
        return False
    return follows
