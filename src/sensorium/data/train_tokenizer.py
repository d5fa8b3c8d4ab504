"""Train a tokenizer: byte-level BPE (Radford et al. 2019), WordPiece (Schuster & Nakajima 2012) or Unigram
(Kudo 2018), by the `tokenizers` library.

One tokenizer serves encoders and decoders: it holds [PAD] [UNK] [CLS] [SEP] [MASK] [BOS] [EOS], ids 0 to 6.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import regex
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

from sensorium.data.tokenizer import Role, Tokenizer
from sensorium.errors import DataError, InputError, unknown

SPECIAL: dict[Role, str] = {
    "pad": "[PAD]",
    "unk": "[UNK]",
    "cls": "[CLS]",
    "sep": "[SEP]",
    "mask": "[MASK]",
    "bos": "[BOS]",
    "eos": "[EOS]",
}
ALGORITHMS = ("bpe", "wordpiece", "unigram")
DEFAULT = "bpe:8000"
_SMALLEST = {"bpe": 256 + len(SPECIAL), "wordpiece": 64, "unigram": 64}
_LONG_WORD = regex.compile(r"\S{250}")
"""Trainers take time with the square of a word's length, so what has no spaces (a minified file, one run of
letters) is learned from in pieces."""


class TokenizerSpec(NamedTuple):
    """What to train."""

    algorithm: str
    vocab_size: int

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.vocab_size}"


def parse_spec(text: str) -> TokenizerSpec:
    """Read "bpe:8000".

    Raises:
        InputError: the form, the algorithm or the size is wrong.
    """
    algorithm, _, size = text.partition(":")
    if algorithm not in ALGORITHMS:
        raise InputError(
            unknown("tokenizer", algorithm, ALGORITHMS),
            fix=f"Write for example {DEFAULT}, or name a folder that holds one",
        )
    if not (size.isascii() and size.isdigit()) or not _SMALLEST[algorithm] <= int(size) <= 1_000_000:
        raise InputError(
            f"tokenizer size {size!r} is not a number from {_SMALLEST[algorithm]} to 1000000",
            fix=f"Write for example {DEFAULT}",
        )
    return TokenizerSpec(algorithm, int(size))


def train_tokenizer(texts: Iterator[str], spec: TokenizerSpec, *, exact: bool = True) -> Tokenizer:
    """Train on texts.

    Args:
        texts: an iterator, read once.
        spec: algorithm and vocabulary size, special tokens included.
        exact: raise if the texts support fewer tokens; otherwise take what they support.

    Raises:
        DataError: the texts support fewer tokens than asked for.
    """
    backend, trainer = _BUILDERS[spec.algorithm](spec.vocab_size)
    try:
        backend.train_from_iterator((piece for text in texts for piece in _pieces(text)), trainer)
    except Exception as error:
        raise DataError(f"no {spec} tokenizer can be trained on this text: {error}", fix="Give it more text") from error
    supported = backend.get_vocab_size()
    if exact and supported < spec.vocab_size:
        smaller = f"Use --tokenizer {spec.algorithm}:{supported} or less, or more text"
        raise DataError(
            f"a vocabulary of {spec.vocab_size} is larger than the text supports, which is {supported}",
            fix=smaller if supported >= _SMALLEST[spec.algorithm] else "Give it more text, or leave --tokenizer out",
        )
    # The mask takes the space before it along, so that "a [MASK] b" leaves no token for the lone space.
    mask = AddedToken(SPECIAL["mask"], lstrip=spec.algorithm != "wordpiece", special=True, normalized=False)
    backend.add_special_tokens([mask])
    return Tokenizer(backend, dict(SPECIAL))


def _pieces(text: str) -> Iterator[str]:
    """The text, cut where a word is too long."""
    start = 0
    for match in _LONG_WORD.finditer(text):
        yield text[start : match.end()]
        start = match.end()
    yield text[start:]


def _bpe(size: int) -> tuple[Backend, trainers.Trainer]:
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL.values()),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=2,
        show_progress=False,
    )
    return backend, trainer


def _wordpiece(size: int) -> tuple[Backend, trainers.Trainer]:
    backend = Backend(models.WordPiece(unk_token=SPECIAL["unk"]))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True, handle_chinese_chars=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    return backend, trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=list(SPECIAL.values()), min_frequency=2, show_progress=False
    )


def _unigram(size: int) -> tuple[Backend, trainers.Trainer]:
    backend = Backend(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    backend.decoder = decoders.Metaspace(prepend_scheme="never")
    return backend, trainers.UnigramTrainer(
        vocab_size=size, special_tokens=list(SPECIAL.values()), unk_token=SPECIAL["unk"], show_progress=False
    )


_BUILDERS = {"bpe": _bpe, "wordpiece": _wordpiece, "unigram": _unigram}
