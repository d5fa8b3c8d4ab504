"""The words of many documents at once, as arrays: where each begins and ends, what it is, and a hash of it.

No string is made of any word. The bytes of some documents stand in one buffer, a line break after each; each byte gets
the code of its character (`letters`), and words are cut where codes change. The words are those of the Unicode rules
(UAX #29) as far as the filters need them: a run of letters and digits, held together by a full stop, or a comma between
digits; each Chinese or Japanese character alone; each mark alone, or a run of one ASCII mark. A contraction is two
words, the second with the apostrophe, as in the Penn Treebank: datatrove counts so, and its limits are used here.

A word of Chinese is longer than its pieces here, and to cut it right takes a dictionary: slow, and the rules would
depend on the dictionary's version. Where a rule counts words, an ideograph counts as `IDEOGRAPH_WORDS` of one.

Hashes are of the bytes alone: the same word has the same in all batches, processes and machines.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash
from jaxtyping import Bool, Float64, Int32, Int64, UInt8, UInt64

from sensorium.data.quality import letters
from sensorium.data.stages import TEXT

if TYPE_CHECKING:
    import pyarrow as pa

IDEOGRAPH_WORDS = 0.6
"""Words that a Chinese character is: by jieba a word has 1.6 characters in news and 1.8 in manuals."""
PART_BYTES = 1 << 20
PART_DOCUMENTS = 1 << 14
"""What is looked at together; few enough that its arrays stay in a core's cache."""
SEEN_BYTES = 8 << 20
"""What is looked at of one document: enough to know that it is too long, or what it is like."""
_END = b"\n"
_PAD = b"\n" * 8
_HASHED_AT_ONCE = 64
_KEEP = np.array([(1 << 8 * size) - 1 for size in range(8)] + [(1 << 64) - 1], np.uint64)
_LETTERED = (np.frombuffer(letters.ASCII, np.uint8) == letters.LETTER) | (np.arange(256) >= 0xC0)
"""Bytes that are letters, or begin what is most likely one."""
_FIRST, _NEXT = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)


@dataclass(frozen=True, eq=False)
class Words:
    """The words and marks of some documents, in order."""

    data: UInt8[np.ndarray, " bytes"]
    """A line break, and the documents in UTF-8 with a line break after each."""
    begins: Int64[np.ndarray, " documents_and_end"]
    """Where each document begins in `data`; it ends one byte before the next begins."""
    continued: Int32[np.ndarray, " places"] | None
    """Of each place in `data`, how many bytes before it do not begin a character; None if all do."""
    starts: Int64[np.ndarray, " words"]
    ends: Int64[np.ndarray, " words"]
    codes: UInt8[np.ndarray, " words"]
    """What the first character of each is."""
    spaced: Bool[np.ndarray, " words"]
    """White space stands before it."""
    offsets: Int64[np.ndarray, " documents_and_end"]
    """The first word of each document."""

    def __len__(self) -> int:
        """Documents."""
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> Int64[np.ndarray, " words"]:
        """Characters of each word."""
        return self.characters_between(self.starts, self.ends)

    @cached_property
    def characters(self) -> Int64[np.ndarray, " documents"]:
        """Characters of each document, white space among them."""
        return self.characters_between(self.begins[:-1], self.begins[1:] - 1)

    @cached_property
    def document(self) -> Int32[np.ndarray, " words"]:
        """Which document each word is of."""
        return np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.offsets))

    @cached_property
    def alphabetic(self) -> Bool[np.ndarray, " words"]:
        """Has a letter or is an ideograph."""
        found: Bool[np.ndarray, " words"] = (self.codes == letters.LETTER) | (self.codes == letters.IDEOGRAPH)
        numeric = np.flatnonzero((self.codes == letters.DIGIT) & (self.ends - self.starts > 1))
        if len(numeric):  # a digit is followed by more: look at each byte of these few
            bounds = np.stack((self.starts[numeric], self.ends[numeric]), axis=1).ravel()
            lettered = _LETTERED[self.data[bounds[0] : bounds[-1] + 1]]
            found[numeric] = np.logical_or.reduceat(lettered, bounds - bounds[0])[::2]
        return found

    @cached_property
    def real(self) -> Bool[np.ndarray, " words"]:
        """Is a word, not a mark."""
        found: Bool[np.ndarray, " words"] = (self.codes >= letters.DIGIT) & (self.codes <= letters.IDEOGRAPH)
        return found

    @cached_property
    def weights(self) -> Float64[np.ndarray, " words"]:
        """Words that each is: one, an ideograph less."""
        return np.where(self.codes == letters.IDEOGRAPH, IDEOGRAPH_WORDS, 1.0)

    @cached_property
    def hashes(self) -> UInt64[np.ndarray, " words"]:
        """64 bits of each word."""
        return _hashes(self.data, self.starts, self.ends)

    def hashes_at(self, words: Int64[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
        """64 bits of some words."""
        return _hashes(self.data, self.starts[words], self.ends[words])

    def characters_between(
        self, starts: Int64[np.ndarray, " n"], ends: Int64[np.ndarray, " n"]
    ) -> Int64[np.ndarray, " n"]:
        """Characters between places in `data`."""
        count: Int64[np.ndarray, " n"] = ends - starts
        if self.continued is not None:
            count = count - (self.continued[ends] - self.continued[starts])
        return count

    def stopped(self, words: Int64[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Which of some words are stops, or end in a full stop, as `U.S.` does."""
        found: Bool[np.ndarray, " n"] = is_stop(self.codes[words]) | (self.data[self.ends[words] - 1] == ord("."))
        return found

    def totals(self, values: Any) -> Any:
        """The sum of one value a word over the words of each document."""
        return sums(self.offsets, values)


def is_stop(codes: UInt8[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Which marks end a sentence."""
    found: Bool[np.ndarray, " n"] = codes == letters.STOP
    for mark in letters.STOPS:
        found |= codes == letters.ascii_code(mark)
    return found


def sums(offsets: Int64[np.ndarray, " groups_and_end"], values: Any) -> Any:
    """Sums of consecutive values in groups, of which some may be empty; the groups hold all values."""
    total = np.zeros(len(offsets) - 1, np.float64 if values.dtype.kind == "f" else np.int64)
    filled = offsets[1:] > offsets[:-1]
    if filled.any():
        total[filled] = np.add.reduceat(values, offsets[:-1][filled], dtype=total.dtype)
    return total


def parts(batch: pa.RecordBatch) -> Iterator[Words]:
    """The words of a batch, some documents at a time, in order."""
    for group in grouped(encoded(batch)):
        yield words_of([text[:SEEN_BYTES] for text in group])


def encoded(batch: pa.RecordBatch) -> list[memoryview]:
    """The texts of a batch in UTF-8, not copied. A missing one is empty."""
    import pyarrow as pa

    column = batch.column(TEXT).cast(pa.large_string())
    if not len(column):
        return []
    _, places, data = column.buffers()
    offsets = np.frombuffer(places, np.int64)[column.offset : column.offset + len(column) + 1].tolist()
    view = memoryview(data) if data is not None else memoryview(b"")
    if not column.null_count:
        return [view[start:end] for start, end in pairwise(offsets)]
    known = column.is_valid().to_pylist()
    return [
        view[start:end] if valid else view[:0] for start, end, valid in zip(offsets, offsets[1:], known, strict=False)
    ]


def grouped(texts: list[memoryview]) -> Iterator[list[memoryview]]:
    """Texts that follow each other, about a megabyte of them together."""
    group, held = list[memoryview](), 0
    for text in texts:
        if group and (held + len(text) > PART_BYTES or len(group) == PART_DOCUMENTS):
            yield group
            group, held = [], 0
        group.append(text)
        held += len(text)
    if group:
        yield group


def words_of(texts: list[memoryview] | list[bytes]) -> Words:
    """The words of some documents.

    Args:
        texts: in UTF-8. One that was cut in the middle of a character has a mark there.
    """
    buffer = b"".join((_END, _END.join(texts), _END, _PAD))
    data = np.frombuffer(buffer, np.uint8)
    begins = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)) + 1, out=begins[1:])
    begins += 1
    size = int(begins[-1])
    codes = np.frombuffer(bytearray(buffer.translate(letters.ASCII)), np.uint8)
    continued, alone = None, None
    if not buffer.isascii():
        alone = _look_up(data, codes)
        continued = np.zeros(size + 1, np.int32)
        np.cumsum((data[:size] & 0xC0) == 0x80, out=continued[1:])
    cuts = _join(data, codes)
    alike = codes & letters.ALIKE
    new = alike[1:size] != alike[: size - 1]
    new[cuts - 1] = True
    if alone is not None:
        new[alone - 1] = True
    bounds = np.flatnonzero(new) + 1
    first = codes[bounds]
    words = np.flatnonzero(first[:-1] if len(first) else first)
    starts = bounds[words]
    return Words(
        data=data,
        begins=begins,
        continued=continued,
        starts=starts,
        ends=bounds[words + 1],
        codes=first[words],
        spaced=codes[starts - 1] == letters.SPACE,
        offsets=np.searchsorted(starts, begins),
    )


def _look_up(data: UInt8[np.ndarray, " n"], codes: UInt8[np.ndarray, " n"]) -> Int64[np.ndarray, " alone"]:
    """Write the codes of the characters outside ASCII; return where those begin that are pieces of their own."""
    table = letters.code_points()
    places = np.flatnonzero(data >= 0xC0)
    places = places[places < len(data) - len(_PAD)]
    lead = data[places]
    alone = list[Any]()
    for size, low, high, bits in ((2, 0xC0, 0xE0, 0x1F), (3, 0xE0, 0xF0, 0x0F), (4, 0xF0, 0x100, 0x07)):
        chosen = (lead >= low) & (lead < high)
        at = places if chosen.all() else places[chosen]
        if not len(at):
            continue
        point = data[at].astype(np.int32) & bits
        for step in range(1, size):
            point = (point << 6) | (data[at + step] & 0x3F)
        code = table[np.minimum(point, 0x10FFFF)]
        for step in range(size):
            whole = (data[at + step] & 0xC0) == 0x80 if step else slice(None)
            codes[at[whole] + step] = code[whole]
        alone.append(at[(code > letters.LETTER) & (code != letters.APOSTROPHE)])
    return np.concatenate(alone) if alone else np.empty(0, np.int64)


def _join(data: UInt8[np.ndarray, " n"], codes: UInt8[np.ndarray, " n"]) -> Int64[np.ndarray, " cuts"]:
    """Make part of a word what stands within one: `e.g`, `U.S.`, `.5`, `3,000`, `1/2`. An apostrophe joins what follows
    it; return where."""
    for mark in ".,/":
        at = np.flatnonzero(data[: -len(_PAD)] == ord(mark))
        before, after = codes[at - 1], codes[at + 1]
        if mark == ",":
            within = (before == letters.DIGIT) & (after == letters.DIGIT)
        elif mark == "/":
            within = ((before & letters.ALIKE) == letters.DIGIT) & (after == letters.DIGIT)
        else:
            number = (before == letters.SPACE) & (after == letters.DIGIT)
            within = ((before & letters.ALIKE) == letters.DIGIT) & ((after & letters.ALIKE) == letters.DIGIT) | number
            initials = (before == letters.LETTER) & (data[at - 2] == ord(".")) & (codes[at - 3] == letters.LETTER)
            within |= initials
        codes[at[within]] = letters.DIGIT
    cuts = list[Any]()
    for at, size in (
        (np.flatnonzero(data[: -len(_PAD)] == ord("'")), 1),
        (np.flatnonzero(codes == letters.APOSTROPHE)[::3], 3),
    ):
        within = ((codes[at - 1] & letters.ALIKE) == letters.DIGIT) & (codes[at + size] == letters.LETTER)
        cuts.append(at[within])
        for step in range(size):
            codes[cuts[-1] + step] = letters.LETTER
    return np.concatenate(cuts)


def _hashes(
    data: UInt8[np.ndarray, " n"], starts: Int64[np.ndarray, " words"], ends: Int64[np.ndarray, " words"]
) -> UInt64[np.ndarray, " words"]:
    """Eight bytes at a time; the few very long words by themselves."""
    eights = np.ndarray((len(data) - 7,), "<u8", data, strides=(1,))
    left = ends - starts
    hashes = _mixed((eights[starts] & _KEEP[np.minimum(left, 8)]) * _FIRST + left.view(np.uint64))
    long = np.flatnonzero((left > 8) & (left <= _HASHED_AT_ONCE))
    done = 8
    while len(long):
        tail = eights[starts[long] + done] & _KEEP[np.minimum(left[long] - done, 8)]
        hashes[long] = _mixed((hashes[long] ^ tail) * _NEXT)
        done += 8
        long = long[left[long] > done]
    for word in np.flatnonzero(left > _HASHED_AT_ONCE):
        hashes[word] = xxhash.xxh3_64_intdigest(data[starts[word] : ends[word]].tobytes())
    return hashes


def _mixed(values: UInt64[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
    """Spread each bit over all."""
    values ^= values >> np.uint64(32)
    values *= _NEXT
    values ^= values >> np.uint64(29)
    return values


def hash_of(word: str) -> int:
    """The hash that a word has wherever it stands; what is no single word has none that is ever met."""
    data = np.frombuffer(word.encode() + _PAD, np.uint8)
    return int(_hashes(data, np.array([0]), np.array([len(data) - len(_PAD)]))[0])
