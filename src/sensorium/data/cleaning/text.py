"""Text repair: broken encodings, one Unicode form, no control characters, orderly white space.

ftfy undoes mojibake ("schÃ¶n" → "schön"); what it decides is not ours to write. Line and paragraph ends stay:
they are where sentences and documents may be cut. Most text needs little of this, so what a text may need is looked
up first (`marks`), for many texts at once, and it is spared the rest.
"""

from __future__ import annotations

import html
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import ftfy
import numpy as np
import numpy.typing as npt

from sensorium.data.cleaning.marks import ODD, SPACE, UNSEEN, UNSEEN_CHARACTERS, marks_of, may_be_mac, suspects
from sensorium.data.stages import TEXT, Mapped, neighbours, with_texts

if TYPE_CHECKING:
    import pyarrow as pa

UnicodeForm = Literal["NFC", "NFKC"]

_FTFY = ftfy.TextFixerConfig(
    unescape_html=False,
    uncurl_quotes=False,
    fix_latin_ligatures=False,
    fix_character_width=False,
    normalization=None,
)
_SPACES = re.compile(r"[^\S\n ][^\S\n]*| [^\S\n]+")
"""White space within a line that is not one space."""
_AROUND_LINE = re.compile(r" \n ?|\n ")
_BLANK_LINES = re.compile(r"\n{3,}")
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")
_TOGETHER = 1 << 20
"""Characters that are looked up at once."""


def clean(text: str, *, form: UnicodeForm = "NFC") -> str:
    """The repaired text.

    Args:
        text: any text.
        form: NFC keeps what was written; NFKC also folds full-width letters, ligatures and the like.
    """
    return clean_all([text], form=form)[0]


def clean_all(texts: Sequence[str], *, form: UnicodeForm = "NFC") -> list[str]:
    """The repaired texts: those that `clean` gives one by one, in less time."""
    cleaned = list[str]()
    for group in neighbours(texts, _TOGETHER):
        cleaned.extend(_clean_group(group, form))
    return cleaned


def unescape(text: str) -> str:
    """The text with the characters that HTML's entities stand for: `&amp;` once, so that `&amp;lt;` becomes `&lt;`."""
    return _ENTITY.sub(lambda entity: html.unescape(entity.group()), text) if "&" in text else text


@dataclass(frozen=True, kw_only=True)
class Clean:
    """Repairs each text, and counts how many needed it.

    Args:
        form: Unicode normalisation form.
        entities: replace HTML entities. Off, for text that was parsed as HTML has none left but those that it is about.
    """

    form: UnicodeForm = "NFC"
    entities: bool = False
    name: str = "clean"

    def map(self, batch: pa.RecordBatch) -> Mapped:
        """The repaired texts."""
        texts: list[str] = batch.column(TEXT).to_pylist()
        given = [unescape(text) for text in texts] if self.entities else texts
        cleaned = clean_all(given, form=self.form)
        changed = sum(one is not other and one != other for one, other in zip(texts, cleaned, strict=True))
        if not changed:
            return Mapped(batch)
        return Mapped(with_texts(batch, cleaned), {"texts repaired": changed})


def _clean_group(texts: Sequence[str], form: UnicodeForm) -> Iterator[str]:
    joined = "\n".join(texts)
    if joined.isascii() and joined.replace("\n", "").isprintable():
        yield from map(_orderly, texts)
        return
    starts = np.cumsum([0, *(len(text) + 1 for text in texts)])
    marks = np.append(marks_of(joined), np.uint16(0))
    needs = np.bitwise_or.reduceat(marks, starts[:-1])
    certain, mac = (np.split(found, np.searchsorted(found, starts[1:-1])) for found in suspects(marks))
    for text, start, need, ours, macs in zip(texts, starts.tolist(), needs.tolist(), certain, mac, strict=False):
        repaired = _repair_lines(text, ours - start, macs - start) if len(ours) or len(macs) else text
        if repaired is not text or need & ODD:
            repaired = repaired.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n\n")
        if repaired is not text or need & UNSEEN:
            repaired = UNSEEN_CHARACTERS.sub("", repaired)
        repaired = unicodedata.normalize(form, repaired)
        if repaired is not text or need & SPACE:
            repaired = _SPACES.sub(" ", repaired)
        yield _orderly(repaired)


def _repair_lines(text: str, suspects: npt.NDArray[np.intp], mac: npt.NDArray[np.intp]) -> str:
    """The text with those lines repaired that have a suspect in them; the very same text if none was changed."""
    sure = suspects.tolist()
    ends, pieces, done = 0, list[str](), 0
    for place in sorted({*sure, *mac.tolist()}):
        if place < ends:
            continue
        start = text.rfind("\n", 0, place) + 1
        ends = (text.find("\n", place) + 1) or len(text)
        line = text[start:ends]
        certain = bisect_right(sure, ends - 1) > bisect_right(sure, start - 1)
        repaired = ftfy.fix_text(line, _FTFY) if certain or may_be_mac(line) else line
        if repaired != line:
            pieces += [text[done:start], repaired]
            done = ends
    if not pieces:
        return text
    return "".join([*pieces, text[done:]])


def _orderly(text: str) -> str:
    """The text with orderly spaces and line ends, if white space within its lines is but spaces."""
    if "  " in text:
        text = _SPACES.sub(" ", text)
    if " \n" in text or "\n " in text:
        text = _AROUND_LINE.sub("\n", text)
    if "\n\n\n" in text:
        text = _BLANK_LINES.sub("\n\n", text)
    return text.strip()
