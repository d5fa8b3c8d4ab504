"""What each character is to the rules of quality: white space, letter, digit, ideograph, mark.

A code is one byte. Digits and letters differ in the lowest bit alone, so that `code & ALIKE` is the same for the two,
which make up words together; each ASCII mark has an even code of its own, so that a run of one mark is one piece.
"""

from __future__ import annotations

import string
from functools import cache

import numpy as np
import regex
from jaxtyping import UInt8

SPACE, DIGIT, LETTER, IDEOGRAPH, MARK, STOP, CLOSER, QUOTE, ELLIPSIS, BULLET, APOSTROPHE = 0, 2, 3, *range(4, 20, 2)
"""Codes: a digit is any character of words that is no letter; an ideograph is a word of its own (Han, kana); a stop
ends a sentence; a closing bracket or quote may follow it (’ too, which may also stand within a word)."""
ALIKE = np.uint8(0xFE)
_ASCII_MARKS = 64
STOPS = ".!?"
BRACKETS = ")]}"
"""Stops and closing brackets of ASCII; of the others the table knows."""


def _ascii() -> bytes:
    codes = bytearray([MARK]) * 256
    for byte in range(128):
        letter = chr(byte)
        if letter.isspace():
            codes[byte] = SPACE
        elif letter.isalpha():
            codes[byte] = LETTER
        elif letter.isdigit() or letter == "_":
            codes[byte] = DIGIT
    for place, letter in enumerate(letter for letter in string.punctuation if letter != "_"):
        codes[ord(letter)] = _ASCII_MARKS + 2 * place
    return bytes(codes)


ASCII = _ascii()
"""Byte → code, for `bytes.translate`; a byte of a longer character is a mark until its character is looked up."""


def ascii_code(letter: str) -> int:
    """The code of an ASCII character."""
    return ASCII[ord(letter)]


@cache
def code_points() -> UInt8[np.ndarray, " code_points"]:
    """Code point → code. Made once a process, in a third of a second."""
    points = np.arange(0x110000, dtype="<u4").view("<U1")
    codes = np.full(0x110000, MARK, np.uint8)
    codes[np.strings.isalnum(points)] = DIGIT
    codes[np.strings.isalpha(points)] = LETTER
    codes[np.strings.isspace(points)] = SPACE
    for pattern, code in (
        (r"[\p{M}\p{Cf}]", LETTER),  # accents and joiners belong to the word that they stand in
        (r"[\p{Han}\p{Hiragana}\p{Katakana}ー]", IDEOGRAPH),
        (r"[\p{Pe}\p{Pf}]", CLOSER),
        ("[”»」』›]", QUOTE),
        (r"\p{STerm}", STOP),
        ("[\u200b\ufeff]", SPACE),
        ("…", ELLIPSIS),
        ("[•‣▪●■◆·]", BULLET),
        ("’", APOSTROPHE),
    ):
        codes[_members(pattern)] = code
    codes[:128] = np.frombuffer(ASCII, np.uint8)[:128]
    return codes


def _members(pattern: str) -> list[int]:
    return [ord(letter) for letter in regex.findall(pattern, _everything())]


@cache
def _everything() -> str:
    """All characters that a text may hold."""
    return "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))
