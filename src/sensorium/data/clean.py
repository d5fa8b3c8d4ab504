"""Text repair: broken encodings, one Unicode form, no control characters, orderly whitespace.

ftfy undoes mojibake ("schÃ¶n" → "schön"); what it decides is not ours to write. Line and paragraph ends stay:
they are where sentences and documents may be cut.
"""

from __future__ import annotations

import unicodedata
from typing import Literal

import ftfy
import regex

UnicodeForm = Literal["NFC", "NFKC"]

_FTFY = ftfy.TextFixerConfig(
    unescape_html=False,
    uncurl_quotes=False,
    fix_latin_ligatures=False,
    fix_character_width=False,
    normalization=None,
)
_UNSEEN = regex.compile(r"[\p{Cc}\p{Cs}\p{Co}\p{Cn}\u200b\u2060\ufeff\u00ad--[\n\t]]+", flags=regex.V1)
"""Control, surrogate, private and unassigned characters, zero-width spaces, soft hyphens. Joiners stay: Persian,
Indic scripts and emoji need them."""
_UNUSUAL = regex.compile(r"[^\x20-\x7e\n\t]")
"""What any repair needs to have something to do. Most English text has none of it, and takes a tenth of the time."""
_SPACES = regex.compile(r"[^\S\n]+")
_AROUND_LINE = regex.compile(r" ?\n ?")
_BLANK_LINES = regex.compile(r"\n{3,}")


def clean(text: str, *, form: UnicodeForm = "NFC") -> str:
    """The repaired text.

    Args:
        text: any text.
        form: NFC keeps what was written; NFKC also folds full-width letters, ligatures and the like.
    """
    if _UNUSUAL.search(text):
        text = ftfy.fix_text(text, _FTFY)
        text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n\n")
        text = _UNSEEN.sub("", text)
        text = unicodedata.normalize(form, text)
    text = _SPACES.sub(" ", text)
    text = _AROUND_LINE.sub("\n", text)
    text = _BLANK_LINES.sub("\n\n", text)
    return text.strip()
