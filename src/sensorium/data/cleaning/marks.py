"""What each character may need: the table by which clean text is told from text to repair.

ftfy, which undoes mojibake, reads a megabyte a second, and hardly any line needs it. Mojibake is UTF-8 that was read
in another encoding, so that it holds a character of a first byte (C2 to F4) and after it those of its further bytes
(80 to BF), in one of the encodings that ftfy tries. A line without such a sequence, and without characters that ftfy
changes in any case, need not be shown to it: it would come back as it is.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import regex

Codes = npt.NDArray[np.uint32]
Marks = npt.NDArray[np.uint16]

ODD, UNSEEN, SPACE, BREAK = 1, 2, 4, 8
"""ftfy changes it wherever it stands; it is taken out; it becomes a space; it ends a line."""
_FIRST_OF_2, _FIRST_OF_3, _FIRST_OF_4, _FURTHER = 16, 32, 64, 128
_MAC = 4
"""By how many bits the same marks of Mac Roman are shifted: in it the quotation marks of honest text are first bytes,
and a space is no further one."""
_ENCODINGS = ("latin-1", "cp1252", "cp1251", "cp1250", "cp1253", "cp1254", "cp1257", "iso8859-2", "cp437")
_LOST = " ?\u001a\ufffd"
"""What may stand where a further byte was lost."""

UNSEEN_CHARACTERS = regex.compile(r"[\p{Cc}\p{Cs}\p{Co}\p{Cn}\u200b\u2060\ufeff\u00ad--[\n\t]]+", flags=regex.V1)
"""Control, surrogate, private and unassigned characters, zero-width spaces, soft hyphens. Joiners stay: Persian,
Indic scripts and emoji need them."""
_ODD_CHARACTERS = regex.compile(r"[\p{Cc}\p{Cs}\u2028\u2029\u206a-\u206f\ufeff\ufff9-\ufffd--[\n\t]]+", flags=regex.V1)
_IN_USE = 0x40000
"""The planes from here on hold nothing but tags and variants at E0000, and characters for private use."""
_SPACE_CHARACTERS = regex.compile(r"[^\S\n\x20]+")


@lru_cache(maxsize=1)
def table() -> Marks:
    """The marks of every character, by its code point."""
    marks = np.zeros(0x110000, np.uint16)
    marks[_IN_USE:] = UNSEEN
    for first, last in ((0, _IN_USE), (0xE0000, 0xE1000)):
        characters = "".join(map(chr, range(first, last)))
        marks[first:last] = 0
        for pattern, mark in ((UNSEEN_CHARACTERS, UNSEEN), (_ODD_CHARACTERS, ODD), (_SPACE_CHARACTERS, SPACE)):
            for found in pattern.finditer(characters):
                marks[first + found.start() : first + found.end()] |= mark
    marks[ord("\n")] |= BREAK
    for encoding in _ENCODINGS:
        _mark_bytes(marks, encoding, 0)
    marks[[ord(character) for character in _LOST]] |= _FURTHER
    _mark_bytes(marks, "mac-roman", _MAC)
    return marks


def _mark_bytes(marks: Marks, encoding: str, shift: int) -> None:
    for first, last, mark in (
        (0xC0, 0xDF, _FIRST_OF_2),
        (0xE0, 0xEF, _FIRST_OF_3),
        (0xF0, 0xF7, _FIRST_OF_4),
        (0x80, 0xBF, _FURTHER),
    ):
        for byte in range(first, last + 1):
            for character in bytes([byte]).decode(encoding, "ignore"):
                marks[ord(character)] |= mark << shift


def marks_of(text: str) -> Marks:
    """The marks of each character of a text."""
    codes: Codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    marks: Marks = table()[codes]
    return marks


def suspects(marks: Marks) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Where mojibake may begin, or something odd stands; and where only Mac Roman's would."""
    odd = (marks & ODD) != 0
    return np.flatnonzero(odd | _sequences(marks, 0)), np.flatnonzero(_sequences(marks, _MAC))


def _sequences(marks: Marks, shift: int) -> npt.NDArray[np.bool_]:
    """Where a first byte is followed by as many further bytes as it tells."""
    further = (marks & (_FURTHER << shift)) != 0
    starts = np.zeros(len(marks), np.bool_)
    follow = further[1:].copy()  # what follows each place, one further byte, then two, then three
    for length, first in ((1, _FIRST_OF_2), (2, _FIRST_OF_3), (3, _FIRST_OF_4)):
        if len(follow) == 0 or not follow.any():
            break
        starts[: len(follow)] |= ((marks[: len(follow)] & (first << shift)) != 0) & follow
        follow = follow[:-1] & further[length + 1 :]
    return starts


def may_be_mac(line: str) -> bool:
    """Whether a line as a whole may be UTF-8 that was read as Mac Roman; ftfy repairs no part of one."""
    try:
        raw = line.encode("mac-roman")
    except UnicodeEncodeError:
        return False
    if b"\xed" in raw or b"\xc0" in raw:
        return True
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
