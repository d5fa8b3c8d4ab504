"""Which rule drops which document of a batch, and what it measured; and by which language's limits it is judged."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool

from sensorium.data.quality import letters
from sensorium.data.quality.words import Words, parts

if TYPE_CHECKING:
    import pyarrow as pa

Limit = int | float | None
LANGUAGE = "language"
"""The column that language identification writes."""
ENGLISH, CHINESE, ELSEWHERE = "english", "chinese", "elsewhere"
_CODES = {"en": ENGLISH, "eng": ENGLISH} | dict.fromkeys(("zh", "zho", "cmn", "yue", "wuu", "lzh", "nan"), CHINESE)
_LATIN_END = 0xCA
"""The lead byte after those of the Latin letters with accents."""
_KANA = 0.2
"""Of ideographs and kana; where more are kana, a text is Japanese."""


class Verdicts:
    """Why each of some documents is dropped: the first rule that it breaks, or None.

    Args:
        stage: what each reason begins with.
        words: of the documents.
    """

    def __init__(self, stage: str, words: Words) -> None:
        self.reasons: list[str | None] = [None] * len(words)
        self.open = np.ones(len(words), np.bool_)
        """Broke no rule yet."""
        self._stage = stage

    def below(self, rule: str, values: Any, limit: Limit, among: Bool[np.ndarray, " documents"]) -> None:
        """Drop documents of which a measure is less than a limit; None switches the rule off."""
        if limit is not None:
            self._drop(rule, values, np.flatnonzero((values < limit) & among & self.open), f"less than {limit:g}")

    def above(self, rule: str, values: Any, limit: Limit, among: Bool[np.ndarray, " documents"]) -> None:
        """Drop documents of which a measure is more than a limit; None switches the rule off."""
        if limit is not None:
            self._drop(rule, values, np.flatnonzero((values > limit) & among & self.open), f"more than {limit:g}")

    def named(self, rule: str, found: list[tuple[int, float] | None], what: str) -> None:
        """Drop documents of which something was found: an order and a share."""
        for document, pair in enumerate(found):
            if pair is not None and self.open[document]:
                self.open[document] = False
                self.reasons[document] = f"{self._stage} {rule}: {pair[1]:.3g} of the characters in {pair[0]}-{what}"

    def holding(self, rule: str, found: Bool[np.ndarray, " documents"]) -> None:
        """Drop documents that hold what they should not."""
        for document in np.flatnonzero(found & self.open):
            self.reasons[document] = f"{self._stage} {rule}"
        self.open &= ~found

    def _drop(self, rule: str, values: Any, documents: Any, limit: str) -> None:
        self.open[documents] = False
        for document in documents:
            self.reasons[document] = f"{self._stage} {rule}: {values[document]:.3g}, {limit}"


def judged(batch: pa.RecordBatch, judge: Callable[[Words, list[str]], list[str | None]]) -> pa.Array:
    """A filter's answer about a batch, made part by part.

    Args:
        batch: with or without a column `language`.
        judge: of the words of some documents, and by whose limits each is judged, why each is dropped.
    """
    import pyarrow as pa

    codes = batch.column(LANGUAGE).to_pylist() if LANGUAGE in batch.schema.names else [None] * batch.num_rows
    reasons = list[str | None]()
    for words in parts(batch):
        known = codes[len(reasons) : len(reasons) + len(words)]
        reasons += judge(words, languages(words, known))
    return pa.array(reasons, pa.string())


def languages(words: Words, codes: list[str | None]) -> list[str]:
    """By whose limits each document is judged: `english`, `chinese` or `elsewhere`.

    Args:
        words: of some documents.
        codes: the language of each, such as `en` or `zh-Hant`. Where it is None the script decides: Latin letters are
            taken for English.
    """
    known = [_language(code) if code else None for code in codes]
    if None not in known:
        return [language for language in known if language]
    scripts = _by_script(words)
    return [language or script for language, script in zip(known, scripts, strict=True)]


@lru_cache(maxsize=1000)
def _language(code: str) -> str:
    return _CODES.get(code.replace("_", "-").partition("-")[0].lower(), ELSEWHERE)


def _by_script(words: Words) -> list[str]:
    """A Latin word weighs as one ideograph: Chinese about software is full of Latin names."""
    lead = words.data[words.starts]
    ideographs = words.codes == letters.IDEOGRAPH
    written = words.codes == letters.LETTER
    latin = words.totals(written & (lead < _LATIN_END))
    other = words.totals(written & (lead >= _LATIN_END))
    if not ideographs.any():
        return np.where(other > latin, ELSEWHERE, ENGLISH).tolist()  # type: ignore[no-any-return]
    second = words.data[words.starts + 1]
    kana = words.totals(ideographs & (lead == 0xE3) & (second >= 0x81) & (second <= 0x83))
    both = words.totals(ideographs)
    chinese = (both > latin) & (both > other) & (kana <= _KANA * both)
    elsewhere = (other > latin) | (both > latin)
    return np.where(chinese, CHINESE, np.where(elsewhere, ELSEWHERE, ENGLISH)).tolist()  # type: ignore[no-any-return]
