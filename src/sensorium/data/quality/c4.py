"""The rules of C4 (Raffel et al. 2020, section 2.2), in two stages: `C4Lines` takes lines out, `C4Documents` documents.

Put `C4Lines` first: sentences are counted in what it leaves. As in the reference implementation (TensorFlow Datasets,
`c4_utils.py`) and in datatrove, lines that speak of terms of use and cookies go too, and so do marks of citations.

For Chinese a line may end in any mark that ends a sentence there, `……` among them; a line of three words is one of five
characters; a single `…` is what a search engine leaves of a line, as `...` is. What speaks of terms of use is found by
the usual Chinese names of such terms (translated by us: no list is published).

The list of bad words is the user's: C4's own is no part of this package. It drops much that is harmless, and more of
what some people write about than of what others do (Dodge et al. 2021).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import regex
from jaxtyping import Bool

from sensorium.data.quality import letters
from sensorium.data.quality.lines import Lines, is_quote, lines_of
from sensorium.data.quality.sentences import sentence_counts
from sensorium.data.quality.verdicts import Verdicts, judged
from sensorium.data.quality.words import SEEN_BYTES, Words, encoded, grouped, words_of
from sensorium.data.stages import TEXT, Mapped, with_column
from sensorium.errors import InputError
from sensorium.files import StrPath, read_errors

if TYPE_CHECKING:
    import pyarrow as pa

_CITATIONS = r"\[\d*\]|\[edit\]|\[citation needed\]|\[编辑\]|\[編輯\]|\[来源请求\]|\[來源請求\]"
_POLICIES = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
_CHINESE_POLICIES = (
    "隐私政策",
    "隐私条款",
    "隱私政策",
    "隱私權政策",
    "使用条款",
    "使用條款",
    "服务条款",
    "服務條款",
    "使用cookie",
    "使用 cookie",
)
_UNSPACED = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")
_NO_WORD = regex.compile(r"[\s\p{Han}\p{Hiragana}\p{Katakana}，。、；：？！]+")


@dataclass(frozen=True, kw_only=True)
class C4Lines:
    """Takes lines out of documents, and blank lines and white space at the ends of lines with them.

    Args:
        stops: only lines stay that end as a sentence does, or in a quote; not in an ellipsis.
        min_words: words of a line that stays; None for any.
        max_word: characters of its longest word; None for any.
        javascript: lines that speak of JavaScript go.
        policies: lines that speak of terms of use, privacy policies or cookies go.
        citations: marks such as `[12]` and `[citation needed]` are taken out first.
        name: of the stage.
    """

    stops: bool = True
    min_words: int | None = 3
    max_word: int | None = 1000
    javascript: bool = True
    policies: bool = True
    citations: bool = True
    name: str = field(default="c4 lines")

    def map(self, batch: pa.RecordBatch) -> Mapped:
        """The documents without these lines, and how many went by which rule. A document may be left with none."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if self.citations and pc.any(pc.match_substring(batch.column(TEXT), "[")).as_py():
            batch = with_column(batch, TEXT, pc.replace_substring_regex(batch.column(TEXT), _CITATIONS, ""))
        counts = dict.fromkeys(
            (
                "lines with long words",
                "lines without a stop",
                "lines of few words",
                "lines about JavaScript",
                "lines about policies",
                "lines kept",
            ),
            0,
        )
        pieces, whole = list[memoryview](), list[int]()
        for text in encoded(batch):
            cut = list(_pieces(text))
            whole.append(len(cut))
            pieces += cut
        kept = list[bytes]()
        for group in grouped(pieces):
            kept += self._cleaned(words_of(group), counts)
        texts = iter(kept)
        joined = [b"\n".join(filter(None, (next(texts) for _ in range(count)))) for count in whole]
        column = pa.array(joined, pa.large_binary()).cast(pa.large_string())
        return Mapped(with_column(batch, TEXT, column), {what: count for what, count in counts.items() if count})

    def _cleaned(self, words: Words, counts: dict[str, int]) -> list[bytes]:
        """What stays of each document."""
        lines = lines_of(words)
        stay = np.ones(len(lines.starts), np.bool_)
        for what, found in self._faults(words, lines):
            counts[what] += int((found & stay).sum())
            stay &= ~found
        counts["lines kept"] += int(stay.sum())
        starts, ends = lines.starts[stay], lines.ends[stay]
        edges = np.zeros(len(words.data) + 1, np.int8)
        edges[starts] += 1
        edges[ends + 1] -= 1  # the byte after a line becomes its line feed; the next line begins later
        data = words.data.copy()
        data[ends] = ord("\n")
        left = data[np.cumsum(edges[:-1], dtype=np.int8).view(np.bool_)].tobytes()
        places = np.concatenate(([0], np.cumsum(ends + 1 - starts)))
        firsts = np.concatenate(([0], np.cumsum(stay)))[lines.offsets]
        bounds = places[firsts].tolist()
        return [left[start : max(start, end - 1)] for start, end in pairwise(bounds)]

    def _faults(self, words: Words, lines: Lines) -> Iterator[tuple[str, Bool[np.ndarray, " lines"]]]:
        """Each rule, and the lines that break it."""
        if self.max_word is not None:
            yield "lines with long words", _long_words(words, lines, self.max_word)
        if self.stops:
            last = lines.bounds[1:] - 1
            codes = words.codes[last]
            ended = words.stopped(last) | is_quote(codes) | (codes == letters.ELLIPSIS)
            yield "lines without a stop", ~ended | lines.ends_in_ellipsis(chinese=False)
        if self.min_words is not None:
            ideographs = words.codes == letters.IDEOGRAPH
            counted = lines.sums(words.spaced).astype(np.float64)
            if ideographs.any():
                counted = np.where(lines.sums(ideographs) > 0, lines.sums(words.weights * words.real), counted)
            yield "lines of few words", counted < self.min_words
        if self.javascript or self.policies:
            text = words.data.tobytes().lower()
            if self.javascript:
                yield "lines about JavaScript", _holding(text, ("javascript",), lines)
            if self.policies:
                yield (
                    "lines about policies",
                    _holding(text, _POLICIES if words.continued is None else _POLICIES + _CHINESE_POLICIES, lines),
                )


@dataclass(frozen=True, kw_only=True)
class C4Documents:
    """Drops documents by the rules of C4 that are about whole pages.

    Args:
        min_sentences: of a document; None for any.
        curly_brackets: documents that hold `{` go: they are code.
        lorem_ipsum: documents that hold these words go.
        bad_words: documents that hold one of these go, in upper or lower case; a word that is written with spaces
            around it must stand alone (see `word_list`).
        name: of the stage.
    """

    min_sentences: int | None = 5
    curly_brackets: bool = True
    lorem_ipsum: bool = True
    bad_words: tuple[str, ...] = ()
    name: str = field(default="c4")

    def judge(self, batch: pa.RecordBatch) -> pa.Array:
        """Of each document the first rule that it breaks, or null."""
        return judged(batch, self.reasons)

    def reasons(self, words: Words, languages: list[str]) -> list[str | None]:
        """The same of documents whose words are known. The rules are the same in all languages."""
        verdicts = Verdicts("c4", words)
        if self.lorem_ipsum:
            verdicts.holding("lorem ipsum", _documents_holding(words, "lorem ipsum"))
        if self.curly_brackets:
            verdicts.holding("curly bracket", words.totals(words.codes == letters.ascii_code("{")) > 0)
        if self.min_sentences is not None:
            counts = sentence_counts(lines_of(words))
            verdicts.below("sentences", counts, self.min_sentences, np.ones(len(words), np.bool_))
        if self.bad_words:
            verdicts.holding("bad words", _matching(words, _any_of(self.bad_words)))
        return verdicts.reasons


def word_list(path: StrPath) -> tuple[str, ...]:
    """The words of a file, one a line, as `C4Documents(bad_words=…)` takes them.

    Raises:
        InputError: the file cannot be read, is no UTF-8, or has no words.
    """
    with read_errors(path):
        data = Path(path).read_bytes()
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError("a list of words must be UTF-8", where=str(path), fix="Convert it") from error
    words = tuple(dict.fromkeys(word for line in lines if (word := line.strip())))
    if not words:
        raise InputError("there are no words in this file", where=str(path), fix="Write one a line")
    return words


def _pieces(text: memoryview) -> Iterator[memoryview]:
    """A document, or the lines of a very long one in pieces. A line of over eight megabytes is none that anyone wrote:
    it goes."""
    start = 0
    while len(text) - start > SEEN_BYTES:
        seen = text[start : start + SEEN_BYTES].tobytes()
        cut = seen.rfind(b"\n")
        if cut >= 0:
            yield text[start : start + cut]
            start += cut + 1
            continue
        while start < len(text) and (cut := text[start : start + SEEN_BYTES].tobytes().find(b"\n")) < 0:
            start += SEEN_BYTES
        start += cut + 1
    yield text[start:]


def _long_words(words: Words, lines: Lines, limit: int) -> Bool[np.ndarray, " lines"]:
    """Which lines hold a run of more characters than that without white space, Chinese or Japanese between them."""
    found = np.zeros(len(lines.starts), np.bool_)
    begins = np.append(words.starts[words.spaced], len(words.data))
    for place in np.flatnonzero(np.diff(begins) > limit):
        start, end = int(begins[place]), int(begins[place + 1])
        run = words.data[start:end].tobytes().decode("utf-8", "replace")
        if max(map(len, _NO_WORD.split(run))) > limit:
            found[np.searchsorted(lines.starts, start, side="right") - 1] = True
    return found


def _places(text: bytes, needles: tuple[str, ...]) -> list[int]:
    """Where any of the needles is."""
    places = list[int]()
    cookies = b"cookie" in text
    for needle in needles:
        if "cookie" in needle and not cookies:
            continue
        sought, place = needle.encode(), -1
        while (place := text.find(sought, place + 1)) >= 0:
            places.append(place)
    return places


def _holding(text: bytes, needles: tuple[str, ...], lines: Lines) -> Bool[np.ndarray, " lines"]:
    """Which lines hold any of the needles."""
    found = np.zeros(len(lines.starts), np.bool_)
    found[np.searchsorted(lines.starts, np.array(_places(text, needles), np.int64), side="right") - 1] = True
    return found


def _documents_holding(words: Words, needle: str) -> Bool[np.ndarray, " documents"]:
    """Which documents hold a text in upper or lower case."""
    places = _places(words.data.tobytes().lower(), (needle,))
    found = np.zeros(len(words), np.bool_)
    found[np.searchsorted(words.begins, np.array(places, np.int64), side="right") - 1] = True
    return found


def _matching(words: Words, pattern: str) -> Bool[np.ndarray, " documents"]:
    """Which documents a pattern is found in, in upper or lower case."""
    import pyarrow as pa
    import pyarrow.compute as pc

    data = words.data.tobytes()
    bounds = words.begins.tolist()
    texts = [data[start : end - 1].decode("utf-8", "replace") for start, end in pairwise(bounds)]
    found = pc.match_substring_regex(pa.array(texts, pa.large_string()), pattern, ignore_case=True)
    return np.array(found.to_pylist(), np.bool_)


@cache
def _any_of(listed: tuple[str, ...]) -> str:
    """A pattern (RE2) that finds any of the words: alone, if it is of a script that has spaces between words."""
    anywhere = [_quoted(word) for word in listed if _UNSPACED.search(word)]
    alone = [_quoted(word) for word in listed if not _UNSPACED.search(word)]
    edged = [rf"(?:^|[^\p{{L}}\p{{N}}_])(?:{'|'.join(alone)})(?:$|[^\p{{L}}\p{{N}}_])"] if alone else []
    return "|".join(anywhere + edged)


def _quoted(word: str) -> str:
    return regex.escape(word, special_only=True, literal_spaces=True)
