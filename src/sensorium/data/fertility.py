"""How well a tokenizer fits each language: tokens a word, and how much of the text it cannot write.

Fertility is Rust et al.'s (2021). Words are counted as in `sensorium.data.characters`: for Chinese, tokens a word are
tokens a character, but for punctuation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorium.data.characters import Characters
from sensorium.data.tokens.tokenizer import Tokenizer

_BATCH = 1 << 20
"""Characters that are tokenised together."""
_UNDECODED = "\ufffd"
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
"""How SentencePiece's models name the bytes that they fall back to."""


@dataclass(frozen=True, kw_only=True)
class Fertility:
    """Of a tokenizer in a language."""

    words: int
    characters: int
    bytes: int
    tokens: int
    unknown: int
    """Tokens that stand for text that the vocabulary cannot write."""
    fragments: int
    """Tokens that are some bytes of a character, or bytes that the tokenizer fell back to."""

    @property
    def tokens_per_word(self) -> float:
        """The fertility; 1 is the best."""
        return self.tokens / max(self.words, 1)

    @property
    def tokens_per_character(self) -> float:
        return self.tokens / max(self.characters, 1)

    @property
    def bytes_per_token(self) -> float:
        """How far the text is compressed."""
        return self.bytes / max(self.tokens, 1)

    @property
    def coverage(self) -> float:
        """The share of tokens that are neither."""
        return 1 - (self.unknown + self.fragments) / max(self.tokens, 1)

    def to_dict(self) -> dict[str, Any]:
        """The counts, and what follows from them, for JSON."""
        names = ("tokens_per_word", "tokens_per_character", "bytes_per_token", "coverage")
        return {**asdict(self), **{name: round(getattr(self, name), 4) for name in names}}


def fertility(tokenizer: Tokenizer, texts: Mapping[str, Sequence[str]]) -> dict[str, Fertility]:
    """Measure a tokenizer on texts of several languages.

    Args:
        tokenizer: any.
        texts: by the code of their language.

    Returns:
        By language, in the order of the codes.
    """
    return {code: _of_language(tokenizer, held) for code, held in sorted(texts.items())}


def _of_language(tokenizer: Tokenizer, texts: Sequence[str]) -> Fertility:
    import pyarrow as pa

    found = np.zeros(tokenizer.vocab_size, np.int64)
    words = characters = size = 0
    for batch in _batches(texts):
        counted = Characters.of(pa.array(batch, pa.large_string()))
        words += len(counted.starts)
        characters += len(counted.text)
        size += sum(len(text.encode()) for text in batch)
        for ids in tokenizer.encode_raw(batch):
            found += np.bincount(np.asarray(ids, np.int64), minlength=len(found))
    unknown = 0 if tokenizer.unk_id is None else int(found[tokenizer.unk_id])
    in_bytes = int(found[fragments(tokenizer)].sum())
    return Fertility(
        words=words, characters=characters, bytes=size, tokens=int(found.sum()), unknown=unknown, fragments=in_bytes
    )


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    batch, size = list[str](), 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def fragments(tokenizer: Tokenizer) -> NDArray[np.bool_]:
    """Of each token whether it is some bytes of a character: named so, or not to be decoded alone."""
    ids = range(tokenizer.vocab_size)
    texts = tokenizer.backend.decode_batch([[id] for id in ids], skip_special_tokens=False)
    tokens = map(tokenizer.token, ids)
    found = [
        _BYTE.fullmatch(token) is not None or (_UNDECODED in text and _UNDECODED not in token)
        for token, text in zip(tokens, texts, strict=True)
    ]
    return np.asarray(found, np.bool_)
