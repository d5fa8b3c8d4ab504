"""Which script a text is written in: enough to choose between Latin-script and Chinese text.

This is not language identification: French counts as Latin script as English does.
"""

from __future__ import annotations

import regex

SCRIPTS = {"en": "latin", "zh": "han"}
"""The languages that `prepare --languages` knows, by the script that they are told by."""
_HAN = regex.compile(r"\p{Han}")
_LATIN = regex.compile(r"\p{Latin}+")
_OTHER = regex.compile(r"[\p{L}--[\p{Han}\p{Latin}]]", flags=regex.V1)


def script(text: str) -> str:
    """`latin`, `han` or `other`: the script of most of the text. A Latin word weighs as one character."""
    sample = text[:20_000]
    counts = {
        "han": len(_HAN.findall(sample)),
        "latin": len(_LATIN.findall(sample)),
        "other": len(_OTHER.findall(sample)) // 4,
    }
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else "other"
