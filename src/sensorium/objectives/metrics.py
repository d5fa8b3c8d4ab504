"""How good classes, tags and answers are, from what was found and what was expected."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_ALONE = re.compile(r"([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])")
_MARKS = dict.fromkeys(
    [*map(ord, string.punctuation), *(i for i in (*range(0x3000, 0x3040), *range(0xFF00, 0x10000))
                                      if unicodedata.category(chr(i)).startswith("P"))]
)  # fmt: skip
"""ASCII's punctuation, as SQuAD's own evaluation has it, and that of Chinese and Japanese."""


def accuracy_and_f1(expected: NDArray[np.integer], found: NDArray[np.integer], n_classes: int) -> tuple[float, float]:
    """Share of what is right, and the mean of the F1 of all classes that occur, each counted alike (macro)."""
    table = np.bincount(expected * n_classes + found, minlength=n_classes**2).reshape(n_classes, n_classes)
    right, occurs = np.diag(table), table.sum(0) + table.sum(1)
    present = occurs > 0
    if not present.any():
        return 0.0, 0.0
    return float(right.sum() / table.sum()), float((2 * right[present] / occurs[present]).mean())


def entities(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """Kind, first word and end of the entities that tags like B-PER I-PER O stand for.

    Read as conlleval does: an entity also begins where its kind changes, whatever the letter before it; E and S, where
    tags have them, end one.
    """
    found = list[tuple[str, int, int]]()
    begin, kind = 0, ""
    ended = True
    for place, tag in enumerate([*tags, "O"]):
        letter, _, now = ("O", "", "") if tag == "O" else tag.partition("-")
        if kind and (ended or letter in ("O", "B", "S", "U") or now != kind):
            found.append((kind, begin, place))
            kind = ""
        if letter != "O" and not kind:
            begin, kind = place, now
        ended = letter in ("E", "S", "L", "U")
    return found


def has_entities(labels: Iterable[str]) -> bool:
    """Whether tags mark entities: O, and others like B-PER."""
    marked = [label for label in labels if label != "O"]
    return bool(marked) and all(re.fullmatch(r"[BIESLU]-.+", label) for label in marked)


def entity_f1(expected: Sequence[Sequence[str]], found: Sequence[Sequence[str]]) -> float:
    """F1 of whole entities, over all sentences (Tjong Kim Sang & De Meulder 2003)."""
    pairs = [(set(entities(a)), set(entities(b))) for a, b in zip(expected, found, strict=True)]
    right = sum(len(a & b) for a, b in pairs)
    total = sum(len(a) + len(b) for a, b in pairs)
    return 2 * right / total if total else 0.0


def answer_words(text: str) -> list[str]:
    """The words of an answer that count: in small letters, without punctuation and articles (Rajpurkar et al. 2016).
    A Chinese or Japanese character is a word."""
    return _ALONE.sub(r" \1 ", _ARTICLES.sub(" ", text.lower().translate(_MARKS))).split()


def answer_match(found: str, expected: Sequence[str]) -> tuple[float, float]:
    """Exact match and F1 of an answer against the nearest of those expected; none expected: it must be empty."""
    words = answer_words(found)
    scores = [_match(words, answer_words(text)) for text in expected or ("",)]
    return max(exact for exact, _ in scores), max(f1 for _, f1 in scores)


def _match(found: Sequence[str], expected: Sequence[str]) -> tuple[float, float]:
    exact = float(found == expected)
    if not found or not expected:
        return exact, exact
    common = sum((Counter(found) & Counter(expected)).values())
    return exact, 2 * common / (len(found) + len(expected))
