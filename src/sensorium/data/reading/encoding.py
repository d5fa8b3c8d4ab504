"""How a text file is written: UTF-8, UTF-16 or UTF-32, or an older encoding that is guessed from the bytes.

The guess has three steps. Encodings of Chinese, Japanese and Korean are told by which lead bytes are usual in each
(GB 2312, Big5, JIS and KS X 1001 put frequent characters first); what is none of these is asked of `uchardet`
(Mozilla's detector; Li and Momoi 2001), which comes with resiliparse; and the answer must decode the bytes to letters
and punctuation, or it is not believed. Where too few characters speak for an encoding, as in English with a Chinese
name in it, the file is a problem that is told, with what it may be written in.
`tests/data/reading/test_encoding.py` has what is right how often.
"""

from __future__ import annotations

import codecs
import importlib.util
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sensorium.errors import require

HEAD = 1 << 24
"""Bytes of a file that its encoding is decided by."""
CONFIDENCE = 0.75
"""Below it a guess is not used."""
_SURE = 0.85
_DOUBTED = 0.5
"""How much is believed of an encoding where one of another kind may be meant, and of one that is worth naming."""
_USUAL = 0.8
"""Share of usual characters that a text has at least in an encoding that it may be written in."""
_SAMPLE = 1 << 16
_UTF8 = "utf-8-sig"
"""UTF-8, whose byte order mark, if there is one, is no part of the text."""
_MARKS = (
    (codecs.BOM_UTF8, _UTF8),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ESCAPES = ((b"\x1b$B", "iso2022_jp"), (b"\x1b$@", "iso2022_jp"), (b"\x1b(J", "iso2022_jp"), (b"\x1b$)C", "iso2022_kr"))
_HIGH_RUNS = re.compile(rb"[\x80-\xff]+")
_HIGH_LINES = re.compile(rb"[^\n]*[\x80-\xff][^\n]*\n?")
_SINGLE = {
    "iso8859-1": "cp1252",
    "cp1250": "cp1250",
    "iso8859-2": "iso8859-2",
    "cp1251": "cp1251",
    "koi8-r": "koi8-r",
    "iso8859-5": "iso8859-5",
    "cp866": "cp866",
    "x-mac-cyrillic": "mac_cyrillic",
    "cp1252": "cp1252",
    "iso8859-15": "iso8859-15",
    "cp1253": "cp1253",
    "iso8859-7": "iso8859-7",
    "cp1254": "cp1254",
    "iso8859-9": "cp1254",
    "cp1255": "cp1255",
    "iso8859-8": "iso8859-8",
    "cp1256": "cp1256",
    "iso8859-6": "iso8859-6",
    "cp1257": "cp1257",
    "iso8859-13": "iso8859-13",
    "iso8859-4": "iso8859-4",
    "cp1258": "cp1258",
    "tis-620": "cp874",
    "iso8859-11": "cp874",
    "cp874": "cp874",
}
"""Encodings of one byte a character that are believed of uchardet, by Python's name or uchardet's; of some the superset
that is really meant. Those of old terminals are not: it names them where it knows nothing better."""

_LATIN = frozenset(
    ("cp1250", "cp1252", "cp1254", "cp1257", "cp1258", "iso8859-2", "iso8859-4", "iso8859-13", "iso8859-15")
)
"""Those of Latin letters."""


class EncodingError(ValueError):
    """Bytes are no text, or in no encoding that can be told.

    Args:
        problem: what is wrong.
        candidates: encodings that they may be in, the likeliest first.
    """

    def __init__(self, problem: str, candidates: Sequence[str] = ()) -> None:
        super().__init__(problem)
        self.candidates = tuple(candidates)


@dataclass(frozen=True)
class Guess:
    """An encoding, and how much speaks for it, from 0 to 1."""

    encoding: str
    confidence: float


def find_encoding(head: bytes, *, complete: bool = True) -> str:
    """The encoding that bytes are written in, by the name that Python knows it by.

    Args:
        head: the first bytes of a file, `HEAD` of them or all.
        complete: whether they are all; otherwise the last character may be cut.

    Raises:
        EncodingError: they are binary data, damaged UTF-8, or text in an encoding that can't be told.
    """
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            _check(head, encoding, complete=complete)
            return encoding
    if b"\0" in head[:_SAMPLE]:
        return _with_nulls(head, complete=complete)
    for escape, encoding in _ESCAPES:
        if escape in head and _decodes(head, encoding, complete=complete):
            return encoding
    wrong = _error(head, _UTF8, complete=complete)
    if wrong is None:
        return _UTF8
    if _mostly_utf8(head):
        raise EncodingError(f"not valid UTF-8 near byte {wrong}")
    guess = guess_encoding(head, complete=complete)
    if guess is None or guess.confidence < CONFIDENCE:
        candidates = _candidates(head, complete=complete)
        perhaps = f", perhaps {_either(candidates)}" if candidates else ""
        more = "" if perhaps or _installed() else ", and without sensorium[prepare] few other encodings are known"
        raise EncodingError(f"not valid UTF-8 near byte {wrong}{perhaps}{more}", candidates)
    return guess.encoding


def guess_encoding(head: bytes, *, complete: bool = True) -> Guess | None:
    """The likeliest encoding of bytes that are not UTF-8; None where nothing fits."""
    sample = _sample(head)
    pairs, singles = _guesses(head, sample, complete=complete)
    # Bytes that all pair up into frequent characters do so for a reason; letters with accents prove less.
    if singles is None or (pairs is not None and pairs.confidence > _SURE):
        return pairs
    if _in_pairs(sample) and (pairs or _usual(sample)):
        # Either may be meant. Chinese is easily read as letters with accents, but seldom as words of another alphabet.
        if pairs and singles.confidence >= CONFIDENCE and singles.encoding not in _LATIN:
            pairs = _doubted(pairs)
        singles = _doubted(singles)
    return max((guess for guess in (pairs, singles) if guess), key=lambda guess: guess.confidence)


def _doubted(guess: Guess) -> Guess:
    return Guess(guess.encoding, min(guess.confidence, _DOUBTED))


def _guesses(head: bytes, sample: bytes, *, complete: bool) -> tuple[Guess | None, Guess | None]:
    """The likeliest encoding of Chinese, Japanese and Korean, and the likeliest of one byte a character."""
    pairs, singles = (
        guess if guess and _decodes(head, guess.encoding, complete=complete) else None
        for guess in (_east_asian(sample), _by_uchardet(sample))
    )
    return pairs, singles


def _usual(sample: bytes) -> list[Guess]:
    """The encodings of Chinese, Japanese and Korean in which nearly all characters are usual ones."""
    fits = ((encoding, _fit(sample, encoding, rows, mark)) for encoding, rows, mark in _EAST_ASIAN)
    return [Guess(encoding, fit.usual) for encoding, fit in fits if fit is not None and fit.usual > _USUAL]


def _candidates(head: bytes, *, complete: bool) -> list[str]:
    """What bytes may be written in that are too few to tell."""
    sample = _sample(head)
    found = [guess for guess in _usual(sample) if _decodes(head, guess.encoding, complete=complete)]
    guesses = sorted(filter(None, _guesses(head, sample, complete=complete)), key=lambda one: -one.confidence)
    found += [guess for guess in guesses if guess.confidence >= _DOUBTED]
    return list(dict.fromkeys(one.encoding for one in sorted(found or guesses[:1], key=lambda one: -one.confidence)))


def _either(names: Sequence[str]) -> str:
    return " or ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else names[0]


def _in_pairs(sample: bytes) -> bool:
    """Whether bytes beyond ASCII always stand two by two: Chinese, Japanese and Korean do so among Latin letters,
    European letters only where they are few."""
    return all(len(run) % 2 == 0 for run in _HIGH_RUNS.findall(sample))


def written(encoding: str) -> str:
    """An encoding's name as people write it."""
    return encoding.upper().removesuffix("-SIG")


def _with_nulls(head: bytes, *, complete: bool) -> str:
    """The encoding of bytes with zeros in them: UTF-16 without a mark, or UTF-8 with a few stray ones.

    Raises:
        EncodingError: they are binary data.
    """
    sample = np.frombuffer(head[: _SAMPLE // 2 * 2], np.uint8)
    nulls = sample == 0
    odd, even = float(nulls[1::2].mean()), float(nulls[::2].mean())
    for share, other, encoding in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        wide = share > 0.2 and other < share / 10
        if wide and _decodes(head, encoding, complete=complete) and _printable(head[: _SAMPLE // 2 * 2], encoding):
            return encoding
    controls = (sample < 32) & (sample != 0) & ~np.isin(sample, (9, 10, 12, 13, 27))
    if nulls.mean() < 0.05 and not controls.any() and _decodes(head, _UTF8, complete=complete):
        return _UTF8
    raise EncodingError("a binary file, not text")


def _printable(sample: bytes, encoding: str) -> bool:
    text = sample.decode(encoding, "ignore")
    return sum(char.isprintable() or char in "\t\n\r\f" for char in text) > 0.95 * len(text)


def _error(head: bytes, encoding: str, *, complete: bool) -> int | None:
    """The place of the first byte that cannot be decoded."""
    try:
        codecs.getincrementaldecoder(encoding)().decode(head, final=complete)
    except UnicodeDecodeError as error:
        return error.start
    return None


def _decodes(head: bytes, encoding: str, *, complete: bool) -> bool:
    return _error(head, encoding, complete=complete) is None


def _check(head: bytes, encoding: str, *, complete: bool) -> None:
    wrong = _error(head, encoding, complete=complete)
    if wrong is not None:
        raise EncodingError(f"not valid {written(encoding)} near byte {wrong}")


def _mostly_utf8(head: bytes) -> bool:
    """Whether bytes are UTF-8 that is damaged, rather than another encoding: most of what is no ASCII is valid."""
    text = _sample(head).decode("utf-8", "replace")
    wrong = text.count("\ufffd")
    return sum(map(len, re.findall(r"[^\x00-\x7f\ufffd]+", text))) > 4 * wrong


def _sample(head: bytes) -> bytes:
    """The lines that are not all ASCII, so many of them."""
    lines, size = list[bytes](), 0
    for match in _HIGH_LINES.finditer(head):
        lines.append(match.group()[:_SAMPLE])
        size += len(lines[-1])
        if size >= _SAMPLE:
            break
    return b"".join(lines)


_Rows = tuple[int, int]
_EAST_ASIAN: tuple[tuple[str, tuple[_Rows, ...], _Rows | None], ...] = (
    ("gb18030", ((0xA1, 0xA3), (0xB0, 0xD7)), (0xC9, 0xD7)),
    ("big5hkscs", ((0xA1, 0xC6),), None),
    ("cp932", ((0x81, 0x83), (0x88, 0x97)), (0x82, 0x83)),
    ("euc_jp", ((0xA1, 0xA5), (0xB0, 0xCF)), (0xA4, 0xA5)),
    ("cp949", ((0xA1, 0xA3), (0xB0, 0xC8)), (0xB0, 0xC8)),
)
"""First bytes of the usual characters, and of those by which the encoding is known (None: second bytes below 80)."""
_NEEDED = {"gb18030": 0.12, "big5hkscs": 0.15, "cp932": 0.2, "euc_jp": 0.2, "cp949": 0.6}
"""Share of the characters beyond ASCII that must be of the latter."""
_DOUBT = {"cp949": 3}
"""Different characters that prove nothing, 1 for the others. Two in three usual characters of GB 2312 stand in Korean
rows, so that nine of them do so by chance once in 50 times."""


def _east_asian(sample: bytes) -> Guess | None:
    """The likeliest of the encodings of Chinese, Japanese and Korean.

    Each has its frequent characters in some rows: GB 2312's first level, sorted by sound, in B0-D7, and its rarer ones
    in D8-F7; Big5's in A4-C6; the Korean syllables in B0-C8; kana in 82-83 (Shift JIS) and A4-A5 (EUC-JP). Korean rows
    are among the Chinese ones, but Chinese text has a third of its characters beyond them. The second bytes of Big5 are
    often ASCII, those of the EUC encodings never.
    """
    found = list[Guess]()
    for encoding, rows, mark in _EAST_ASIAN:
        fit = _fit(sample, encoding, rows, mark)
        if fit is not None and fit.marked >= _NEEDED[encoding]:
            # The same word a thousand times proves no more than once.
            score = fit.usual * fit.different / (fit.different + _DOUBT.get(encoding, 1))
            found.append(Guess(encoding, score))
    return max(found, key=lambda guess: guess.confidence, default=None)


@dataclass(frozen=True)
class _Fit:
    """What a text's characters beyond ASCII would be in an encoding: how many different ones, and the shares of usual
    ones and of those by which the encoding is known."""

    different: int
    usual: float
    marked: float


def _fit(sample: bytes, encoding: str, rows: tuple[_Rows, ...], mark: _Rows | None) -> _Fit | None:
    """None if it is not that encoding."""
    text = sample.decode(encoding, "replace")
    beyond = [char for char in text if char > "\x7f"]
    if not beyond or beyond.count("\ufffd") > 0.02 * len(beyond) + 1:
        return None
    counts, leads, low = Counter(beyond), Counter[int](), 0
    for char, count in counts.items():
        code = b"" if char == "\ufffd" else char.encode(encoding)
        if len(code) == 2:
            leads[code[0]] += count
            low += count * (code[1] < 0x80)
    usual = sum(leads[row] for first, last in rows for row in range(first, last + 1))
    marked = low if mark is None else sum(leads[row] for row in range(mark[0], mark[1] + 1))
    return _Fit(len(counts), usual / len(beyond), marked / len(beyond))


def _by_uchardet(sample: bytes) -> Guess | None:
    if not _installed():
        return None
    parse = require("resiliparse.parse.encoding", extra="prepare", purpose="telling encodings")
    told = parse.detect_encoding(sample, max_len=_SAMPLE, html5_compatible=False)
    for encoding in dict.fromkeys((_SINGLE.get(str(told).lower()), "cp1252")):
        if encoding is not None and _decodes(sample, encoding, complete=True):
            return Guess(encoding, _plausible(sample.decode(encoding)))
    return None


def _plausible(text: str) -> float:
    """How much the characters beyond ASCII look like text: letters that stand by letters of their kind, and marks."""
    right = whole = 0
    for match in re.finditer(r"[^\x00-\x7f]+", text):
        run = match.group()
        around = text[max(match.start() - 1, 0) : match.start()] + text[match.end() : match.end() + 1]
        for char in run:
            kind = unicodedata.category(char)
            whole += 1
            if kind[0] in "LM":
                right += char.islower() or len(run) > 1 or not around.isupper() or around.isspace()
            else:
                right += char in "\u00a0«»“”„‘’‚–—…•·°§©®€£№¿¡\u00ad´²³½"
    return right / (whole + 1)


def _installed() -> bool:
    return importlib.util.find_spec("resiliparse") is not None
