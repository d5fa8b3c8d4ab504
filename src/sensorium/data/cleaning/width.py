"""Full and half width: `ＡＢＣ１２３` to `ABC123`, half-width katakana to full.

Full-width marks (，！？：；（）) stay unless they are asked for: in Chinese and Japanese they are the right ones. NFKC
folds them too, and much else; this touches nothing but width.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sensorium.data.stages import TEXT, Mapped, with_texts

if TYPE_CHECKING:
    import pyarrow as pa

_ASCII = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20, 0xFF5F: 0x2985, 0xFF60: 0x2986}
_LETTERS = {wide: narrow for wide, narrow in _ASCII.items() if chr(narrow).isalnum()}
_WIDE_LETTER = re.compile("[０-９Ａ-Ｚａ-ｚ]")
_WIDE = re.compile("[！-｠\u3000]")
_HALF = re.compile("[\uff61-\uffdc\uffe8-\uffee]+")
_WIDE_SIGN = re.compile("[\uffe0-\uffe2\uffe4-\uffe6]")


def fold_width(text: str, *, marks: bool = False) -> str:
    """The text with Latin letters and digits of half width, katakana and hangul of full.

    Args:
        text: any text.
        marks: fold punctuation, the ideographic space and signs (￥) too.
    """
    if (_WIDE if marks else _WIDE_LETTER).search(text):
        text = text.translate(_ASCII if marks else _LETTERS)
    if marks and _WIDE_SIGN.search(text):
        text = _WIDE_SIGN.sub(_usual, text)
    return _HALF.sub(_usual, text) if _HALF.search(text) else text


def _usual(found: re.Match[str]) -> str:
    return unicodedata.normalize("NFKC", found.group())


@dataclass(frozen=True, kw_only=True)
class Width:
    """Folds widths.

    Args:
        marks: punctuation too.
    """

    marks: bool = False
    name: str = "width"

    def map(self, batch: pa.RecordBatch) -> Mapped:
        """The folded texts."""
        texts: list[str] = batch.column(TEXT).to_pylist()
        folded = [text if text.isascii() else fold_width(text, marks=self.marks) for text in texts]
        changed = sum(one is not other and one != other for one, other in zip(texts, folded, strict=True))
        return Mapped(with_texts(batch, folded), {"widths folded": changed}) if changed else Mapped(batch)
