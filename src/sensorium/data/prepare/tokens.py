"""Documents to tokens, a unit at a time: the sentences of each, and how long they are, in Arrow lists.

Unusual: nothing is done token by token. Byte-level BPE, the default, goes by distinct words (`byte_level`); what other
tokenizers answer, lists of a sentence each, is flattened at once.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sensorium.data.fertility import fragments
from sensorium.data.prepare.account import ledger_dict
from sensorium.data.prepare.arrow import ArrowWriter, read_arrow
from sensorium.data.prepare.byte_level import Words, words_of
from sensorium.data.prepare.segment import HASH, SCRIPT, language_of
from sensorium.data.prepare.split import Splitter
from sensorium.data.prepare.units import Task, mark
from sensorium.data.prepare.work import whole
from sensorium.data.sample import Ledger
from sensorium.data.segment import sentences
from sensorium.data.shards import token_dtype
from sensorium.data.stages import TEXT, neighbours
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.files import write_json

if TYPE_CHECKING:
    import pyarrow as pa

_HELD = 1 << 20
"""Characters that are tokenised together: encodings take some hundred bytes a token while they live."""


@dataclass(frozen=True)
class Tokenise:
    """What is done to a unit in the last step.

    Args:
        folder: the work folder.
        staged: the name of the step that left the documents.
        tokenizer: the folder that holds it.
        version: its hash: another tokenizer may have stood there before.
        splitter: tells which documents are held out.
        strict: whether a unit that must be left out ends the run.
        keep_text: whether the documents themselves are written too.
    """

    folder: str
    staged: str
    tokenizer: str
    version: str
    splitter: Splitter
    strict: bool
    keep_text: bool

    name = "tokens"

    def path(self, number: int, suffix: str) -> Path:
        """A file of a unit."""
        return Path(self.folder, self.name, f"{number:05}{suffix}")

    def __call__(self, task: Task) -> int:
        """Work on a unit; its number, when it is finished."""
        unit, ledger = task.unit.number, Ledger(strict=self.strict)
        for piece, reason in task.left_out:
            ledger.problem(task.unit.parts[0].path, f"batch {piece + 1} of its documents is left out: {reason}")
        begun = time.perf_counter()
        tokenizer, of_bytes, words = _tokenizer(self.tokenizer, self.version)
        first, languages = 0, _Languages(tokenizer.unk_id, of_bytes)
        left_out = {piece for piece, _ in task.left_out}
        with ExitStack() as stack:
            tokens = stack.enter_context(ArrowWriter(self.path(unit, ".arrow")))
            kept = stack.enter_context(_Kept(self.path(unit, ".parquet"))) if self.keep_text else None
            for piece, batch in enumerate(read_arrow(Path(self.folder, self.staged, f"{unit:05}.arrow"))):
                mark(self.path(unit, ".at"), piece)
                held = self.splitter.held_out(batch, unit, first)
                first += batch.num_rows
                if piece in left_out:
                    continue
                encoded = encode(batch.column(TEXT).to_pylist(), tokenizer, words)
                languages.add(batch, encoded)
                tokens.write(encoded.batch(held))
                if kept is not None:
                    kept.write(batch, held)
        write_json(
            self.path(unit, ".json"),
            {
                "ledger": ledger_dict(ledger),
                "languages": languages.counts,
                "seconds": time.perf_counter() - begun,
            },
        )
        self.path(unit, ".at").unlink(missing_ok=True)
        return unit


@dataclass(frozen=True, eq=False)
class Encoded:
    """Documents as tokens.

    Args:
        tokens: ids of all documents.
        documents: how many tokens each has.
        sentences: how many tokens each sentence has; none has none.
        counts: how many sentences each document has.
        n_bytes: how many bytes of UTF-8 each document has.
    """

    tokens: NDArray[Any]
    documents: NDArray[np.int64]
    sentences: NDArray[np.int64]
    counts: NDArray[np.int64]
    n_bytes: NDArray[np.int64]

    def batch(self, held: NDArray[np.bool_]) -> pa.RecordBatch:
        """As a record batch, one row a document."""
        import pyarrow as pa

        return pa.record_batch(
            {
                "tokens": _lists(self.tokens, self.documents),
                "sentences": _lists(self.sentences.astype(np.int32), self.counts),
                "bytes": pa.array(self.n_bytes),
                "held_out": pa.array(held),
            }
        )


def encode(texts: Sequence[str], tokenizer: Tokenizer, words: Words | None = None) -> Encoded:
    """Cut documents into sentences and tokenise those.

    Args:
        texts: the documents.
        tokenizer: of their tokens.
        words: the same tokens sooner, where `byte_level.words_of` knows the tokenizer.
    """
    flat, lengths, counts = list[NDArray[Any]](), list[NDArray[np.int64]](), list[int]()
    for some in neighbours(texts, _HELD):
        documents = [sentences(text) for text in some]
        counts += map(len, documents)
        for pieces in neighbours(list(chain.from_iterable(documents)), _HELD):  # one document may hold millions
            ids, of_pieces = _encoded(pieces, tokenizer) if words is None else words.encode(pieces)
            flat.append(ids)
            lengths.append(of_pieces)
    tokens = np.concatenate(lengths) if lengths else np.zeros(0, np.int64)
    ends = np.cumsum([0, *counts])
    spoken = tokens > 0
    return Encoded(
        np.concatenate(flat) if flat else np.zeros(0, token_dtype(tokenizer.vocab_size)),
        np.diff(_sums(tokens)[ends]),
        tokens[spoken],
        np.diff(_sums(spoken)[ends]),
        np.fromiter((len(text if text.isascii() else text.encode()) for text in texts), np.int64, len(texts)),
    )


def _encoded(texts: Sequence[str], tokenizer: Tokenizer) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The tokens of texts, one after another, and how many each text has."""
    ids = tokenizer.encode_raw(texts)
    lengths = np.fromiter(map(len, ids), np.int64, len(ids))
    return np.fromiter(chain.from_iterable(ids), token_dtype(tokenizer.vocab_size), int(lengths.sum())), lengths


def _sums(values: NDArray[Any]) -> NDArray[np.int64]:
    """Sums of the first 0, 1, 2, ... values."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(values, dtype=np.int64)])


def _lists(values: NDArray[Any], lengths: NDArray[np.int64]) -> pa.LargeListArray:
    import pyarrow as pa

    return pa.LargeListArray.from_arrays(pa.array(_sums(lengths)), pa.array(values))


@lru_cache(maxsize=1)
def _tokenizer(folder: str, version: str) -> tuple[Tokenizer, NDArray[np.bool_], Words | None]:
    """The tokenizer, which of its tokens are some bytes of a character, and its words if they can be told."""
    tokenizer = Tokenizer.from_folder(folder)
    return tokenizer, fragments(tokenizer), words_of(tokenizer)


class _Languages:
    """Documents, bytes, characters and tokens of each language, and tokens that do not stand for whole characters.

    Args:
        unknown: the token that stands for what the vocabulary cannot write, if there is one.
        of_bytes: of each token, whether it is some bytes of a character.
    """

    def __init__(self, unknown: int | None, of_bytes: NDArray[np.bool_]) -> None:
        self.counts: dict[str, dict[str, int]] = {}
        self._unknown, self._of_bytes = -1 if unknown is None else unknown, of_bytes

    def add(self, batch: pa.RecordBatch, encoded: Encoded) -> None:
        import pyarrow.compute as pc

        names, codes = np.unique(language_of(batch), return_inverse=True)
        characters = pc.utf8_length(batch.column(TEXT)).to_numpy(zero_copy_only=False)
        measures = {
            "documents": np.ones(len(codes)),
            "bytes": encoded.n_bytes,
            "characters": characters,
            "tokens": encoded.documents,
            "unknown": _of_documents(encoded, encoded.tokens == self._unknown),
            "fragments": _of_documents(encoded, self._of_bytes[encoded.tokens]),
        }
        for what, values in measures.items():
            for name, total in zip(names.tolist(), np.bincount(codes, values, len(names)).tolist(), strict=True):
                of = self.counts.setdefault(name, dict.fromkeys(measures, 0))
                of[what] += int(total)


def _of_documents(encoded: Encoded, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many of some tokens each document has."""
    return np.diff(_sums(chosen)[_sums(encoded.documents)])


class _Kept:
    """The documents of a unit as Parquet, a row group for each batch."""

    def __init__(self, path: Path) -> None:
        self._path, self._stack = path, ExitStack()
        self._writer: Any = None

    def __enter__(self) -> _Kept:
        self._part = self._stack.enter_context(whole(self._path))
        return self

    def __exit__(self, *reason: Any) -> None:
        if self._writer is not None:
            self._writer.close()
        self._stack.__exit__(*reason)

    def write(self, batch: pa.RecordBatch, held: NDArray[np.bool_]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        kept = batch.drop_columns([HASH, SCRIPT]).append_column("held_out", pa.array(held))
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._part, kept.schema, compression="zstd")
        self._writer.write_batch(kept)
