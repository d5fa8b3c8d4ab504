"""Files to documents: text, Markdown, JSON Lines, CSV, Parquet; plain, gzip or zstd; folders; standard input.

A text file is one document, a row of a table is one document. A text beyond `MAX_DOCUMENT` characters is cut at
the last paragraph end (else line, sentence, space) before it, so that memory stays bounded whatever the input.
Files that cannot be read are listed in the ledger and skipped.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from sensorium.data.sample import Ledger, Sample
from sensorium.errors import DataError, InputError, require
from sensorium.files import StrPath, file_hash

MAX_DOCUMENT = 100_000
"""Characters of the longest document made from a text file."""
_TEXT, _TABLE = {".txt", ".md", ".text", ".markdown"}, {".jsonl", ".ndjson", ".csv", ".tsv", ".parquet"}
_PACKED = {".gz", ".zst"}
_BLOCK = 1 << 20
_CUTS = (
    re.compile(r"\n\s*\n"),
    re.compile(r"\n"),
    re.compile(r"[.!?。！？；]['\"”’」』）)]*\s*"),
    re.compile(r"\s+"),
)


def read_inputs(inputs: Sequence[StrPath], ledger: Ledger, *, column: str = "text") -> Iterator[Sample]:
    """All documents of all inputs, in the order given; folders in the order of their sorted paths.

    Args:
        inputs: files, folders, or "-" for standard input as one plain text.
        ledger: receives counts, files with their hashes, and problems.
        column: the column of tables and the key of JSON Lines that holds the text.

    Raises:
        InputError: an input does not exist, or its format is not known.
        DataError: a table has no such column; in strict mode, any unusable file or row.
    """
    for path in list_files(inputs):
        if path == Path("-"):
            yield from _text_documents(io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig"), "-")
            continue
        try:
            yield from _read_file(path, ledger, column)
        except (OSError, EOFError, UnicodeDecodeError, zlib.error, csv.Error) as error:
            ledger.problem(str(path), f"cannot be read: {error}")


def list_files(inputs: Sequence[StrPath]) -> list[Path]:
    """Every readable file that the inputs name.

    Raises:
        InputError: nothing given, a path does not exist, a file's format is not known, a folder holds no
            readable file.
    """
    if not inputs:
        raise InputError("no input given", fix="Name files or folders, or - for standard input")
    files: list[Path] = []
    for path in map(Path, inputs):
        if path == Path("-"):
            files.append(path)
        elif path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.is_file() and _kind(p) and not _hidden(p, path))
            if not found:
                raise DataError(
                    "the folder holds no file that can be read", where=str(path), fix=f"Readable: {_known()}"
                )
            files += found
        elif not path.exists():
            raise InputError("no such file or folder", where=str(path), fix="Check the path")
        elif not _kind(path):
            raise InputError(
                f"files of the kind {path.suffix!r} cannot be read", where=str(path), fix=f"Readable: {_known()}"
            )
        else:
            files.append(path)
    return files


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _known() -> str:
    return ", ".join(sorted(_TEXT | _TABLE)) + ", also with .gz or .zst"


def _kind(path: Path) -> str | None:
    """The suffix that tells the format, without that of the compression."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _PACKED:
        suffixes.pop()
    last = suffixes[-1] if suffixes else ""
    return last if last in _TEXT | _TABLE else None


def _read_file(path: Path, ledger: Ledger, column: str) -> Iterator[Sample]:
    size = path.stat().st_size
    ledger.count("files")
    ledger.count("bytes", size)
    if not size:
        ledger.problem(str(path), "the file is empty")
        return
    ledger.files.append({"path": path.name, "bytes": size, "xxh3_128": file_hash(path)})
    kind = _kind(path)
    if kind == ".parquet":
        yield from _parquet(path, ledger, column)
        return
    encoding = _encoding(path, ledger)
    if encoding is None:
        return
    with _open(path) as raw, io.TextIOWrapper(raw, encoding=encoding, newline="") as text:
        if kind in _TEXT:
            yield from _text_documents(text, path.name)
        elif kind in {".jsonl", ".ndjson"}:
            yield from _jsonl(text, path, ledger, column)
        else:
            yield from _csv(text, path, ledger, column, "\t" if kind == ".tsv" else ",")


@contextmanager
def _open(path: Path) -> Iterator[IO[bytes]]:
    if path.suffix == ".gz":
        with gzip.open(path, "rb") as file:
            yield io.BufferedReader(file)
    elif path.suffix == ".zst":
        zstandard = require("zstandard", extra="zstd", purpose=f"Reading {path.name}")
        with path.open("rb") as raw, zstandard.ZstdDecompressor().stream_reader(raw) as file:
            yield io.BufferedReader(file)
    else:
        with path.open("rb") as file:
            yield file


def _encoding(path: Path, ledger: Ledger) -> str | None:
    """The file's encoding, after reading it once: UTF-8, or UTF-16 with a byte order mark. None: not text."""
    with _open(path) as file:
        block = file.read(_BLOCK)
        if block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            encoding = "utf-16"
        elif b"\0" in block[:8192]:
            ledger.problem(str(path), "a binary file, not text")
            return None
        else:
            encoding = "utf-8-sig"
        decoder = codecs.getincrementaldecoder(encoding)()
        place = 0
        try:
            while block:
                decoder.decode(block)
                place += len(block)
                block = file.read(_BLOCK)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            ledger.problem(
                str(path),
                f"not valid {encoding.upper().removesuffix('-SIG')} near byte {place + error.start}",
                fix="Convert it to UTF-8 first (for example with iconv), or run without --strict to skip it",
            )
            return None
    return encoding


def _text_documents(text: io.TextIOBase, source: str) -> Iterator[Sample]:
    """A text file, whole if it is not too long, otherwise cut where a reader would cut it."""
    buffer, part = "", 0
    while block := text.read(_BLOCK):
        buffer += block
        while len(buffer) > MAX_DOCUMENT:
            cut = _cut(buffer)
            part += 1
            yield Sample(buffer[:cut], f"{source}#{part}")
            buffer = buffer[cut:]
    if buffer:
        yield Sample(buffer, f"{source}#{part + 1}" if part else source)


def _cut(text: str) -> int:
    """The last good place to end a document within its first MAX_DOCUMENT characters."""
    head = text[:MAX_DOCUMENT]
    for pattern in _CUTS:
        ends = [match.end() for match in pattern.finditer(head, MAX_DOCUMENT // 2)]
        if ends:
            return ends[-1]
    return MAX_DOCUMENT


def _jsonl(text: io.TextIOBase, path: Path, ledger: Ledger, column: str) -> Iterator[Sample]:
    for number, line in enumerate(text, 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            ledger.problem(where, f"not valid JSON: {error}")
            continue
        if not isinstance(row, dict):
            ledger.problem(where, "not a JSON object")
        elif column not in row:
            if number == 1:
                raise _no_column(where, column, row)
            ledger.problem(where, f"no key {column!r}")
        else:
            yield from _row(row[column], f"{path.name}:{number}", ledger)


def _csv(text: io.TextIOBase, path: Path, ledger: Ledger, column: str, separator: str) -> Iterator[Sample]:
    csv.field_size_limit(1 << 30)
    rows = csv.DictReader(text, delimiter=separator)
    if rows.fieldnames is None or column not in rows.fieldnames:
        raise _no_column(f"{path}:1", column, rows.fieldnames or [])
    for number, row in enumerate(rows, 2):
        yield from _row(row[column], f"{path.name}:{number}", ledger)


def _parquet(path: Path, ledger: Ledger, column: str) -> Iterator[Sample]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        if column not in file.schema_arrow.names:
            raise _no_column(str(path), column, file.schema_arrow.names)
        number = 0
        for batch in file.iter_batches(batch_size=1000, columns=[column]):
            for value in batch.column(0).to_pylist():
                number += 1
                yield from _row(value, f"{path.name}:{number}", ledger)
    except pa.ArrowInvalid as error:
        ledger.problem(str(path), f"not a readable Parquet file: {str(error).splitlines()[0]}")


def _row(value: Any, source: str, ledger: Ledger) -> Iterator[Sample]:
    if isinstance(value, str):
        yield from _text_documents(io.StringIO(value), source)
    else:
        ledger.problem(source, f"holds {type(value).__name__}, not text")


def _no_column(where: str, column: str, present: Iterable[str]) -> DataError:
    names = ", ".join(map(str, present)) or "none"
    return DataError(f"no column {column!r}", where=where, fix=f"Choose one with --column (present: {names})")
