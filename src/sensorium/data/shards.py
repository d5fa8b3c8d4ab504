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
from itertools import chain, pairwise
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
    """Writes one split; call `close` at the end.

    Everything goes to disk as it comes: memory does not grow with the number of documents.
    """

    def __init__(self, folder: Path, vocab_size: int) -> None:
        self._folder = folder
        self._dtype = token_dtype(vocab_size)
        self._digest = xxhash.xxh3_128()
        self._shards, self._in_shard = 0, 0
        self._file: Any = None
        self._held: list[tuple[Sequence[Sequence[int]], int]] = []
        folder.mkdir(parents=True)
        self._documents = _Offsets(folder / "documents.npy")
        self._sentences = _Offsets(folder / "sentences.npy")
        self._document_sentences = _Offsets(folder / "document_sentences.npy")
        self._bytes = _Numbers(folder / "bytes.npy")

    def add(self, sentences: Sequence[Sequence[int]], n_bytes: int) -> None:
        """Append a document, given as its sentences' token ids."""
        self._held.append((sentences, n_bytes))
        if len(self._held) >= _HELD:
            self._write_held()

    def extend(
        self,
        tokens: NDArray[Any],
        documents: NDArray[np.integer[Any]],
        sentences: NDArray[np.integer[Any]],
        counts: NDArray[np.integer[Any]],
        n_bytes: NDArray[np.integer[Any]],
    ) -> None:
        """Append many documents at once.

        Args:
            tokens: ids of all documents, one after another.
            documents: how many tokens each document has.
            sentences: how many tokens each sentence has, at least one.
            counts: how many sentences each document has.
            n_bytes: how many bytes of UTF-8 each document has.
        """
        self._write_held()
        flat = np.ascontiguousarray(tokens, dtype=self._dtype)
        self._digest.update(flat.data)
        self._write(flat, np.concatenate([[0], np.cumsum(documents, dtype=np.int64)]))
        self._documents.extend(documents)
        self._sentences.extend(sentences)
        self._document_sentences.extend(counts)
        self._bytes.extend(n_bytes)

    def close(self) -> dict[str, Any]:
        """Write the rest; return the split's counts and hash for the manifest."""
        self._write_held()
        if self._file is None:
            self._next_shard()
        self._file.close()
        offsets = (self._documents, self._sentences, self._document_sentences, self._bytes)
        for numbers in offsets:
            numbers.close()
        return {
            "documents": self._documents.count,
            "sentences": self._sentences.count,
            "tokens": self._documents.total,
            "bytes": self._bytes.total,
            "xxh3_128": self._digest.hexdigest(),
        }

    def _write_held(self) -> None:
        if not self._held:
            return
        held, self._held = self._held, []
        ids = [sentence for sentences, _ in held for sentence in sentences]
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        ends = np.cumsum([0, *(len(sentences) for sentences, _ in held)])
        sums, spoken = np.concatenate([[0], np.cumsum(lengths)]), np.concatenate([[0], np.cumsum(lengths > 0)])
        self.extend(
            np.fromiter(chain.from_iterable(ids), self._dtype, int(lengths.sum())),
            np.diff(sums[ends]),
            lengths[lengths > 0],
            np.diff(spoken[ends]),
            np.array([n_bytes for _, n_bytes in held], np.int64),
        )

    def _write(self, flat: NDArray[Any], ends: NDArray[np.int64]) -> None:
        """Write documents, each into one file, and a new file where one is full."""
        first, last = 0, len(ends) - 1
        while first < last:
            room = SHARD_TOKENS - self._in_shard
            until = int(np.searchsorted(ends, ends[first] + room, side="right")) - 1
            if self._file is None or (until <= first and self._in_shard):
                self._next_shard()
                continue
            until = max(until, first + 1)  # a document that is larger than a file has one for itself
            self._file.write(flat[ends[first] : ends[until]].data)
            self._in_shard += int(ends[until] - ends[first])
            first = until

    def _next_shard(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = (self._folder / f"tokens-{self._shards:05}.bin").open("wb")
        self._shards, self._in_shard = self._shards + 1, 0


_HELD = 1024
"""Documents that are gathered before they are written together."""


class _Numbers:
    """A NumPy file of whole numbers that grows as it is written: its head, of a fixed length, is written last."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._rows, self.total, self.count = 0, 0, 0
        self._head()

    def extend(self, values: NDArray[np.integer[Any]]) -> None:
        """Append numbers."""
        self.count += len(values)
        self.total += int(values.sum())
        self._append(np.asarray(values, np.int64))

    def close(self) -> None:
        """Write how many there are."""
        self._file.seek(0)
        self._head()
        self._file.close()

    def _append(self, values: NDArray[np.int64]) -> None:
        self._file.write(np.ascontiguousarray(values).data)
        self._rows += len(values)

    def _head(self) -> None:
        head = {"descr": "<i8", "fortran_order": False, "shape": (self._rows,)}
        np.lib.format.write_array_header_1_0(self._file, head)


class _Offsets(_Numbers):
    """Likewise, of the sums of lengths: where each thing begins, and where the last ends."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._append(np.zeros(1, np.int64))

    def extend(self, values: NDArray[np.integer[Any]]) -> None:
        """Append by lengths."""
        self._append(self.total + np.cumsum(values, dtype=np.int64))
        self.count += len(values)
        self.total += int(values.sum())


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
