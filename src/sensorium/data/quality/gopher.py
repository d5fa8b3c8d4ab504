"""The rules of Gopher (Rae et al. 2021, "Scaling Language Models", appendix A1.1): quality, and repetition (Table A1).

Where the paper leaves room (what a word is, how repeated n-grams are counted) the rules do as datatrove does, which
made FineWeb; marks count among the words of a ratio there, and not as words of a document.

For Chinese the limits are those of FineWeb2 (Penedo et al. 2025; `configs/cmn_Hani.yml` of its repository), which were
set for words cut by a dictionary. Here each character is a piece, so that

* a Chinese character counts as 0.625 of a word: "50 words" are 80 characters;
* the mean length of words is 1.6 in pure Chinese and rises with what is not: only long Latin strings break the rule;
* a word with a letter is one with an ideograph or a letter;
* the stop words are FineWeb2's, each of one character: two different ones must be there, as in English;
* n-grams are of as many characters as words of that number have on average: pairs of words become three characters,
  ten words sixteen.

Other languages are held to the rules that need no words of a language. For one of them give its stop words, and the
limits that FineWeb2 found for it: `Gopher(elsewhere=replace(ELSEWHERE, stop_words=("le", "de", …), min_stop_words=2))`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Int64

from sensorium.data.quality import letters
from sensorium.data.quality.lines import Lines, lines_of, paragraphs_of
from sensorium.data.quality.repeats import commonest, repeated
from sensorium.data.quality.verdicts import CHINESE as IN_CHINESE
from sensorium.data.quality.verdicts import ELSEWHERE as IN_OTHERS
from sensorium.data.quality.verdicts import ENGLISH as IN_ENGLISH
from sensorium.data.quality.verdicts import Verdicts, judged
from sensorium.data.quality.words import Words, hash_of

if TYPE_CHECKING:
    import pyarrow as pa

Orders = tuple[tuple[int, float], ...]


@dataclass(frozen=True, kw_only=True)
class GopherLimits:
    """The limits for one language. None, or nothing in a tuple, switches a rule off; the defaults are the paper's.

    Args:
        min_words: of a document.
        max_words: of a document.
        min_mean_length: characters of its words on average.
        max_mean_length: characters of its words on average.
        max_hashes: `#` a word.
        max_ellipses: `...` and `…` a word.
        max_bullet_lines: share of lines that begin with a bullet (`•`, `-` and the like).
        max_ellipsis_lines: share of lines that end in an ellipsis.
        min_alphabetic: share of words and marks that have a letter.
        stop_words: that text in the language cannot do without, in lower case as they are.
        min_stop_words: how many different ones must be there.
        max_repeated_lines: share of lines that were there before.
        max_repeated_line_characters: share of the characters that are in such lines.
        max_repeated_paragraphs: share of paragraphs that were there before.
        max_repeated_paragraph_characters: share of the characters that are in such paragraphs.
        max_commonest: of n-grams of so many words, the share of the characters that the commonest may take up.
        max_repeated: of n-grams of so many words, the share of the characters that those may take up that were there
            before.
    """

    min_words: int | None = 50
    max_words: int | None = 100_000
    min_mean_length: float | None = 3.0
    max_mean_length: float | None = 10.0
    max_hashes: float | None = 0.1
    max_ellipses: float | None = 0.1
    max_bullet_lines: float | None = 0.9
    max_ellipsis_lines: float | None = 0.3
    min_alphabetic: float | None = 0.8
    stop_words: tuple[str, ...] = ("the", "be", "to", "of", "and", "that", "have", "with")
    min_stop_words: int | None = 2
    max_repeated_lines: float | None = 0.3
    max_repeated_line_characters: float | None = 0.2
    max_repeated_paragraphs: float | None = 0.3
    max_repeated_paragraph_characters: float | None = 0.2
    max_commonest: Orders = ((2, 0.20), (3, 0.18), (4, 0.16))
    max_repeated: Orders = ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))


CHINESE = GopherLimits(
    min_mean_length=1.0,
    max_mean_length=5.0,
    min_alphabetic=0.735,
    stop_words=tuple("的年在月是和日了於·為有被人中为他與後也而由"),
    max_repeated_lines=0.287,
    max_commonest=((3, 0.256), (5, 0.201), (7, 0.171)),
    max_repeated=((8, 0.198), (10, 0.182), (12, 0.167), (13, 0.154), (15, 0.14), (17, 0.127)),
)
"""FineWeb2's, its orders of n-grams in characters. What it left out (repeated paragraphs, characters) is Gopher's."""
ELSEWHERE = GopherLimits(
    min_mean_length=None, max_mean_length=None, min_alphabetic=0.7, stop_words=(), min_stop_words=None
)
"""Of any language; 0.7 is below what FineWeb2 found for each of the large ones."""


@dataclass(frozen=True, kw_only=True)
class Gopher(GopherLimits):
    """Drops documents that break a rule of Gopher. The limits given by name are those for English.

    A document's language is that of the column `language`; without one, its script decides, and Latin letters are taken
    for English. Of a document longer than eight megabytes the first eight are looked at.

    Args:
        chinese: limits for Chinese.
        elsewhere: limits for all other languages.
        name: of the stage.
    """

    chinese: GopherLimits = CHINESE
    elsewhere: GopherLimits = ELSEWHERE
    name: str = field(default="gopher")

    def judge(self, batch: pa.RecordBatch) -> pa.Array:
        """Of each document the first rule that it breaks, or null."""
        return judged(batch, self.reasons)

    def reasons(self, words: Words, languages: list[str]) -> list[str | None]:
        """The same of documents whose words are known."""
        verdicts = Verdicts("gopher", words)
        language = np.array(languages)
        lines = lines_of(words)
        for limits, spoken in ((self, IN_ENGLISH), (self.chinese, IN_CHINESE), (self.elsewhere, IN_OTHERS)):
            among = language == spoken
            if among.any():
                _quality(verdicts, words, lines, limits, among)
                _repetition(verdicts, words, lines, limits, among)
        return verdicts.reasons


def _quality(
    verdicts: Verdicts, words: Words, lines: Lines, limits: GopherLimits, among: Bool[np.ndarray, " documents"]
) -> None:
    """The rules of A1.1 about words and lines."""
    real = words.real
    weights = words.weights
    pieces = np.maximum(words.totals(weights), 1)
    count = words.totals(weights * real)
    verdicts.below("words", count, limits.min_words, among)
    verdicts.above("words", count, limits.max_words, among)
    mean = words.totals(words.lengths * real) / np.maximum(count, 1)
    verdicts.below("word length", mean, limits.min_mean_length, among)
    verdicts.above("word length", mean, limits.max_mean_length, among)
    hashes = words.totals(words.lengths * (words.codes == letters.ascii_code("#")))
    verdicts.above("hashes", hashes / pieces, limits.max_hashes, among)
    dots = (words.codes == letters.ascii_code(".")) * (words.lengths // 3) + (words.codes == letters.ELLIPSIS)
    verdicts.above("ellipses", words.totals(dots) / pieces, limits.max_ellipses, among)
    if limits.max_bullet_lines is not None:
        begins = lines.first_codes()
        bullets = (begins == letters.BULLET) | (begins == letters.ascii_code("-"))
        verdicts.above("bullet lines", lines.share(bullets), limits.max_bullet_lines, among)
    if limits.max_ellipsis_lines is not None:
        verdicts.above("ellipsis lines", lines.share(lines.ends_in_ellipsis()), limits.max_ellipsis_lines, among)
    if limits.min_alphabetic is not None:
        share = words.totals(weights * words.alphabetic) / pieces
        verdicts.below("alphabetic words", share, limits.min_alphabetic, among)
    if limits.min_stop_words is not None and limits.stop_words:
        found = _stop_words(words, limits.stop_words)
        verdicts.below("stop words", found, limits.min_stop_words, among)


def _repetition(
    verdicts: Verdicts, words: Words, lines: Lines, limits: GopherLimits, among: Bool[np.ndarray, " documents"]
) -> None:
    """The rules of Table A1."""
    size = np.maximum(words.characters, 1)
    for what, pieces, many, much in (
        ("paragraphs", None, limits.max_repeated_paragraphs, limits.max_repeated_paragraph_characters),
        ("lines", lines, limits.max_repeated_lines, limits.max_repeated_line_characters),
    ):
        if many is not None or much is not None:
            held = pieces or paragraphs_of(words)
            count, characters = held.repeated
            verdicts.above(f"repeated {what}", count / np.maximum(held.counts, 1), many, among)
            verdicts.above(f"characters in repeated {what}", characters / size, much, among)
    verdicts.named("commonest n-gram", commonest(words, limits.max_commonest, among & verdicts.open), "grams")
    verdicts.named("repeated n-grams", repeated(words, limits.max_repeated, among & verdicts.open), "grams")


def _stop_words(words: Words, stop_words: tuple[str, ...]) -> Int64[np.ndarray, " documents"]:
    """How many different ones each document has."""
    found = np.zeros(len(words), np.int64)
    for hashed in _hashed(stop_words):
        there = np.zeros(len(words), np.bool_)
        there[words.document[words.hashes == np.uint64(hashed)]] = True
        found += there
    return found


@cache
def _hashed(stop_words: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(hash_of(word) for word in stop_words))
