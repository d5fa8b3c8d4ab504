"""SentencePiece models (Kudo & Richardson 2018) as tokenizers of our own kind.

A `.model` or `.spm` file is read without the `sentencepiece` package, whose interface gives neither the kind of the
model nor its normalisation; the tests hold the result to that package. Unigram models (Kudo 2018) are read, which is
what T5, mBART, XLM-R and Marian have.

Unusual: the Rust library applies the rules for characters to what looks like one letter, and loses its accents where
no rule is for all of it. So do the fast tokenizers of stock `transformers`; here text is composed first (NFC) where the
rules would compose it, so that decomposed text (a Mac's file names) is read as the package reads it. What remains are
accents on letters that a rule rewrites, such as full-width ones.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers
from tokenizers import Tokenizer as Backend

from sensorium.data.tokens import protobuf
from sensorium.data.tokens.charsmap import check_charsmap
from sensorium.data.tokens.tokenizer import Role
from sensorium.errors import CheckpointError
from sensorium.files import StrPath

SPACE = "▁"
NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
"""Kinds of pieces."""
_UNIGRAM = 1
_KINDS = {2: "BPE", 3: "word", 4: "character"}
_SAVE_FAST = "Save the tokenizer as tokenizer.json: stock AutoTokenizer.from_pretrained(folder).save_pretrained(folder)"
_ALL = 1 << 30
_USUAL: dict[Role, str] = {
    "bos": "<s>", "eos": "</s>", "unk": "<unk>", "sep": "</s>", "pad": "<pad>", "cls": "<s>", "mask": "<mask>",
}  # fmt: skip
"""The names of special tokens where a folder does not say them."""


@dataclass(frozen=True, slots=True)
class Piece:
    """An entry of the vocabulary."""

    text: str
    score: float
    """Log-probability."""
    kind: int = NORMAL


@dataclass(frozen=True, slots=True)
class PieceModel:
    """What a file says of its vocabulary and of the text that it takes."""

    pieces: tuple[Piece, ...]
    charsmap: bytes = field(default=b"", repr=False)
    """Rules that rewrite characters, in the library's own form."""
    dummy_prefix: bool = True
    """A space is put before the text."""
    remove_extra_spaces: bool = True
    byte_fallback: bool = False
    unk_id: int = 0

    @classmethod
    def read(cls, path: StrPath) -> PieceModel:
        """Read a file.

        Raises:
            CheckpointError: it is no such file, or of a kind that is not supported.
        """
        try:
            return cls.parse(Path(path).read_bytes())
        except CheckpointError as error:
            raise CheckpointError(error.problem, where=str(path), fix=error.fix) from error

    @classmethod
    def parse(cls, data: bytes) -> PieceModel:
        """Read the bytes of a file.

        Raises:
            CheckpointError: they are no such file, or of a kind that is not supported.
        """
        try:
            model = _parse(data)
        except (TypeError, ValueError, OverflowError) as error:
            raise CheckpointError(
                f"truncated or no SentencePiece model: {error}", fix="Copy or download the file anew"
            ) from error
        if not 0 <= model.unk_id < len(model.pieces) or model.pieces[model.unk_id].kind != UNKNOWN:
            raise CheckpointError("the SentencePiece model names no unknown piece", fix="Copy or download it anew")
        return model


def _parse(data: bytes) -> PieceModel:
    pieces = list[Piece]()
    settings: dict[str, Any] = {}
    for place, value in protobuf.fields(data):
        match place:
            case 1:
                pieces.append(_piece(protobuf.raw(value)))
            case 2:
                settings |= _trainer(protobuf.raw(value))
            case 3:
                settings |= _normaliser(protobuf.raw(value))
            case _:
                pass
    if not pieces:
        raise ValueError("it holds no pieces")
    return PieceModel(tuple(pieces), **settings)


def _piece(message: bytes) -> Piece:
    found: dict[int, protobuf.Value] = dict(protobuf.fields(message))
    score = protobuf.real(found.get(2, bytes(4)))
    if not math.isfinite(score):
        raise ValueError("a piece without a finite score")
    return Piece(protobuf.text(found.get(1, b"")), score, protobuf.number(found.get(3, NORMAL)))


def _trainer(message: bytes) -> dict[str, Any]:
    found = dict(protobuf.fields(message))
    kind = protobuf.number(found.get(3, _UNIGRAM))
    if kind != _UNIGRAM:
        raise CheckpointError(
            f"a SentencePiece model of the kind {_KINDS.get(kind, kind)} is not supported (only Unigram)",
            fix=_SAVE_FAST,
        )
    if protobuf.number(found.get(24, 0)):
        raise CheckpointError("treat_whitespace_as_suffix is not supported", fix=_SAVE_FAST)
    return {
        "byte_fallback": bool(protobuf.number(found.get(35, 0))),
        "unk_id": protobuf.number(found.get(40, 0)),
    }


def _normaliser(message: bytes) -> dict[str, Any]:
    found = dict(protobuf.fields(message))
    if not protobuf.number(found.get(5, 1)):
        raise CheckpointError("escape_whitespaces=false is not supported", fix=_SAVE_FAST)
    charsmap = protobuf.raw(found.get(2, b""))
    if charsmap:
        check_charsmap(charsmap)
    return {
        "charsmap": charsmap,
        "dummy_prefix": bool(protobuf.number(found.get(3, 1))),
        "remove_extra_spaces": bool(protobuf.number(found.get(4, 1))),
    }


def build_backend(
    model: PieceModel, vocabulary: Sequence[tuple[str, float]], *, unk_id: int, special: Sequence[AddedToken]
) -> Backend:
    """A tokenizer that cuts text as the model does.

    Args:
        model: how text is normalised, and which pieces stand for themselves.
        vocabulary: pieces and scores in the order of their ids, the model's and those that a family adds to them.
        unk_id: the piece that stands for unknown characters.
        special: tokens of the vocabulary that are no text.

    Raises:
        CheckpointError: the library cannot use the vocabulary or the rules.
    """
    there = {text for text, _ in vocabulary}
    never = [piece.text for piece in model.pieces if piece.kind in (UNKNOWN, CONTROL, BYTE) and piece.text in there]
    try:
        backend = Backend(models.Unigram(list(vocabulary), unk_id, model.byte_fallback))
        backend.normalizer = _normalizer(model)
        whole = [piece.text for piece in model.pieces if piece.kind == USER]
        guarded = [*never, *(token.content for token in special)]
        backend.pre_tokenizer = _pre_tokenizer(vocabulary, whole, guarded)
        backend.decoder = _decoder(model)
    except Exception as error:
        raise CheckpointError(
            f"the SentencePiece model cannot be used: {error}", fix="Copy or download it anew"
        ) from error
    backend.add_special_tokens(list(special))
    return backend


def _normalizer(model: PieceModel) -> normalizers.Normalizer:
    steps = list[normalizers.Normalizer]()
    if model.charsmap:
        rules = normalizers.Precompiled(model.charsmap)
        steps = [normalizers.NFC(), rules] if rules.normalize_str("e\u0301") == "\u00e9" else [rules]
    if model.remove_extra_spaces:
        # Spaces alone: other white space that the rules leave is text.
        steps += [normalizers.Replace(Regex(r"\A +"), ""), normalizers.Replace(Regex(" {2,}"), " ")]
    steps.append(normalizers.Replace(" ", SPACE))
    if model.remove_extra_spaces:
        steps.append(normalizers.Replace(Regex(rf"{SPACE}+\z"), ""))
    if model.dummy_prefix:
        steps.append(normalizers.Prepend(SPACE))
    return normalizers.Sequence(steps)


def _pre_tokenizer(
    vocabulary: Sequence[tuple[str, float]], whole: Collection[str], guarded: Collection[str]
) -> pre_tokenizers.PreTokenizer:
    """What the search for the best pieces is split at, which changes nothing of its result but for the literal text
    of a special token, whose first character is cut off so that it is not taken for the token."""
    steps = list[pre_tokenizers.PreTokenizer]()
    if whole:
        longest_first = sorted(whole, key=len, reverse=True)
        steps.append(pre_tokenizers.Split(Regex("|".join(map(re.escape, longest_first))), "isolated"))
    if guarded:
        rest = dict[str, list[str]]()
        for token in sorted({token for token in guarded if len(token) > 1}):
            rest.setdefault(token[0], []).append(re.escape(token[1:]))
        starts = (f"{re.escape(first)}(?={'|'.join(ends)})" for first, ends in rest.items())
        steps.append(pre_tokenizers.Split(Regex("|".join(starts)), "isolated"))
    if not any(SPACE in piece[1:] for piece, _ in vocabulary):
        # No piece goes over the beginning of a word: words are looked up one by one, and remembered.
        steps.append(pre_tokenizers.Split(SPACE, "merged_with_next"))
    return pre_tokenizers.Sequence(steps)


def _decoder(model: PieceModel) -> decoders.Decoder:
    steps: list[decoders.Decoder] = [decoders.Replace(SPACE, " ")]
    if model.byte_fallback:
        steps.append(decoders.ByteFallback())
    steps.append(decoders.Fuse())
    first = _ALL if model.remove_extra_spaces else int(model.dummy_prefix)
    if first:
        steps.append(decoders.Strip(" ", first, 0))
    return decoders.Sequence(steps)


def tokens_of(settings: Mapping[str, Any]) -> dict[Role, str]:
    """The names of the special tokens, as a folder says or as they usually are."""

    def named(role: Role) -> str:
        value = settings.get(f"{role}_token")
        content = value.get("content") if isinstance(value, dict) else value
        return content if isinstance(content, str) else _USUAL[role]

    return {role: named(role) for role in _USUAL}


def special_token(content: str, *, takes_space: bool = False) -> AddedToken:
    """A token that is no text; one in the middle of a sentence takes the space before it."""
    return AddedToken(content, lstrip=takes_space, special=True, normalized=False)
