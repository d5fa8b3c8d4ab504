"""Prepared corpora by their kind: of texts (`shards.Corpus`), and of pairs.

    corpus/                 of pairs
      manifest.json         kind, languages, directions, counts, hashes, every setting
      tokenizer.json ...    one tokenizer for all languages; or Marian's files, with one for each side
      train/   source/      token shards; each document is one text
               target/      its translation, under the same number
               directions.npy   uint8: which of the manifest's directions each pair goes
      validation/  likewise

Where the corpus has several directions, or its model several languages, a source begins with the token of its target's
language, `>>zh<<`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorium.data.codes import spelled
from sensorium.data.shards import SPLITS, Corpus, Tokens, TokenShards, kind_of, open_manifest
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import DataError
from sensorium.files import StrPath, text_hash

Direction = tuple[str, str]


def language_token(code: str) -> str:
    """The token that asks for a language, as Marian's models write it."""
    return f">>{code}<<"


def asked_tokens(tokenizer: Tokenizer, directions: Sequence[Direction]) -> dict[str, int | None]:
    """Target language → id of the token that stands first in its sources; None where the tokenizer has none. A model of
    several languages wants it even where one of them alone is learned; where it is of one, the result is empty."""
    known = {code: token for code, token in tokenizer.languages.items() if token == language_token(code)}
    if not known and len(directions) == 1:
        return {}
    names = {target: spelled(target, known) for _, target in directions}
    return {target: None if name is None else tokenizer.id(known[name]) for target, name in names.items()}


class ParallelShards:
    """One split of a corpus of pairs, memory-mapped.

    Args:
        folder: of the split.
        vocab_size: of the sources.
        target_vocab_size: of the targets.

    Raises:
        DataError: files are missing, or do not fit each other.
    """

    def __init__(self, folder: Path, vocab_size: int, target_vocab_size: int) -> None:
        self.folder = folder
        self.source = TokenShards(folder / "source", vocab_size)
        self.target = TokenShards(folder / "target", target_vocab_size)
        try:
            self.directions: NDArray[np.uint8] = np.load(folder / "directions.npy", mmap_mode="r")
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"the corpus cannot be read: {error}", where=str(folder), fix="Prepare it again") from error
        counts = {len(self.source), len(self.target), len(self.directions)}
        if len(counts) > 1:
            raise DataError(
                f"holds {len(self.source)} sources and {len(self.target)} targets",
                where=str(folder),
                fix="The corpus is incomplete; prepare it again",
            )

    def __len__(self) -> int:
        return len(self.source)

    def pair(self, index: int) -> tuple[Tokens, Tokens]:
        """The tokens of a text and of its translation."""
        return self.source.document(index), self.target.document(index)

    @property
    def lengths(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """How many tokens each source has, and each target."""
        return np.diff(self.source.document_offsets), np.diff(self.target.document_offsets)

    @property
    def n_tokens(self) -> int:
        """Tokens of the targets: those that are predicted."""
        return self.target.n_tokens

    @property
    def n_bytes(self) -> int:
        """UTF-8 bytes of the targets' text."""
        return self.target.n_bytes

    def head(self, tokens: int) -> ParallelShards:
        """The first pairs, up to a number of the targets' tokens; at least one."""
        return self.first(len(self.target.head(tokens)))

    def first(self, count: int) -> ParallelShards:
        """The first pairs, so many of them."""
        first = copy.copy(self)
        first.source, first.target = self.source.first(count), self.target.first(count)
        first.directions = self.directions[:count]
        return first


class ParallelCorpus:
    """A folder that `prepare_parallel` wrote."""

    folder: Path
    manifest: dict[str, Any]
    """Counts, hashes and every setting."""
    tokenizer: Tokenizer
    """Of the sources; its `target` is that of the targets, itself but for Marian's."""
    languages: dict[str, str]
    """`source` and `target` of the first direction."""
    directions: tuple[Direction, ...]
    """Every direction that the pairs go: from, to."""
    train: ParallelShards
    validation: ParallelShards

    def __init__(self, folder: Path, manifest: dict[str, Any], tokenizer: Tokenizer) -> None:
        self.folder = folder
        self.manifest = manifest
        self.tokenizer = tokenizer
        self.languages = {side: str(manifest["languages"][side]) for side in ("source", "target")}
        self.directions = tuple((str(source), str(target)) for source, target in manifest["directions"])
        size = int(manifest["tokenizer"]["vocab_size"])
        sizes = (size, int(manifest["tokenizer"].get("target_vocab_size", size)))
        self.train, self.validation = (ParallelShards(folder / split, *sizes) for split in SPLITS)

    @classmethod
    def open(cls, folder: StrPath) -> ParallelCorpus:
        """Open a prepared corpus of pairs.

        Raises:
            InputError: the folder is not there, is no corpus of pairs, or cannot be read.
            DataError: it is one, but incomplete.
        """
        folder = Path(folder)
        return open_manifest(folder, "parallel", lambda manifest: cls(folder, manifest, Tokenizer.from_folder(folder)))

    @property
    def language_tokens(self) -> dict[str, int]:
        """Target language → id of the token that stands first in a source; empty if there is none."""
        ids = asked_tokens(self.tokenizer, self.directions)
        return {code: id for code, id in ids.items() if id is not None}

    @property
    def fingerprint(self) -> str:
        """Tells corpora apart: a hash of all tokens of both splits, both sides."""
        splits = self.manifest["splits"]
        return text_hash("-".join(splits[split][side]["xxh3_128"] for split in SPLITS for side in ("source", "target")))


def open_corpus(folder: StrPath) -> Corpus | ParallelCorpus:
    """Open a prepared corpus, of whatever kind it is.

    Raises:
        InputError: the folder is not there, is no corpus, or cannot be read.
        DataError: it is a corpus, but incomplete.
    """
    path = Path(folder)
    kind = open_manifest(path, None, kind_of)
    return ParallelCorpus.open(path) if kind == "parallel" else Corpus.open(path)
