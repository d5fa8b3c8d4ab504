"""Marian's tokenizers (Junczys-Dowmunt et al. 2018; Tiedemann & Thottingal 2020): one for the source's text, one for
the target's, each with a SentencePiece file of its own, and ids from `vocab.json`, which both share.

Unusual: the vocabulary file decides what a token is. A piece that it lacks is unknown; and a run of characters that
the SentencePiece file does not know is a token after all if the vocabulary has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import processors

from sensorium.data.tokens.sentencepiece import NORMAL, SPACE, USER, PieceModel, build_backend, special_token, tokens_of
from sensorium.data.tokens.tokenizer import Kind, Role, Tokenizer
from sensorium.errors import CheckpointError
from sensorium.files import StrPath, disk_errors, read_json, write_json

SOURCE, TARGET, VOCABULARY, TARGET_VOCABULARY = "source.spm", "target.spm", "vocab.json", "target_vocab.json"
_ROLES: tuple[Role, ...] = ("eos", "unk", "pad")
_UNUSED = 1024
"""Ids more than there are tokens, at most."""


class MarianTokenizer(Tokenizer):
    """A side of the pair; `target` is the other side's of the source's.

    Args:
        model: how the side's text is cut.
        vocabulary: pieces and their ids.
        special: the names of </s>, <unk> and <pad>.
        files: the folder's files, to be written again as they are.
        languages: settings that name the languages, to be written again too.
        target: the target's side; None for the target itself.

    Raises:
        CheckpointError: the vocabulary lacks a special token, or the files cannot be used.
    """

    def __init__(
        self,
        model: PieceModel,
        vocabulary: Mapping[str, int],
        special: dict[Role, str],
        files: Mapping[str, bytes],
        languages: Mapping[str, str],
        target: Tokenizer | None = None,
    ) -> None:
        absent = [token for token in special.values() if token not in vocabulary]
        if absent:
            raise CheckpointError(f"the vocabulary lacks {', '.join(absent)}", fix="Copy or download the folder anew")
        backend = build_backend(
            model,
            _ordered(model, vocabulary, list(special.values())),
            unk_id=vocabulary[special["unk"]],
            special=[special_token(token) for token in (*special.values(), *_languages(vocabulary))],
        )
        eos = special["eos"]
        backend.post_processor = processors.TemplateProcessing(
            single=f"$A {eos}", pair=f"$A $B {eos}", special_tokens=[(eos, vocabulary[eos])]
        )
        super().__init__(backend, special, target=target)
        self._ids = dict(vocabulary)
        self._unknown = vocabulary[special["unk"]]
        self._files, self._named = dict(files), dict(languages)

    def _vocabulary(self, *, added: bool) -> dict[str, int]:
        return self._ids

    @cached_property
    def _tokens(self) -> dict[int, str]:
        return {id: token for token, id in self._ids.items()}

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Token ids; with </s> after them unless `special` is off."""
        return [self._ids.get(token, self._unknown) for token in self.encoding(text, special=special).tokens]

    def encode_batch(self, texts: Sequence[str], *, special: bool = True) -> list[list[int]]:
        """Token ids of many texts, on all cores."""
        encodings = self.backend.encode_batch(list(texts), add_special_tokens=special)
        return [[self._ids.get(token, self._unknown) for token in encoding.tokens] for encoding in encodings]

    def decode(self, ids: Sequence[int] | NDArray[np.integer[Any]], *, skip_special: bool = True) -> str:
        """The text of tokens of either side."""
        roles = self.special.values()
        dropped = {*roles, *_languages(self._ids)} if skip_special else set()
        parts = [""]
        for token in map(self.token, map(int, ids)):
            if token in dropped:
                continue
            if token in roles:
                parts += [f"{token} ", ""]
            else:
                parts[-1] += token
        # What begins after a special token begins without a space, as a text does.
        return "".join(part.lstrip(SPACE) for part in parts).replace(SPACE, " ").strip()

    def token(self, id: int) -> str:
        """The token as it stands in the vocabulary, e.g. `▁word`; empty for an id without one."""
        return self._tokens.get(id, "")

    def id(self, token: str) -> int | None:
        return self._ids.get(token)

    def for_kind(self, kind: Kind, *, types: bool = True) -> Tokenizer:
        """Itself: its tokens stand as a Marian's."""
        return self

    def save(
        self, folder: StrPath, *, kind: Kind | None = None, context: int | None = None, types: bool | None = None
    ) -> None:
        """Write the files that stock `MarianTokenizer` reads into a folder that exists."""
        folder = Path(folder)
        with disk_errors(folder):
            for name, content in self._files.items():
                (folder / name).write_bytes(content)
        tokens = {f"{role}_token": token for role, token in self.special.items()}
        settings: dict[str, Any] = {"tokenizer_class": "MarianTokenizer", **self._named, **tokens}
        settings |= {"clean_up_tokenization_spaces": False, "separate_vocabs": TARGET_VOCABULARY in self._files}
        if context is not None:
            settings["model_max_length"] = context
        write_json(folder / "tokenizer_config.json", settings)
        write_json(folder / "special_tokens_map.json", tokens)


def _languages(vocabulary: Mapping[str, int]) -> list[str]:
    return [token for token in vocabulary if token.startswith(">>") and token.endswith("<<")]


def _ordered(model: PieceModel, vocabulary: Mapping[str, int], special: Sequence[str]) -> list[tuple[str, float]]:
    """Pieces by the vocabulary's ids. Where this side has none there stands what no text holds; its pieces that
    the vocabulary lacks come after all ids, so that text is cut as it was in training."""
    kept = {*special, *_languages(vocabulary)}
    scores = {piece.text: piece.score for piece in model.pieces if piece.kind in (NORMAL, USER)}
    # Spaces are rewritten before text is cut, so nothing matches a piece that has one.
    ordered = [(f" {id}", 0.0) for id in range(max(vocabulary.values()) + 1)]
    for token, id in vocabulary.items():
        if token in kept:
            ordered[id] = (token, 0.0)
        elif token in scores:
            ordered[id] = (token, scores[token])
    return ordered + [(token, score) for token, score in scores.items() if token not in vocabulary]


def read_marian(folder: Path, settings: Mapping[str, Any]) -> MarianTokenizer:
    """The source's tokenizer of a folder, with the target's at its `target`.

    Raises:
        CheckpointError: a file is missing or damaged, or they do not fit each other.
    """
    separate = settings.get("separate_vocabs") is True
    names = [SOURCE, TARGET, VOCABULARY, *([TARGET_VOCABULARY] if separate else [])]
    absent = [name for name in names if not (folder / name).is_file()]
    if absent:
        raise CheckpointError(
            f"{', '.join(absent)} {'is' if len(absent) == 1 else 'are'} missing",
            where=str(folder),
            fix="A Marian folder needs source.spm, target.spm and vocab.json: copy or download it anew",
        )
    files = {name: (folder / name).read_bytes() for name in names}
    tokens = tokens_of(settings)
    special: dict[Role, str] = {role: tokens[role] for role in _ROLES}
    named = {key: settings[key] for key in ("source_lang", "target_lang") if isinstance(settings.get(key), str)}
    vocabulary = _vocabulary(folder / VOCABULARY)
    of_target = _vocabulary(folder / TARGET_VOCABULARY) if separate else vocabulary
    try:
        target = MarianTokenizer(PieceModel.read(folder / TARGET), of_target, special, files, named)
        return MarianTokenizer(PieceModel.read(folder / SOURCE), vocabulary, special, files, named, target)
    except CheckpointError as error:
        raise CheckpointError(error.problem, where=error.where or str(folder), fix=error.fix) from error


def _vocabulary(path: Path) -> dict[str, int]:
    found = read_json(path)
    ids = list(found.values())
    most = len(ids) + _UNUSED
    if not ids or not all(type(id) is int and 0 <= id < most for id in ids) or len(set(ids)) < len(ids):
        raise CheckpointError(
            "does not give every token an id of its own", where=str(path), fix="Copy or download the file anew"
        )
    return found
