"""Files to documents: text, Markdown, JSON Lines, CSV, Parquet; plain, gzip or zstd; folders; standard input.

A text file is one document, a row of a table is one document. A text beyond `MAX_DOCUMENT` characters is cut at
the last paragraph end (else line, sentence, space) before it, so that memory stays bounded whatever the input.
Files and rows that cannot be read are listed in the ledger and skipped; standard input, which cannot be read twice,
is refused as a whole.
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
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import xxhash

from sensorium.data.sample import Ledger, Sample
from sensorium.errors import DataError, InputError
from sensorium.files import StrPath, file_hash

MAX_DOCUMENT = 100_000
"""Characters of the longest document made from a text file."""
MAX_ROW = 1 << 26
"""Characters of the longest row of a table. Beyond it a file is damaged: a quote that never closes, a lost line end."""
_TEXT, _TABLE = {".txt", ".md", ".text", ".markdown"}, {".jsonl", ".ndjson", ".csv", ".tsv", ".parquet"}
_PACKED = {".gz", ".zst"}
_BLOCK = 1 << 20
_TO_UTF8 = "Convert it to UTF-8 first (for example with iconv)"
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
    for path in list_files(inputs, ledger):
        if path == Path("-"):
            yield from _standard_input(ledger)
            continue
        try:
            yield from _read_file(path, ledger, column)
        except (OSError, EOFError, UnicodeDecodeError, zlib.error, csv.Error) as error:
            ledger.problem(str(path), f"cannot be read: {error}")


def list_files(inputs: Sequence[StrPath], ledger: Ledger | None = None) -> list[Path]:
    """Every readable file that the inputs name.

    Args:
        inputs: files, folders, or "-".
        ledger: receives how many files of other kinds the folders hold.

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
            present = [p for p in path.rglob("*") if p.is_file() and not hidden(p, path)]
            found = sorted(p for p in present if _kind(p))
            if ledger is not None and len(found) < len(present):
                ledger.count("files of other kinds", len(present) - len(found))
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


def hidden(path: Path, root: Path) -> bool:
    """Whether the file, or a folder between `root` and it, is hidden."""
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _known() -> str:
    return ", ".join(sorted(_TEXT | _TABLE)) + "; all but .parquet also with .gz or .zst"


def _kind(path: Path) -> str | None:
    """The suffix that tells the format, without that of the compression."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = bool(suffixes) and suffixes[-1] in _PACKED
    if packed:
        suffixes.pop()
    last = suffixes[-1] if suffixes else ""
    known = _TEXT | _TABLE - {".parquet"} if packed else _TEXT | _TABLE
    return last if last in known else None


def _read_file(path: Path, ledger: Ledger, column: str) -> Iterator[Sample]:
    if not note_file(path, ledger):
        return
    kind = _kind(path)
    if kind == ".parquet":
        yield from _parquet(path, ledger, column)
        return
    encoding = text_encoding(path, ledger)
    if encoding is None:
        return
    with open_packed(path) as raw, io.TextIOWrapper(raw, encoding=encoding, newline="") as text:
        if kind in _TEXT:
            yield from _text_documents(text, str(path))
        elif kind in {".jsonl", ".ndjson"}:
            yield from _jsonl(text, path, ledger, column)
        else:
            yield from _csv(text, path, ledger, column, "\t" if kind == ".tsv" else ",")


def note_file(path: Path, ledger: Ledger) -> bool:
    """Put a file's size and hash into the ledger; False if it is empty, which is a problem."""
    size = path.stat().st_size
    ledger.count("files")
    ledger.count("bytes", size)
    if not size:
        ledger.problem(str(path), "the file is empty")
        return False
    ledger.files.append({"path": path.name, "bytes": size, "xxh3_128": file_hash(path)})
    return True


@contextmanager
def open_packed(path: Path) -> Iterator[IO[bytes]]:
    """A file's bytes, unpacked if its name says .gz or .zst."""
    if path.suffix.lower() == ".gz":
        with gzip.open(path, "rb") as file:
            yield io.BufferedReader(file)
    elif path.suffix.lower() == ".zst":
        import pyarrow as pa

        with pa.OSFile(str(path), "rb") as raw, pa.CompressedInputStream(raw, "zstd") as file:
            yield io.BufferedReader(file)
    else:
        with path.open("rb") as file:
            yield file


def text_encoding(path: Path, ledger: Ledger) -> str | None:
    """The file's encoding, after reading it once: UTF-8, or UTF-16 with a byte order mark. None: not text."""
    with open_packed(path) as file:
        block = file.read(_BLOCK)
        encoding = _by_head(block)
        if encoding is None:
            ledger.problem(str(path), "a binary file, not text")
            return None
        decoder = codecs.getincrementaldecoder(encoding)()
        place = 0
        try:
            while block:
                decoder.decode(block)
                place += len(block)
                block = file.read(_BLOCK)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            held = len(decoder.getstate()[0])
            ledger.problem(
                str(path),
                f"not valid {_name(encoding)} near byte {place - held + error.start}",
                fix=f"{_TO_UTF8}, or run without --strict to skip it",
            )
            return None
    return encoding


def _by_head(head: bytes) -> str | None:
    """What the first bytes say; None: not text."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return None if b"\0" in head[:8192] else "utf-8-sig"


def _name(encoding: str) -> str:
    return encoding.upper().removesuffix("-SIG")


def _standard_input(ledger: Ledger) -> Iterator[Sample]:
    raw = cast("io.BufferedReader", sys.stdin.buffer)
    encoding = _by_head(raw.peek(8192))
    if encoding is None:
        raise DataError("binary data, not text", where="standard input", fix="Pipe text into it, or name a file")
    counted = _Counted(raw)
    try:
        text = io.TextIOWrapper(io.BufferedReader(counted), encoding=encoding, newline="")
        yield from _text_documents(text, "standard input")
    except UnicodeDecodeError as error:
        raise DataError(f"not valid {_name(encoding)}", where="standard input", fix=_TO_UTF8) from error
    ledger.count("bytes", counted.size)
    ledger.files.append({"path": "-", "bytes": counted.size, "xxh3_128": counted.hash.hexdigest()})


class _Counted(io.RawIOBase):
    """A stream that is counted and hashed while it is read, since it cannot be read again."""

    def __init__(self, stream: io.BufferedReader) -> None:
        super().__init__()
        self._stream = stream
        self.size = 0
        self.hash = xxhash.xxh3_128()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        block = self._stream.read(len(buffer))
        buffer[: len(block)] = block
        self.size += len(block)
        self.hash.update(block)
        return len(block)


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
    for rows, (where, row) in enumerate(json_rows(text, path, ledger)):
        if column in row:
            yield from _row(row[column], where, ledger)
        elif not rows:
            raise _no_column(where, column, row)
        else:
            ledger.problem(where, f"no key {column!r}")


def json_rows(text: io.TextIOBase, path: Path, ledger: Ledger) -> Iterator[tuple[str, dict[str, Any]]]:
    """The object of every line of JSON Lines, with its place; lines that hold none go into the ledger."""
    for number, line in enumerate(bounded_lines(text), 1):
        where = f"{path}:{number}"
        if line is None:
            ledger.problem(where, f"a line of more than {MAX_ROW} characters")
            continue
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            ledger.problem(where, f"not valid JSON: {error}")
            continue
        if isinstance(row, dict):
            yield where, row
        else:
            ledger.problem(where, "not a JSON object")


def bounded_lines(text: io.TextIOBase) -> Iterator[str | None]:
    """Every line; None for one that is too long."""
    while line := text.readline(MAX_ROW):
        if len(line) < MAX_ROW or line.endswith("\n"):
            yield line
            continue
        while (rest := text.readline(_BLOCK)) and not rest.endswith("\n"):
            pass
        yield None


def _csv(text: io.TextIOBase, path: Path, ledger: Ledger, column: str, separator: str) -> Iterator[Sample]:
    csv.field_size_limit(MAX_ROW)
    rows = csv.DictReader(text, delimiter=separator)
    if rows.fieldnames is None or column not in rows.fieldnames:
        raise _no_column(f"{path}:1", column, rows.fieldnames or [])
    for row in rows:
        yield from _row(row[column], f"{path}:{rows.line_num}", ledger)


def _parquet(path: Path, ledger: Ledger, column: str) -> Iterator[Sample]:
    def choose(names: list[str]) -> list[str]:
        if column not in names:
            raise _no_column(str(path), column, names)
        return [column]

    for where, row in parquet_rows(path, ledger, choose):
        yield from _row(row[column], where, ledger)


def parquet_rows(
    path: Path, ledger: Ledger, choose: Callable[[list[str]], list[str]] = list
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a Parquet file, with their numbers.

    Args:
        path: the file.
        ledger: learns of a file that cannot be read.
        choose: the columns to read of those that there are.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        number = 0
        for batch in file.iter_batches(batch_size=1000, columns=choose(file.schema_arrow.names)):
            for row in batch.to_pylist():
                number += 1
                yield f"{path}:{number}", row
    except (pa.ArrowException, OSError) as error:
        ledger.problem(str(path), f"not a readable Parquet file: {str(error).splitlines()[0]}")


def _row(value: Any, source: str, ledger: Ledger) -> Iterator[Sample]:
    if isinstance(value, str):
        yield from _text_documents(io.StringIO(value), source)
    else:
        ledger.problem(source, f"holds {type(value).__name__}, not text")


def _no_column(where: str, column: str, present: Iterable[str]) -> DataError:
    names = ", ".join(map(str, present)) or "none"
    return DataError(f"no column {column!r}", where=where, fix=f"Choose one with --column (present: {names})")
