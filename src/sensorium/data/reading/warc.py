"""Crawls in WARC files, by fastwarc: each page that a server gave is a document, its source the page's address.

Plain texts that others took out of pages (the WET files of Common Crawl) are documents too. Records stand each for
itself: one that is damaged is listed, and reading goes on at the next that can be found.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sensorium.data.reading.documents import text_documents
from sensorium.data.reading.html import MAX_PAGE, PageError, calmly, decode_page, read_page
from sensorium.data.reading.packed import LIMITS, Limits, UnpackError, check_unpacked
from sensorium.data.reading.places import UnreadableError
from sensorium.data.reading.streams import BLOCK, File
from sensorium.data.sample import Ledger, Sample
from sensorium.errors import require

_HTML = ("text/html", "application/xhtml+xml")
_STARTS = (b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"WARC/1.")
"""What a record begins with: compressed, or plain."""
_ENCODED = ("Content-Encoding", "Transfer-Encoding")
_MARGIN = 1 << 12
"""Bytes that the compressed content of a page may have beyond twice what is in it."""
_TRIES = 10_000


def warc_documents(
    file: File, source: str, ledger: Ledger, *, encoding: str | None = None, limits: Limits = LIMITS
) -> Iterator[Sample]:
    """The pages of a WARC file.

    Args:
        file: its bytes, seekable; compressed or not.
        source: what it is called.
        ledger: receives the records that cannot be used.
        encoding: of all pages, whatever they say.
        limits: what it may unpack to.

    Raises:
        UnreadableError: it holds no record, or unpacks to too much.
        CapabilityError: fastwarc or resiliparse is not installed.
    """
    begin, told, size = 0, False, 0
    for _ in range(_TRIES):
        last: int | None = None
        try:
            for record in _records(file, begin):
                last = begin + int(record.stream_pos)
                kind = _kind(record, ledger)
                data = _read(record, MAX_PAGE + 1) if kind else b""
                # What a record claims to hold proves nothing: what comes out of it is counted.
                size, taken = size + len(data), len(data)
                check_unpacked(size, file.tell(), limits)
                if kind:
                    yield from _documents(record, kind, data, f"{source}, record at byte {last}", ledger, encoding)
                told = False
                while left := len(_read(record, BLOCK)):
                    size, taken = size + left, taken + left
                    check_unpacked(size, file.tell(), limits)
                if _swallowed(record, taken):
                    # It claims more than there is, so that what came out may be the records behind it.
                    told = True
                    break
            else:
                return
            found = _next(file, last + 1)
            if found is None:
                return
            begin = found
        except UnpackError as error:
            raise UnreadableError(f"cannot be read: {error}", where=source) from error
        except (OSError, PageError) as error:
            if last is None and begin == 0:
                raise UnreadableError(f"not a readable WARC file: {error}", where=source) from error
            if not told:
                ledger.problem(f"{source}, after byte {begin if last is None else last}", f"a damaged record: {error}")
            told = True
            found = _next(file, (begin if last is None else last) + 1)
            if found is None:
                return
            begin = found
    raise UnreadableError(f"is damaged in more than {_TRIES} places", where=source)


class _Reads:
    """A stream as fastwarc wants it, from where it stands."""

    def __init__(self, file: File) -> None:
        self._file, self._begin = file, file.tell()

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def tell(self) -> int:
        return self._file.tell() - self._begin


def _records(file: File, begin: int) -> Iterator[Any]:
    """The records from a place on."""
    warc = require("fastwarc.warc", extra="prepare", purpose="reading WARC")
    file.seek(begin)
    kinds = warc.WarcRecordType.response | warc.WarcRecordType.conversion
    records = warc.ArchiveIterator(_Reads(file), record_types=kinds, auto_decode="all")
    while (record := calmly(lambda: next(records, None))) is not None:
        yield record


def _next(file: File, begin: int) -> int | None:
    """Where a record may begin, from a place on."""
    file.seek(begin)
    held, place = b"", begin
    while block := file.read(1 << 20):
        held += block
        found = min((at for start in _STARTS if (at := held.find(start)) >= 0), default=None)
        if found is not None:
            return place + found
        place += max(len(held) - 8, 0)
        held = held[-8:]
    return None


def _read(record: Any, size: int) -> bytes:
    return bytes(calmly(lambda: record.reader.read(size)))


def _encoded(record: Any) -> bool:
    """Whether what is read of a record is not as long as what it holds."""
    return bool(record.is_http) and any(record.http_headers.get(name) for name in _ENCODED)


def _swallowed(record: Any, taken: int) -> bool:
    """Whether a record claims more bytes than came out of it, by a margin if those were compressed, or in chunks."""
    return int(record.content_length) > (2 * taken + _MARGIN if _encoded(record) else taken)


def _documents(
    record: Any, kind: str, data: bytes, where: str, ledger: Ledger, encoding: str | None
) -> Iterator[Sample]:
    if len(data) > MAX_PAGE:
        ledger.problem(where, f"a page of more than {MAX_PAGE} bytes")
        return
    if record.headers.get("WARC-Truncated") or (not _encoded(record) and len(data) < record.content_length):
        ledger.problem(where, "the record is cut short")
        return
    said = encoding or (record.http_charset if record.is_http else None)
    meta = {"url": record.headers.get("WARC-Target-URI") or where}
    if date := record.headers.get("WARC-Date"):
        meta["date"] = date
    try:
        if kind == "html":
            page = read_page(data, encoding=said)
            text = page.text
            if page.title:
                meta["title"] = page.title
        else:
            text = decode_page(data, encoding=said)
    except PageError as error:
        ledger.problem(where, str(error))
        return
    if text:
        yield from text_documents([text], meta["url"], ledger, meta)
    else:
        ledger.count("pages without text")


def _kind(record: Any, ledger: Ledger) -> str | None:
    """Whether a record is a page or a plain text; None for all else, which is counted."""
    if not record.is_http:
        if (record.headers.get("Content-Type") or "").startswith("text/plain"):
            return "text"
        ledger.count("records of other kinds")
        return None
    if not 200 <= (record.http_headers.status_code or 0) < 300:
        ledger.count("pages that the server did not give")
        return None
    kind = (record.http_content_type or "").lower()
    if kind.startswith(_HTML):
        return "html"
    if kind.startswith("text/plain"):
        return "text"
    ledger.count("records of other kinds")
    return None
