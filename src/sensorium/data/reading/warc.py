"""Crawls in WARC files, by fastwarc: each page that a server gave is a document, its source the page's address.

Plain texts that others took out of pages (the WET files of Common Crawl) are documents too. Records stand each for
itself: one that is damaged is listed, and reading goes on at the next that can be found. A length that is false would
swallow records or cut one short without a word: a record counts if it ends where the next one begins. In a compressed
file that is known only when the next one is asked for, so that each waits for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sensorium.data.reading.documents import text_documents
from sensorium.data.reading.html import MAX_PAGE, PageError, calmly, decode_page, read_page
from sensorium.data.reading.packed import LIMITS, Limits, UnpackError, check_unpacked
from sensorium.data.reading.places import UnreadableError
from sensorium.data.reading.streams import BLOCK, File
from sensorium.data.sample import Ledger, Sample
from sensorium.errors import require

_READ = ("response", "conversion")
_HTML = ("text/html", "application/xhtml+xml")
_PLAIN = b"WARC/1."
_PLAIN_START = re.compile(rb"\n(WARC/1\.)")
_START = re.compile(rb"(\x1f\x8b\x08|\x28\xb5\x2f\xfd|WARC/1\.)")
"""What a record begins with: plain, or compressed."""
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_LONGEST_HEADER = 1 << 16
_LENGTH = re.compile(r"\s*[0-9]{1,18}\s*")
_BEHIND = 64
"""Bytes behind a record in which the next one begins."""
_FALSE = "it is not as long as it says"
_BARE = "its lines end with LF alone, and those of WARC with CR LF"
_NO_HEADER = "WARC header"
"""In fastwarc's words for what stands where a record should begin, and is none."""
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
    begin = size = 0
    for _ in range(_TRIES):
        held: Iterator[Sample] = iter(())
        found, plain, on = False, _plain(file, begin), begin + 1
        try:
            for record, place in _records(file, begin):
                yield from held
                if begin == place == 0 and _bare(record):
                    raise UnreadableError(f"not a readable WARC file: {_BARE}", where=source)
                found, on, held = True, place + 1, iter(())
                end = _end(file, place, record) if plain else place + 1
                if end is None:
                    raise PageError(_BARE if _bare(record) else _FALSE)
                if (kind := _kind(record, ledger)) or not plain:
                    data, taken = _content(record, file, size, limits)
                    size += taken
                    if _swallowed(record, taken):
                        raise PageError(_FALSE)
                    if kind:
                        held = _documents(record, kind, data, f"{source}, record at byte {place}", ledger, encoding)
                if plain:
                    yield from held
                on = end
            yield from held
            return
        except UnpackError as error:
            raise UnreadableError(f"cannot be read: {error}", where=source) from error
        except (OSError, PageError) as error:
            if not found and begin == 0 and _NO_HEADER in str(error):
                raise UnreadableError(f"not a readable WARC file: {error}", where=source) from error
            if _NO_HEADER not in str(error):
                yield from held
            if found or begin == 0:
                ledger.problem(f"{source}, after byte {on - 1}", f"a damaged record: {error}")
            following = _next(file, on, plain=plain)
            if following is None:
                return
            begin = following
    raise UnreadableError(f"is damaged in more than {_TRIES} places", where=source)


class _Reads:
    """A stream as fastwarc wants it, from where it stands."""

    def __init__(self, file: File) -> None:
        self._file, self._begin = file, file.tell()

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def tell(self) -> int:
        return self._file.tell() - self._begin


def _records(file: File, begin: int) -> Iterator[tuple[Any, int]]:
    """The records from a place on, and where each begins."""
    warc = require("fastwarc.warc", extra="prepare", purpose="reading WARC")
    file.seek(begin)
    records = warc.ArchiveIterator(_Reads(file), auto_decode="all")
    while (record := calmly(lambda: next(records, None))) is not None:
        yield record, begin + int(record.stream_pos)


def _plain(file: File, begin: int) -> bool:
    file.seek(begin)
    return file.read(len(_PLAIN)) == _PLAIN


def _end(file: File, place: int, record: Any) -> int | None:
    """Where a record of a file that is not compressed ends, by the length that it claims; None if that is false: what
    stands there is neither the mark of its end, nor another record, nor the end of the file."""
    at = file.tell()
    try:
        file.seek(place)
        header = _HEADER_END.search(file.read(_LONGEST_HEADER))
        length = _LENGTH.fullmatch(record.headers.get("Content-Length") or "")
        if header is None or length is None:
            return None
        end = place + header.end() + int(length[0])
        file.seek(end - 1)
        last, behind = file.read(1), file.read(_BEHIND)
        rest = behind.lstrip(b"\r\n")
        right = behind.startswith(b"\r\n\r\n") or rest.startswith(_PLAIN) or not rest
        return end if last and right else None
    finally:
        file.seek(at)


def _bare(record: Any) -> bool:
    """Whether a record's lines end with LF alone: fastwarc takes them for one."""
    return any("\nWARC-" in value or "\nContent-" in value for value in record.headers.values())


def _next(file: File, begin: int, *, plain: bool) -> int | None:
    """Where a record may begin, from a place on."""
    file.seek(begin)
    held, place = b"", begin
    start = _PLAIN_START if plain else _START
    while block := file.read(BLOCK):
        held += block
        if found := start.search(held):
            return place + found.end() - len(found[1])
        place += max(len(held) - 8, 0)
        held = held[-8:]
    return None


def _content(record: Any, file: File, size: int, limits: Limits) -> tuple[bytes, int]:
    """What a record holds, or the beginning of it that shows that it is too long for a page; and how long it is.

    Args:
        record: whose content was not read yet.
        file: that it comes from.
        size: bytes that came out of that before.
        limits: of what may.

    Raises:
        UnpackError: too much came out of the file.
    """
    held, taken = bytearray(), 0
    while block := bytes(calmly(lambda: record.reader.read(BLOCK))):
        # What a record claims to hold proves nothing: what comes out of it is counted.
        taken += len(block)
        check_unpacked(size + taken, file.tell(), limits)
        if len(held) <= MAX_PAGE:
            held += block
    return bytes(held), taken


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
    if record.headers.get("WARC-Truncated"):
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
    """Whether a record is a page or a plain text; None for all else, which is counted if it is what others are pages
    in."""
    if (record.headers.get("WARC-Type") or "").lower() not in _READ:
        return None
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
