"""One file to its documents, whatever it is.

Unusual: a file is read once, and what is wrong with it may show only at its end (a checksum, a byte that is no UTF-8,
another process that writes to it). `read_file` then raises `UnreadableError`, and its caller forgets what it got of
this file. `inputs.read_inputs` does so for callers who want no more than documents.
"""

from __future__ import annotations

import codecs
import io
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sensorium.data.reading.archives import members
from sensorium.data.reading.columnar import columnar_documents
from sensorium.data.reading.documents import text_documents
from sensorium.data.reading.encoding import HEAD, EncodingError, find_encoding, written
from sensorium.data.reading.formats import (
    ARCHIVES,
    COLUMNAR,
    HTML,
    JSON_LINES,
    PDF,
    SEPARATED,
    TEXT,
    WARC,
    kind_of,
    packing_of,
)
from sensorium.data.reading.html import MAX_PAGE, PageError, read_page
from sensorium.data.reading.noted import whole
from sensorium.data.reading.packed import LIMITS, Limits, unpacked
from sensorium.data.reading.pdf import pdf_pages
from sensorium.data.reading.places import (
    STANDARD_INPUT,
    Place,
    Remote,
    UnreadableError,
    open_place,
    size_of,
    stamp_of,
)
from sensorium.data.reading.spans import Span, SpanBytes, split_file
from sensorium.data.reading.streams import BLOCK, Counted, File, before, buffered
from sensorium.data.reading.tables import json_documents, separated_documents
from sensorium.data.reading.warc import warc_documents
from sensorium.data.sample import Ledger, Sample
from sensorium.errors import DataError, InputError, SensoriumError
from sensorium.files import file_hash

_STREAMED = TEXT | HTML | JSON_LINES | frozenset(SEPARATED)
"""Kinds that are read from beginning to end, so that the bytes can be hashed on the way."""
_IN_MEMORY = 1 << 23
_SAY_ENCODING = "Say how it is written with --encoding, mend or remove it, or run without --strict to skip it"
_STDIN = "standard input"
_NO_ENCODINGS = {"utf-7", "unicode_escape", "raw-unicode-escape", "punycode", "idna"}
"""Known to Python, but no files are written in them, and what they give may be no Unicode."""


@dataclass(frozen=True, kw_only=True)
class _How:
    column: str
    encoding: str | None
    limits: Limits


def read_file(
    file: Place | Span,
    ledger: Ledger,
    *,
    column: str = "text",
    encoding: str | None = None,
    name: str | None = None,
    limits: Limits = LIMITS,
) -> Iterator[Sample]:
    """The documents of one file, or of a span of one.

    Args:
        file: as `list_files` or `split_file` gives it.
        ledger: receives counts, the file with its hash and encoding, and rows, records and members that are unusable.
        column: the column of tables and the key of JSON Lines that holds the text.
        encoding: of text, whatever it looks like.
        name: what the ledger calls the file; by default its path as given.
        limits: what a compressed file may unpack to.

    Raises:
        UnreadableError: the file is damaged, no text, empty, a bomb, or changed while it was read. The documents that
            it gave are not to be used, nor what the ledger was told of it.
        DataError: a table has no such column; in strict mode, any unusable row.
        CapabilityError: a package that reads such files is not installed.
    """
    where = _STDIN if file == STANDARD_INPUT else str(file.path if isinstance(file, Span) else file)
    how = _How(column=column, encoding=_known(encoding), limits=limits)
    try:
        if file == STANDARD_INPUT:
            yield from _standard_input(ledger, how)
        elif isinstance(file, Span):
            yield from _span(file, ledger, how, name or where)
        else:
            spans = split_file(file, encoding=how.encoding) if isinstance(file, Path) else []
            if len(spans) > 1:
                for span in spans:
                    yield from _span(span, ledger, how, name or where)
            else:
                yield from _place(file, ledger, how, name or where)
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror or error}", where=where) from error
    except SensoriumError:
        raise
    except Exception as error:
        raise _unforeseen(error, where) from error


def _unforeseen(error: Exception, where: str) -> UnreadableError:
    """What nobody thought of that a file may do to a package: it costs that file, not the hours of a run."""
    return UnreadableError(f"cannot be read: {type(error).__name__}: {error}", where=where)


def _known(encoding: str | None) -> str | None:
    """An encoding that the user names.

    Raises:
        InputError: Python knows none of that name.
    """
    if encoding is None:
        return None
    unknown = InputError(f"unknown encoding {encoding!r}", fix="Say for example gb18030, big5, cp1252")
    try:
        "".encode(encoding)
        known = codecs.lookup(encoding).name
    except LookupError as error:
        raise unknown from error
    if known in _NO_ENCODINGS:
        raise unknown
    return "utf-8-sig" if known == "utf-8" else known


def _place(place: Place, ledger: Ledger, how: _How, name: str) -> Iterator[Sample]:
    where, kind, stamp = str(place), kind_of(place.name), stamp_of(place)
    if kind is None:
        raise InputError("files of this kind cannot be read", where=where, fix="Give it the suffix of its format")
    size = size_of(place)
    ledger.count("files")
    ledger.count("bytes", size)
    if isinstance(place, Path) and not size:
        raise UnreadableError("the file is empty", where=where)
    entry: dict[str, object] = {"path": name, "bytes": size}
    with closing(open_place(place)) as raw:
        if kind in _STREAMED:
            counted = Counted(raw)
            yield from _streamed(counted, where, kind, ledger, how, entry)
            while counted.read(BLOCK):
                pass
            entry["xxh3_128"] = counted.hash.hexdigest()
        else:
            if not isinstance(place, Remote):
                entry["xxh3_128"] = file_hash(place)
            yield from _seekable(io.BufferedReader(cast("Any", raw), BLOCK), where, kind, ledger, how)
    if stamp_of(place) != stamp:
        raise UnreadableError("changed while it was read", where=where, fix="Run again when nothing writes to it")
    ledger.files.append(entry)


def _span(span: Span, ledger: Ledger, how: _How, name: str) -> Iterator[Sample]:
    changed = UnreadableError("changed while it was read", where=str(span.path), fix="Run again when it is at rest")
    if span.stamp is not None and stamp_of(span.path) != span.stamp:
        raise changed
    if span.hash is None:
        yield from _place(span.path, ledger, how, name)
        return
    ledger.count("bytes", span.size)
    encoding = how.encoding or span.encoding or "utf-8-sig"
    if not span.start:
        ledger.count("files")
        _note_encoding(encoding, ledger, entry := {"path": name, "bytes": (span.stamp or [0])[0]})
        ledger.files.append({**entry, "xxh3_128": span.hash})
    with closing(open_place(span.path)) as raw:
        stream = buffered(SpanBytes(raw, span))
        kind = kind_of(span.path) or ""
        yield from _text(stream, str(span.path), kind, ledger, how, encoding, span=span)
    if span.stamp is not None and stamp_of(span.path) != span.stamp:
        raise changed


def _standard_input(ledger: Ledger, how: _How) -> Iterator[Sample]:
    counted = Counted(sys.stdin.buffer)
    entry: dict[str, object] = {"path": "-"}
    try:
        yield from _streamed(counted, _STDIN, ".txt", ledger, how, entry)
    except (UnreadableError, OSError) as error:
        problem = error.problem if isinstance(error, UnreadableError) else f"cannot be read: {error}"
        raise DataError(problem, where=_STDIN, fix="Pipe text into it, or name a file") from error
    ledger.count("bytes", counted.size)
    ledger.files.append({**entry, "bytes": counted.size, "xxh3_128": counted.hash.hexdigest()})


def _documents(raw: File, where: str, kind: str, ledger: Ledger, how: _How) -> Iterator[Sample]:
    """The documents of an archive's member."""
    try:
        if kind in _STREAMED:
            yield from _streamed(Counted(raw), where, kind, ledger, how, {})
        else:
            yield from _seekable(raw, where, kind, ledger, how)
    except (SensoriumError, OSError):
        raise
    except Exception as error:
        raise _unforeseen(error, where) from error


def _streamed(
    raw: Counted, where: str, kind: str, ledger: Ledger, how: _How, entry: dict[str, object]
) -> Iterator[Sample]:
    """Kinds that are read from beginning to end."""
    stream = unpacked(raw, how.limits)
    if kind in HTML:
        data = stream.read(MAX_PAGE + 1)
        try:
            page = read_page(data, encoding=how.encoding)
        except PageError as error:
            raise UnreadableError(str(error), where=where) from error
        meta = {"title": page.title} if page.title else {}
        if not page.text:
            raise UnreadableError("the page holds no text", where=where)
        yield from text_documents([page.text], where, ledger, meta)
        return
    head = stream.read(HEAD)
    if not head:
        raise UnreadableError("the file is empty", where=where)
    encoding = how.encoding
    if encoding is None:
        try:
            encoding = find_encoding(head, complete=len(head) < HEAD)
        except EncodingError as error:
            # Where it is listed, there is no room for what mends it but in the problem itself.
            say = f": say so with --encoding {error.candidates[0]}" if error.candidates else ""
            say += ", or which of them it is" if len(error.candidates) > 1 else ""
            raise UnreadableError(f"{error}{say}", where=where, fix=_SAY_ENCODING) from error
    _note_encoding(encoding, ledger, entry)
    yield from _text(before(head, stream), where, kind, ledger, how, encoding)


def _note_encoding(encoding: str, ledger: Ledger, entry: dict[str, Any]) -> None:
    entry["encoding"] = written(encoding)
    if encoding != "utf-8-sig":
        ledger.count(f"files in {written(encoding)}")


def _text(
    stream: io.BufferedReader,
    where: str,
    kind: str,
    ledger: Ledger,
    how: _How,
    encoding: str,
    *,
    span: Span | None = None,
) -> Iterator[Sample]:
    """Bytes of a text or a table, in a known encoding."""
    first = span.line if span else 1
    try:
        if kind in TEXT:
            source = f"{where}:{first}" if first > 1 else where
            yield from text_documents(_decoded(stream, encoding), source, ledger)
            return
        with io.TextIOWrapper(stream, encoding=encoding, newline="" if kind in SEPARATED else "\n") as text:
            if kind in JSON_LINES:
                yield from json_documents(text, where, ledger, how.column, first=first)
            else:
                yield from separated_documents(text, where, ledger, how.column, SEPARATED[kind])
    except UnicodeError as error:
        after = f" after line {first}" if first > 1 else ""
        raise UnreadableError(
            f"not valid {written(encoding)}{after}: {getattr(error, 'reason', error)}", where=where, fix=_SAY_ENCODING
        ) from error


def _decoded(stream: io.BufferedReader, encoding: str) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(encoding)()
    while block := stream.read(BLOCK):
        yield decoder.decode(block)
    yield decoder.decode(b"", final=True)


def _seekable(raw: File, where: str, kind: str, ledger: Ledger, how: _How) -> Iterator[Sample]:
    """Kinds that are read here and there."""
    packing = packing_of(raw.read(16))
    raw.seek(0)
    if packing and (kind in PDF or (kind in WARC and packing in {"xz", "bz2"})):
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as spool:
            stream = unpacked(raw, how.limits)
            while block := stream.read(BLOCK):
                spool.write(block)
            spool.seek(0)
            yield from _seekable(cast("File", spool), where, kind, ledger, how)
    elif kind in COLUMNAR:
        yield from columnar_documents(raw, kind, where, ledger, how.column, how.limits)
    elif kind in PDF:
        yield from text_documents(pdf_pages(raw, where), where, ledger)
    elif kind in WARC:
        yield from warc_documents(raw, where, ledger, encoding=how.encoding, limits=how.limits)
    elif kind in ARCHIVES:
        for member in members(raw, kind, where, ledger, how.limits):

            def read(ledger: Ledger, member: Any = member) -> Iterator[Sample]:
                member.file.seek(0)
                return _documents(member.file, member.name, member.kind, ledger, how)

            yield from whole(read, ledger)
