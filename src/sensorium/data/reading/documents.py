"""What a document is: a text file or a cell of a table; cut where a reader would cut it, if it is too long.

A text beyond `MAX_DOCUMENT` characters is cut at the last paragraph end (else line, sentence, space) before it, so that
memory stays bounded whatever the input. Zeros and halves of surrogate pairs are mended here, since nothing after can
carry them: Arrow holds no such string.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from sensorium.data.sample import Ledger, Sample

MAX_DOCUMENT = 100_000
"""Characters of the longest document."""
_CUTS = (
    re.compile(r"\n\s*\n"),
    re.compile(r"\n"),
    re.compile(r"[.!?。！？；]['\"”’」』）)]*\s*"),
    re.compile(r"\s+"),
)
_SURROGATE = re.compile("[\ud800-\udfff]")


def text_documents(
    blocks: Iterable[str], source: str, ledger: Ledger, meta: dict[str, str] | None = None
) -> Iterator[Sample]:
    """A text that comes in blocks, whole if it is not too long.

    Args:
        blocks: the text, in order.
        source: where it comes from. Parts of a long one are numbered, `source#1`.
        ledger: receives how many zeros were taken out.
        meta: what is known of it.
    """
    held, part = "", 0
    for block in blocks:
        held += without_nulls(block, ledger)
        while len(held) > MAX_DOCUMENT:
            cut = _cut(held)
            part += 1
            yield Sample(held[:cut], f"{source}#{part}", meta or {})
            held = held[cut:]
    if held:
        yield Sample(held, f"{source}#{part + 1}" if part else source, meta or {})


def short_document(value: Any, source: str, meta: dict[str, str]) -> Sample | None:
    """The document of a row that needs nothing done to it, as most; None for others, which `row_documents` knows."""
    if type(value) is str and len(value) <= MAX_DOCUMENT and "\0" not in value:
        return Sample(value, source, meta)
    return None


def row_documents(value: Any, source: str, ledger: Ledger, meta: dict[str, str] | None = None) -> Iterator[Sample]:
    """The text of a row; what is none is a problem."""
    if not isinstance(value, str):
        ledger.problem(source, f"holds {type(value).__name__}, not text")
    elif len(value) <= MAX_DOCUMENT:
        yield Sample(without_nulls(value, ledger), source, meta or {})
    else:
        yield from text_documents(_in_blocks(value), source, ledger, meta)


def without_nulls(text: str, ledger: Ledger) -> str:
    """The text without zero characters, which are counted."""
    if "\0" not in text:
        return text
    ledger.count("zero characters taken out", text.count("\0"))
    return text.replace("\0", "")


def speakable(text: str, ledger: Ledger) -> str:
    """The text with U+FFFD in place of halves of surrogate pairs, which are counted; whole pairs become a character."""
    if not _SURROGATE.search(text):
        return text
    mended = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    ledger.count("halves of surrogate pairs replaced", mended.count("\ufffd") - text.count("\ufffd"))
    return mended


def _in_blocks(text: str) -> Iterator[str]:
    """A long text in pieces, since cutting documents off it one by one would copy the rest each time."""
    return (text[at : at + (1 << 20)] for at in range(0, len(text), 1 << 20))


def _cut(text: str) -> int:
    """The last good place to end a document within its first MAX_DOCUMENT characters."""
    head = text[:MAX_DOCUMENT]
    for pattern in _CUTS:
        ends = [match.end() for match in pattern.finditer(head, MAX_DOCUMENT // 2)]
        if ends:
            return ends[-1]
    return MAX_DOCUMENT
