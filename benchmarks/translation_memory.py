"""A translation memory: the translation of the nearest source text that is known, by chrF (Popović 2015).

What a translator without a model has. chrF of one text against many is a product of sparse matrices: common n-grams are
counted as the smaller of both counts, which is the dot product of vectors that have a place for each occurrence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer

ORDER, BETA = 6, 2.0
_AT_ONCE = 64


def translations(sources: Sequence[str], known: Sequence[tuple[str, str]]) -> list[str]:
    """For each source text, the translation that goes with the nearest known source text."""
    places = nearest(sources, [source for source, _ in known])
    return [known[place][1] for place in places]


def nearest(texts: Sequence[str], known: Sequence[str]) -> list[int]:
    """For each text, the place of the known text with the highest chrF; the first of those where several have it."""
    found, tables = list[int](), _tables(known)
    for start in range(0, len(texts), _AT_ONCE):
        found += np.argmax(_chrf(texts[start : start + _AT_ONCE], tables), axis=1).tolist()
    return found


def chrf(text: str, known: Sequence[str]) -> np.ndarray:
    """chrF of a text, as the hypothesis, against each known one, 0 to 100."""
    return 100 * _chrf([text], _tables(known))[0]


def _tables(known: Sequence[str]) -> list[tuple[CountVectorizer, sparse.csr_matrix]]:
    vectorizers = [CountVectorizer(analyzer=_Occurrences(n), binary=True, dtype=np.float32) for n in _orders()]
    return [(vectorizer, vectorizer.fit_transform(known)) for vectorizer in vectorizers]


def _orders() -> range:
    return range(1, ORDER + 1)


class _Occurrences:
    """The n-grams of a text without its spaces, each with the number of its occurrence."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self, text: str) -> list[tuple[str, int]]:
        packed, seen, found = "".join(text.split()), Counter[str](), list[tuple[str, int]]()
        for start in range(len(packed) - self.n + 1):
            gram = packed[start : start + self.n]
            seen[gram] += 1
            found.append((gram, seen[gram]))
        return found


def _chrf(texts: Sequence[str], tables: list[tuple[CountVectorizer, sparse.csr_matrix]]) -> np.ndarray:
    """`[texts, known]`. The F of the mean precision and the mean recall over the orders that both texts have."""
    shape = (len(texts), tables[0][1].shape[0])
    precision, recall, orders = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for n, (vectorizer, known) in zip(_orders(), tables, strict=True):
        common = (vectorizer.transform(texts) @ known.T).toarray()
        mine = np.array([max(0, len("".join(text.split())) - n + 1) for text in texts], dtype=float)[:, None]
        theirs = np.asarray(known.sum(1)).T
        both = (mine > 0) & (theirs > 0)
        precision += np.divide(common, mine, out=np.zeros(shape), where=both)
        recall += np.divide(common, theirs, out=np.zeros(shape), where=both)
        orders += both
    precision, recall = precision / np.maximum(orders, 1), recall / np.maximum(orders, 1)
    weighted = BETA**2 * precision + recall
    return np.divide((1 + BETA**2) * precision * recall, weighted, out=np.zeros(shape), where=weighted > 0)
