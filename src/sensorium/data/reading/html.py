"""Web pages to text: the main content and the title, by resiliparse (Bevendorff et al. 2018), which is made for crawls.

A page's encoding is what its bytes are, if they are UTF-8; else what the server or the page says; else a guess. Some
broken characters do not cost a page.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sensorium.data.reading.encoding import EncodingError, find_encoding
from sensorium.errors import require

MAX_PAGE = 1 << 24
"""Bytes of the longest page that is read."""
_DEEP = 400
"""Elements within each other from which on a page is taken whole: the search for its main content takes time that grows
with the square of their number, and pages that are so deep are made to hurt."""
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]*)")
_VOID = ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr")
_UNCLOSED = frozenset({*_VOID, "p", "li", "dd", "dt", "td", "th", "tr", "option"})
_MOST_BROKEN = 0.01
_SUPERSETS = {"gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949", "big5": "big5hkscs"}


_T = TypeVar("_T")


class PageError(ValueError):
    """A page cannot be used."""


@dataclass(frozen=True)
class Page:
    """A web page."""

    title: str
    """Empty if it has none."""
    text: str
    """Its main content, headed by the title if it does not begin with it."""


def read_page(data: bytes, *, encoding: str | None = None) -> Page:
    """The title and the main content of a page.

    Args:
        data: HTML.
        encoding: what the server or the user says it is written in.

    Raises:
        PageError: it is no text, or too long.
        CapabilityError: resiliparse is not installed.
    """
    if len(data) > MAX_PAGE:
        raise PageError(f"a page of more than {MAX_PAGE} bytes")
    tree_of = require("resiliparse.parse.html", extra="prepare", purpose="reading HTML").HTMLTree
    extract = require("resiliparse.extract.html2text", extra="prepare", purpose="reading HTML").extract_plain_text
    page = decode_page(data, encoding=encoding).replace("\0", "")
    tree = calmly(lambda: tree_of.parse(page))
    title = " ".join((tree.title or "").split())
    text = calmly(lambda: extract(tree, main_content=True, alt_texts=False)) if _depth(page) < _DEEP else ""
    if not text.strip():
        text = calmly(lambda: extract(tree, alt_texts=False))
    text = text.strip()
    head = text.partition("\n")[0].strip()
    return Page(title, text if not title or head == title else f"{title}\n\n{text}".strip())


def decode_page(data: bytes, *, encoding: str | None = None) -> str:
    """A page's characters.

    Raises:
        PageError: it is no text.
    """
    for mark, marked in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if data.startswith(mark):
            return data.decode(marked, "replace")
    try:
        return data.decode()
    except UnicodeDecodeError:
        pass
    said = [encoding, _declared(data)]
    for name in filter(None, said):
        try:
            codec = codecs.lookup(_SUPERSETS.get(codecs.lookup(name).name, name)).name
            text = data.decode(codec, "replace")
        except (LookupError, UnicodeError, ValueError):
            continue
        beyond = sum(char > "\x7f" for char in text)
        if text.count("\ufffd") <= _MOST_BROKEN * beyond + 1:
            return text
    try:
        return data.decode(find_encoding(data), "replace")
    except EncodingError as error:
        raise PageError(str(error)) from error


def calmly(call: Callable[[], _T]) -> _T:
    """What a function in Rust returns; a panic of it, which would end the process, is a page's error.

    Raises:
        PageError: it panicked.
    """
    try:
        return call()
    except BaseException as error:
        # It derives from no Exception, and its class stands in no module.
        if type(error).__name__ != "PanicException":
            raise
        raise PageError("the parser failed") from error


def _declared(data: bytes) -> str | None:
    """What the page's own head says."""
    match = re.search(rb"""<meta[^>]{0,200}charset\s*=\s*["']?\s*([A-Za-z0-9_:.-]{2,40})""", data[:4096], re.IGNORECASE)
    return match.group(1).decode("ascii").lower() if match else None


def _depth(page: str) -> int:
    """How deep elements stand within each other at most, roughly: those that need no end are left out."""
    if page.count("<") < _DEEP:
        return 0
    depth = deepest = 0
    for end, name in _TAG.findall(page):
        if name.lower() in _UNCLOSED:
            continue
        depth = max(depth - 1, 0) if end else depth + 1
        deepest = max(deepest, depth)
    return deepest
