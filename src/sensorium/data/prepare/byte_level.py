"""Byte-level BPE at the speed of counting words: a text is cut into words by arithmetic, and each word made into tokens
once.

With byte-level BPE (Radford et al. 2019) each word of a text is made into tokens alone, and a few ten thousand words
make up most of any text. So it is enough to find where words begin, which needs only the class of each character
(letter, number, white space, other), to number the distinct ones, and to look those up; only words that were not seen
before go through the merges, which the `tokenizers` library does as always. The tokens are the library's, to the last.

The words are those of GPT-2's expression, of which the first alternative that fits counts:

    's|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+

that is: runs of one class, but that a space goes with the word behind it, that white space before a word gives off its
last character, and that an apostrophe which begins a word takes some letters with it. Of which class a character is the
library itself is asked, once for each, since it may know another version of Unicode than others do.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sensorium.data.shards import token_dtype
from sensorium.data.tokens.tokenizer import BYTES, Tokenizer

Lengths = NDArray[np.int64]
CAPACITY = 1 << 18
"""Words whose tokens are held, about: some 50 MB."""
LONGEST = 64
"""Bytes of the longest word whose tokens are held; what is longer hardly comes again."""
_OTHER, _LETTER, _NUMBER, _WHITE, _UNKNOWN = range(5)
_SPACE, _APOSTROPHE = ord(" "), ord("'")
_ONE = np.array([letter in b"stmd" for letter in range(128)])
"""Letters that an apostrophe takes alone."""
_TWO = {ord(first): ord(second) for first, second in ("re", "ve", "ll")}


class Words:
    """The tokens of words, as they are asked for.

    Args:
        tokenizer: one that `words_of` knows.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._model: Any = tokenizer.backend.model
        self._cut: Any = tokenizer.backend.pre_tokenizer
        self._dtype = np.dtype(token_dtype(tokenizer.vocab_size).char)  # in the order of this machine
        self._letters = {byte: letter for letter, byte in BYTES.items()}
        self._tokens = dict[bytes, bytes]()
        self._classes = np.full(0x110000, _UNKNOWN, np.uint8)
        self._learn(np.arange(128, dtype=np.uint32))
        self._ascii = self._classes[:128].tobytes() + bytes(128)

    def __len__(self) -> int:
        """How many words are held."""
        return len(self._tokens)

    def encode(self, texts: Sequence[str]) -> tuple[NDArray[Any], Lengths]:
        """The tokens of texts, one after another, and how many each text has."""
        import pyarrow as pa
        import pyarrow.compute as pc

        text = "".join(texts)
        raw = text.encode()
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        edges = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        if len(raw) == len(text):
            codes: NDArray[Any] = np.frombuffer(raw, np.uint8)
            classes = np.frombuffer(raw.translate(self._ascii), np.uint8)
        else:
            codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
            classes = self._classes_of(codes)
        starts = _starts(codes, classes, edges)
        of_texts = np.searchsorted(starts, edges)
        if len(raw) != len(text):
            starts = _byte_places(raw)[starts]
        words = pa.LargeBinaryArray.from_buffers(
            pa.large_binary(), len(starts) - 1, [None, pa.py_buffer(starts), pa.py_buffer(raw)]
        )
        coded = pc.dictionary_encode(words)
        tokens = self._of(coded.dictionary.to_pylist())
        size = self._dtype.itemsize
        each = np.fromiter(map(len, tokens), np.int64, len(tokens)) // size
        numbers = coded.indices.to_numpy()
        counts = each[numbers]
        ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        places = np.repeat((np.cumsum(each) - each)[numbers] - ends[:-1], counts) + np.arange(ends[-1])
        return np.frombuffer(b"".join(tokens), self._dtype)[places], np.diff(ends[of_texts])

    def _of(self, words: Sequence[bytes]) -> list[bytes]:
        """The tokens of each word."""
        if len(self._tokens) > CAPACITY:
            self._tokens.clear()
        found = list(map(self._tokens.get, words))
        for place in [place for place, tokens in enumerate(found) if tokens is None]:
            word = words[place]
            letters = word.decode("latin-1").translate(self._letters)
            tokens = array(self._dtype.char, [token.id for token in self._model.tokenize(letters)]).tobytes()
            found[place] = tokens
            if len(word) <= LONGEST:
                self._tokens[word] = tokens
        return cast("list[bytes]", found)

    def _classes_of(self, codes: NDArray[np.uint32]) -> NDArray[np.uint8]:
        classes = self._classes[codes]
        new = codes[classes == _UNKNOWN]
        if len(new):
            self._learn(np.unique(new))
            classes = self._classes[codes]
        return classes

    def _learn(self, codes: NDArray[np.uint32]) -> None:
        """Find out the classes of characters: each is put between others, and what the library parts tells it."""
        around = 6
        probe = "".join(f"a{chr(code)}1{chr(code)}!\n" for code in codes.tolist())
        first = np.zeros(len(codes) * around + 1, np.bool_)
        first[[span[0] for _, span in self._cut.pre_tokenize_str(probe)]] = True
        behind_letter, _, behind_number, mark = first[:-1].reshape(-1, around).T[1:5]
        kind = np.where(mark, _WHITE, _OTHER)
        kind[~behind_number] = _NUMBER
        kind[~behind_letter] = _LETTER
        kind[codes == _SPACE] = _WHITE
        self._classes[codes] = kind


def words_of(tokenizer: Tokenizer) -> Words | None:
    """The words of a tokenizer; None for one that is not plainly byte-level BPE."""
    state: dict[str, Any] = json.loads(tokenizer.backend.to_str())
    cut = state["pre_tokenizer"] or {}
    plain = (
        state["model"]["type"] == "BPE"
        and not state["model"].get("dropout")
        and not state["normalizer"]
        and cut.get("type") == "ByteLevel"
        and cut.get("use_regex", True)
        and not cut.get("add_prefix_space")
        and all(token["special"] for token in state["added_tokens"])  # others are found before the words are
    )
    return Words(tokenizer) if plain else None


def _starts(codes: NDArray[Any], classes: NDArray[np.uint8], edges: Lengths) -> Lengths:
    """Where words begin, and the end.

    Args:
        codes: of all characters.
        classes: of all characters.
        edges: where texts begin, and the end.
    """
    size = len(codes)
    edge = np.zeros(size + 1, np.bool_)
    edge[edges] = True
    first = edge.copy()
    first[1:-1] |= classes[1:] != classes[:-1]
    white = classes == _WHITE
    last = np.flatnonzero(white[:-1] & ~(white[1:] | edge[1:-1]))
    first[last] = True
    first[last + 1] = codes[last] != _SPACE
    signs = np.flatnonzero(codes[:-1] == _APOSTROPHE)
    signs = signs[first[signs] & ~edge[signs + 1] & (classes[signs + 1] == _LETTER)]
    letters = codes[signs + 1]
    ones = signs[_ONE[np.minimum(letters, 127)]]
    first[ones + 1] = False
    first[ones + 2] = True
    for one, two in _TWO.items():
        found = signs[(letters == one) & ~edge[signs + 2]]
        found = found[codes[found + 2] == two]
        first[found + 1] = False
        first[found + 3] = True
    return np.flatnonzero(first)


def _byte_places(raw: bytes) -> Lengths:
    """Where each character begins in UTF-8, and the end."""
    places = np.flatnonzero((np.frombuffer(raw, np.uint8) & 0xC0) != 0x80)
    return np.append(places, len(raw))
