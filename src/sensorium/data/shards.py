"""A prepared corpus on disk: token ids in flat memory-mapped files, with document and sentence boundaries.

    corpus/
      manifest.json                     counts, hashes, every setting
      tokenizer.json ...                as in a Hugging Face folder
      train/       tokens-00000.bin     uint16 or uint32, little-endian, no special tokens
                   documents.npy        token offset of each document, and the end
                   sentences.npy        token offset of each sentence, and the end
                   document_sentences.npy   sentence offset of each document, and the end
                   bytes.npy            UTF-8 bytes of each document's text
      validation/  likewise

A document never spans two token files.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import xxhash
from numpy.typing import NDArray

from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import DataError, InputError
from sensorium.files import StrPath, read_errors

Tokens = NDArray[np.uint16] | NDArray[np.uint32]
Offsets = NDArray[np.int64]
FORMAT = 1
SHARD_TOKENS = 1 << 27
SPLITS = ("train", "validation")


def token_dtype(vocab_size: int) -> np.dtype[Any]:
    """The smallest type that holds every id."""
    return np.dtype("<u2") if vocab_size <= 1 << 16 else np.dtype("<u4")


class ShardWriter:
    """Writes one split; call `close` at the end."""

    def __init__(self, folder: Path, vocab_size: int) -> None:
        self._folder = folder
        self._dtype = token_dtype(vocab_size)
        self._documents, self._sentences, self._document_sentences, self._bytes = [0], [0], [0], list[int]()
        self._digest = xxhash.xxh3_128()
        self._shards, self._in_shard = 0, SHARD_TOKENS
        self._file: Any = None
        folder.mkdir(parents=True)

    def add(self, sentences: Sequence[Sequence[int]], n_bytes: int) -> None:
        """Append a document, given as its sentences' token ids."""
        flat = np.fromiter((id for sentence in sentences for id in sentence), dtype=self._dtype)
        if self._in_shard + len(flat) > SHARD_TOKENS:
            self._next_shard()
        self._file.write(flat.tobytes())
        self._digest.update(flat.tobytes())
        self._in_shard += len(flat)
        for sentence in sentences:
            if sentence:
                self._sentences.append(self._sentences[-1] + len(sentence))
        self._documents.append(self._documents[-1] + len(flat))
        self._document_sentences.append(len(self._sentences) - 1)
        self._bytes.append(n_bytes)

    def close(self) -> dict[str, Any]:
        """Write the offsets; return the split's counts and hash for the manifest."""
        if self._file is None:
            self._next_shard()
        self._file.close()
        arrays = {
            "documents": self._documents,
            "sentences": self._sentences,
            "document_sentences": self._document_sentences,
            "bytes": self._bytes,
        }
        for name, values in arrays.items():
            np.save(self._folder / f"{name}.npy", np.asarray(values, dtype=np.int64))
        return {
            "documents": len(self._documents) - 1,
            "sentences": len(self._sentences) - 1,
            "tokens": self._documents[-1],
            "bytes": sum(self._bytes),
            "xxh3_128": self._digest.hexdigest(),
        }

    def _next_shard(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = (self._folder / f"tokens-{self._shards:05}.bin").open("wb")
        self._shards, self._in_shard = self._shards + 1, 0


class TokenShards:
    """One split of a corpus, memory-mapped.

    Raises:
        DataError: files are missing, or do not fit each other.
    """

    def __init__(self, folder: Path, vocab_size: int) -> None:
        self.folder = folder
        try:
            self.document_offsets: Offsets = np.load(folder / "documents.npy", mmap_mode="r")
            self.sentence_offsets: Offsets = np.load(folder / "sentences.npy", mmap_mode="r")
            self.document_sentences: Offsets = np.load(folder / "document_sentences.npy", mmap_mode="r")
            self.document_bytes: Offsets = np.load(folder / "bytes.npy", mmap_mode="r")
            self._shards = [_token_file(path, token_dtype(vocab_size)) for path in sorted(folder.glob("tokens-*.bin"))]
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"the corpus cannot be read: {error}", where=str(folder), fix="Prepare it again") from error
        self._starts = np.cumsum([0, *map(len, self._shards)])
        if self._starts[-1] != self.n_tokens:
            raise DataError(
                f"holds {self._starts[-1]} tokens, its offsets speak of {self.n_tokens}",
                where=str(folder),
                fix="The corpus is incomplete; prepare it again",
            )

    def __len__(self) -> int:
        return len(self.document_offsets) - 1

    @property
    def n_tokens(self) -> int:
        return int(self.document_offsets[-1])

    @property
    def n_sentences(self) -> int:
        return len(self.sentence_offsets) - 1

    @property
    def n_bytes(self) -> int:
        """UTF-8 bytes of the text that the tokens encode."""
        return int(self.document_bytes.sum())

    def head(self, tokens: int) -> TokenShards:
        """The first documents, up to a number of tokens; at least one."""
        return self.first(max(1, int((self.document_offsets[1:] <= tokens).sum())))

    def first(self, count: int) -> TokenShards:
        """The first documents, so many of them."""
        first = copy.copy(self)
        first.document_offsets = self.document_offsets[: count + 1]
        first.document_sentences = self.document_sentences[: count + 1]
        first.sentence_offsets = self.sentence_offsets[: int(first.document_sentences[-1]) + 1]
        first.document_bytes = self.document_bytes[:count]
        return first

    def tokens(self, start: int, stop: int) -> Tokens:
        """Tokens from one offset to another, across documents; a view where they lie in one file."""
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        parts = []
        while start < stop:
            end = min(stop, int(self._starts[first + 1]))
            base = int(self._starts[first])
            parts.append(self._shards[first][start - base : end - base])
            start, first = end, first + 1
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else self._shards[0][:0]

    def document(self, index: int) -> Tokens:
        """All tokens of a document."""
        return self.tokens(int(self.document_offsets[index]), int(self.document_offsets[index + 1]))

    def sentences(self, index: int) -> list[Tokens]:
        """The tokens of each sentence of a document."""
        first, last = int(self.document_sentences[index]), int(self.document_sentences[index + 1])
        ends = self.sentence_offsets[first : last + 1].tolist()
        return [self.tokens(start, stop) for start, stop in pairwise(ends)]


def _token_file(path: Path, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A file's tokens; an empty file cannot be mapped."""
    return np.memmap(path, dtype=dtype, mode="r") if path.stat().st_size else np.empty(0, dtype)


Opened = TypeVar("Opened")
Kind = Literal["text", "parallel"]
MADE_BY = {
    "text": "sensorium prepare FILES --out CORPUS",
    "parallel": "sensorium prepare --parallel FILES --out CORPUS",
}
"""The command that makes a corpus of each kind."""


def kind_of(manifest: dict[str, Any]) -> str:
    """What a corpus is of: `text`, or `parallel` for pairs."""
    return str(manifest.get("kind", "text"))


def open_manifest(folder: Path, kind: Kind | None, then: Callable[[dict[str, Any]], Opened]) -> Opened:
    """Read a corpus's manifest and open the corpus by it.

    Args:
        folder: of the corpus.
        kind: what it must be of; None for any.
        then: makes the corpus of its manifest.

    Raises:
        InputError: the folder is not there, is no corpus, is one of another kind, or cannot be read.
        DataError: it is a corpus, but incomplete.
    """
    path = folder / "manifest.json"
    with read_errors(path):
        if not path.is_file():
            problem = "is not a prepared corpus: it has no manifest.json" if folder.is_dir() else "no such folder"
            problem = "is a file, not a prepared corpus" if folder.is_file() else problem
            raise InputError(problem, where=str(folder), fix=f"Make one with: {MADE_BY[kind or 'text']}")
        content = path.read_bytes()
    try:
        manifest = json.loads(content.decode("utf-8"))
        if manifest["format"] != FORMAT:
            raise DataError(
                f"the corpus has format {manifest['format']}, this version reads {FORMAT}",
                where=str(path),
                fix="Prepare it again",
            )
        if kind is not None and kind_of(manifest) != kind:
            raise InputError(
                f"a corpus of kind {kind_of(manifest)!r}, where one of kind {kind!r} is needed",
                where=str(folder),
                fix=f"Make one with: {MADE_BY[kind]}",
            )
        return then(manifest)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"the manifest cannot be read: {error}", where=str(path), fix="Prepare it again") from error


class Corpus:
    """A folder that `prepare` wrote."""

    folder: Path
    manifest: dict[str, Any]
    """Counts, hashes and every setting."""
    tokenizer: Tokenizer
    train: TokenShards
    validation: TokenShards

    def __init__(self, folder: Path, manifest: dict[str, Any], tokenizer: Tokenizer) -> None:
        self.folder = folder
        self.manifest = manifest
        self.tokenizer = tokenizer
        size = int(manifest["tokenizer"]["vocab_size"])
        self.train, self.validation = (TokenShards(folder / split, size) for split in SPLITS)

    @classmethod
    def open(cls, folder: StrPath) -> Corpus:
        """Open a prepared corpus.

        Raises:
            InputError: the folder is not there, is no corpus, or cannot be read.
            DataError: it is a corpus, but incomplete.
        """
        folder = Path(folder)
        return open_manifest(folder, "text", lambda manifest: cls(folder, manifest, Tokenizer.from_folder(folder)))

    @property
    def fingerprint(self) -> str:
        """Tells corpora apart: a hash of all tokens of both splits."""
        return "-".join(self.manifest["splits"][split]["xxh3_128"] for split in SPLITS)
