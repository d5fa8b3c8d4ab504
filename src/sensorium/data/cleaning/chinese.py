"""Traditional and simplified Chinese: which of them a text is in, and one turned into the other.

OpenCC converts, by phrases rather than character for character (頭髮, 發展 → 头发, 发展). Which form a text is in is
told without it, by the characters that only one of two national standards has: GB 2312 (simplified) and Big5
(traditional). Japanese, which shares characters with both, is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import regex

from sensorium.data.stages import TEXT, Mapped, with_texts
from sensorium.errors import InputError, require, unknown

if TYPE_CHECKING:
    import pyarrow as pa

_CONFIGS = {"simplified": "t2s", "traditional": "s2t", "taiwan": "s2tw", "hongkong": "s2hk"}
_HAN = regex.compile(r"\p{Han}")
_KANA = regex.compile(r"[\p{Hiragana}\p{Katakana}]")
_KANA_SHARE = 0.05
_LOOKED_AT = 2_000


def form_of(text: str) -> Literal["simplified", "traditional"] | None:
    """The form of Chinese that a text is in; None if it holds no character that tells (as 中文 does not).

    Args:
        text: of which the first 2,000 characters that tell are counted.
    """
    simplified = traditional = 0
    only_simplified, only_traditional = _telling()
    for character in text:
        simplified += character in only_simplified
        traditional += character in only_traditional
        if simplified + traditional >= _LOOKED_AT:
            break
    if simplified == traditional:
        return None
    return "simplified" if simplified > traditional else "traditional"


@lru_cache(maxsize=1)
def _telling() -> tuple[frozenset[str], frozenset[str]]:
    """The characters of GB 2312 that Big5 lacks, and the other way round."""
    sets = []
    for encoding in ("gb2312", "big5"):
        pairs = (bytes([high, low]) for high in range(0xA1, 0xFF) for low in range(0x40, 0xFF))
        sets.append({pair.decode(encoding, "ignore") for pair in pairs})
    han = [{character for character in found if _HAN.fullmatch(character)} for found in sets]
    return frozenset(han[0] - han[1]), frozenset(han[1] - han[0])


def convert(text: str, to: str) -> str:
    """The text in another form of Chinese; Japanese, and what holds no Chinese, as it is.

    Args:
        text: any text.
        to: `simplified`; `traditional` (by OpenCC's own standard), `taiwan` or `hongkong` (as it is written there).

    Raises:
        CapabilityError: OpenCC is not installed.
        InputError: there is no such form.
    """
    if text.isascii() or not _HAN.search(text) or _is_japanese(text):
        return text
    converted: str = _converter(to).convert(text)
    return converted


def _is_japanese(text: str) -> bool:
    kana = len(_KANA.findall(text)) if _KANA.search(text) else 0
    return kana > 0 and kana >= _KANA_SHARE * (kana + len(_HAN.findall(text)))


@lru_cache(maxsize=4)
def _converter(to: str) -> Any:
    if to not in _CONFIGS:
        raise InputError(unknown("form of Chinese", to, _CONFIGS))
    return require("opencc", extra="zh", purpose="converting Chinese").OpenCC(_CONFIGS[to])


@dataclass(frozen=True)
class Chinese:
    """Writes all Chinese in one form.

    Args:
        to: `simplified`, `traditional`, `taiwan` or `hongkong`.
    """

    to: str = "simplified"
    name: str = "chinese"

    def __post_init__(self) -> None:
        if self.to not in _CONFIGS:
            raise InputError(unknown("form of Chinese", self.to, _CONFIGS))

    def map(self, batch: pa.RecordBatch) -> Mapped:
        """The converted texts."""
        texts: list[str] = batch.column(TEXT).to_pylist()
        converted = [convert(text, self.to) for text in texts]
        changed = sum(one is not other and one != other for one, other in zip(texts, converted, strict=True))
        counts = {f"texts turned into {self.to} Chinese": changed}
        return Mapped(with_texts(batch, converted), counts) if changed else Mapped(batch)
