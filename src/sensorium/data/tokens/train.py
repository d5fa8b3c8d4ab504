"""Train a tokenizer: byte-level BPE (Radford et al. 2019), WordPiece (Schuster & Nakajima 2012) or Unigram
(Kudo 2018), by the `tokenizers` library.

One tokenizer serves encoders and decoders: it holds [PAD] [UNK] [CLS] [SEP] [MASK] [BOS] [EOS], ids 0 to 6.

Unusual: the same texts give the same BPE and WordPiece vocabulary each time, though the library walks its tables in
a random order; the scores of a Unigram vocabulary differ in their last digits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import regex
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Backend

from sensorium.bundled import DEFAULTS, default_folder
from sensorium.data.tokens.tokenizer import Role, Tokenizer
from sensorium.errors import DataError, InputError, unknown
from sensorium.files import StrPath

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
_NEVER = -1e6
"""A log-probability that no text gives a reason to choose."""
_LONG_WORD = regex.compile(r"\S{250}")
"""Trainers take time with the square of a word's length, so what has no spaces (a minified file, one run of
letters) is learned from in pieces."""


class TokenizerSpec(NamedTuple):
    """What to train."""

    algorithm: str
    vocab_size: int

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.vocab_size}"


def given_folder(tokenizer: StrPath | None) -> Path | None:
    """The folder whose tokenizer is meant, of a model of the user's or a bundled one; None where one is to be trained.

    Raises:
        CheckpointError: the bundled model is not part of this installation.
    """
    if str(tokenizer) in DEFAULTS:
        return default_folder(DEFAULTS[str(tokenizer)][0])
    return Path(tokenizer) if tokenizer is not None and Path(tokenizer).is_dir() else None


def parse_spec(text: str) -> TokenizerSpec:
    """Read "bpe:8000".

    Raises:
        InputError: the form, the algorithm or the size is wrong.
    """
    algorithm, _, size = text.partition(":")
    if algorithm not in ALGORITHMS:
        raise InputError(
            unknown("tokenizer", algorithm, ALGORITHMS),
            fix=f"Write for example {DEFAULT}, or name a folder that holds one, or one of {', '.join(DEFAULTS)}",
        )
    if not (size.isascii() and size.isdigit()) or not _SMALLEST[algorithm] <= int(size) <= 1_000_000:
        raise InputError(
            f"tokenizer size {size!r} is not a number from {_SMALLEST[algorithm]} to 1000000",
            fix=f"Write for example {DEFAULT}",
        )
    return TokenizerSpec(algorithm, int(size))


def train_tokenizer(
    texts: Callable[[], Iterator[str]], spec: TokenizerSpec, *, exact: bool = True, extra: Sequence[str] = ()
) -> Tokenizer:
    """Train on texts.

    Args:
        texts: gives the texts anew at each call.
        spec: algorithm and vocabulary size, special tokens included.
        exact: raise if the texts support fewer tokens; otherwise take what they support.
        extra: special tokens beyond the usual seven, such as `>>zh<<`; their ids follow. Each takes the space after
            it along, so that `>>zh<< text` and the token before `text` are the same.

    Raises:
        DataError: the texts support fewer tokens than asked for, or need more.
    """
    backend = _BACKENDS[spec.algorithm]()
    special = [*SPECIAL.values(), *extra]
    if spec.algorithm == "wordpiece":
        # Else the trainer numbers these as it meets them, in a random order, and breaks ties by their numbers.
        special += [f"##{letter}" for letter in _inner_letters(texts(), backend)]
    pieces = (piece for text in texts() for piece in _pieces(text))
    try:
        backend.train_from_iterator(pieces, _trainer(spec, special))
    except Exception as error:
        raise _untrainable(spec, str(error)) from error
    _check_size(spec, backend.get_vocab_size(), exact=exact)
    backend = _only_special(backend, frozenset([*SPECIAL.values(), *extra]))
    # The mask takes the space before it along, so that "a [MASK] b" leaves no token for the lone space.
    mask = AddedToken(SPECIAL["mask"], lstrip=spec.algorithm != "wordpiece", special=True, normalized=False)
    backend.add_special_tokens([mask, *(AddedToken(t, rstrip=True, special=True, normalized=False) for t in extra)])
    return Tokenizer(backend, dict(SPECIAL))


def _pieces(text: str) -> Iterator[str]:
    """The text, cut where a word is too long."""
    start = 0
    for match in _LONG_WORD.finditer(text):
        yield text[start : match.end()]
        start = match.end()
    yield text[start:]


def _check_size(spec: TokenizerSpec, supported: int, *, exact: bool) -> None:
    if supported > spec.vocab_size:
        raise _untrainable(spec, f"its characters alone need {supported} tokens")
    if exact and supported < spec.vocab_size:
        smaller = f"Use --tokenizer {spec.algorithm}:{supported} or less, or more text"
        raise DataError(
            f"a vocabulary of {spec.vocab_size} is larger than the text supports, which is {supported}",
            fix=smaller if supported >= _SMALLEST[spec.algorithm] else "Give it more text, or leave --tokenizer out",
        )


def _untrainable(spec: TokenizerSpec, reason: str) -> DataError:
    return DataError(
        f"no {spec} tokenizer can be trained on this text: {reason}",
        fix=f"Use a larger {spec.algorithm}, or bpe, which needs no token for each character",
    )


def _inner_letters(texts: Iterator[str], backend: Backend) -> list[str]:
    """The normalised characters that can stand inside a word, sorted."""
    letters = set[str]()
    for text in texts:
        letters.update(text)
    normalised = sorted(set(backend.normalizer.normalize_str("".join(sorted(letters)))))

    def inside(letter: str) -> bool:
        word = backend.normalizer.normalize_str(f"a{letter}a")
        return len(word) == 3 and len(backend.pre_tokenizer.pre_tokenize_str(word)) == 1

    return [letter for letter in normalised if inside(letter)]


def _only_special(backend: Backend, special: frozenset[str]) -> Backend:
    """The tokenizer without what only its trainer was to take for a special token, and with no special token among
    the pieces that Unigram finds in a text."""
    state = json.loads(backend.to_str())
    if state["model"]["type"] == "Unigram":
        pieces = state["model"]["vocab"]
        state["model"]["vocab"] = [[piece, _NEVER if piece in special else score] for piece, score in pieces]
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] in special]
    return Backend.from_str(json.dumps(state))


def _trainer(spec: TokenizerSpec, special: list[str]) -> trainers.Trainer:
    if spec.algorithm == "unigram":
        return trainers.UnigramTrainer(
            vocab_size=spec.vocab_size, special_tokens=special, unk_token=SPECIAL["unk"], show_progress=False
        )
    kind = trainers.BpeTrainer if spec.algorithm == "bpe" else trainers.WordPieceTrainer
    return kind(
        vocab_size=spec.vocab_size,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if spec.algorithm == "bpe" else [],
        min_frequency=2,
        show_progress=False,
    )


def _bpe() -> Backend:
    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    backend.decoder = decoders.ByteLevel()
    return backend


def _wordpiece() -> Backend:
    backend = Backend(models.WordPiece(unk_token=SPECIAL["unk"]))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True, handle_chinese_chars=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    return backend


def _unigram() -> Backend:
    backend = Backend(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    backend.decoder = decoders.Metaspace(prepend_scheme="never")
    return backend


_BACKENDS = {"bpe": _bpe, "wordpiece": _wordpiece, "unigram": _unigram}
