"""The text of PDF files, by pypdfium2 (the engine of Chromium): page after page, words cut at line ends rejoined.

A scanned page holds no text; a file of nothing else is a problem, as is one that wants a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sensorium.data.reading.places import UnreadableError
from sensorium.data.reading.streams import File
from sensorium.errors import require

MAX_PAGES = 20_000
_CUT_WORD = re.compile(r"(?<=[^\W\d_])(?:([\ufffe\x02])\n?|([\u00ad\u2010-])\n)[ \t]*(?=([^\W\d_]))")
"""A hyphen at a line's end between letters. pdfium has taken the line's end out already where it writes U+FFFE or
U+0002."""
_PASSWORD = "Incorrect password"


def pdf_pages(file: File, source: str) -> Iterator[str]:
    """The text of each page.

    Args:
        file: the file's bytes, seekable.
        source: what it is called.

    Raises:
        UnreadableError: it is damaged, or encrypted, or holds no text.
        CapabilityError: pypdfium2 is not installed.
    """
    pdfium = require("pypdfium2", extra="prepare", purpose="reading PDF")
    try:
        document = pdfium.PdfDocument(file)
    except pdfium.PdfiumError as error:
        locked = _PASSWORD.lower() in str(error).lower()
        raise UnreadableError(
            "is encrypted" if locked else f"not a readable PDF file: {error}",
            where=source,
            fix="Save it without a password, or run without --strict to skip it"
            if locked
            else "Mend or remove it, or run without --strict to skip it",
        ) from error
    try:
        pages = len(document)
        if pages > MAX_PAGES:
            raise UnreadableError(f"has {pages} pages, more than {MAX_PAGES}", where=source)
        empty = True
        for number in range(pages):
            text = _page(document, number, source, pdfium.PdfiumError)
            if text.strip():
                yield text if empty else "\n" + text
                empty = False
        if empty:
            raise UnreadableError("holds no text, only pictures of pages perhaps", where=source)
    finally:
        document.close()


def _page(document: Any, number: int, source: str, failure: type[Exception]) -> str:
    try:
        page = document[number]
        try:
            text = page.get_textpage()
            try:
                return rejoined(text.get_text_bounded())
            finally:
                text.close()
        finally:
            page.close()
    except failure as error:
        raise UnreadableError(f"page {number + 1} cannot be read: {error}", where=source) from error


def rejoined(text: str) -> str:
    """A page's text with plain line ends, and whole words. A hyphen stays before a capital letter: "well-Known"."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _CUT_WORD.sub(lambda cut: "" if cut[3].islower() else "-", text)
    return text.replace("\ufffe", "").replace("\x02", "")
