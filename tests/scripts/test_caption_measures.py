"""CIDEr as scikit-learn's counts give it, and what the loader of captions keeps."""

from __future__ import annotations

import io

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer

from benchmarks.caption_measures import cider
from benchmarks.data_captions import _balanced, _joined

REFERENCES = [["a red car on a road"], ["a small red boat"], ["two cats on a mat"], ["a dog"], ["the sun over a road"]]
CAPTIONS = ["a red car on the road", "a small red boat", "a cat on a mat", "", "a moon over a lake"]


def by_counts(captions: list[str], references: list[list[str]]) -> np.ndarray:
    """Mean cosine over the orders of count shares times log(pictures / pictures that have the run)."""
    texts = [text for one in references for text in one]
    scores = np.zeros(len(captions))
    for order in (1, 2, 3, 4):
        counter = CountVectorizer(ngram_range=(order, order), token_pattern=r"\w+").fit([*texts, *captions])
        known, given = counter.transform(texts).toarray(), counter.transform(captions).toarray()
        weights = np.log(len(texts)) - np.log(np.maximum(1, (known > 0).sum(0)))
        known, given = known * weights, given * weights
        sizes = np.linalg.norm(known, axis=1) * np.linalg.norm(given, axis=1)
        scores += np.divide((known * given).sum(1), sizes, out=np.zeros(len(captions)), where=sizes > 0)
    return 10 * scores / 4


def test_it_is_the_formula_of_the_paper() -> None:
    found = cider(CAPTIONS, REFERENCES)
    np.testing.assert_allclose(found, by_counts(CAPTIONS, REFERENCES), atol=1e-9)
    assert found[1] == pytest.approx(10.0)
    assert found[3] == 0.0


def test_rare_words_count_more_and_several_references_are_averaged() -> None:
    rare, usual = cider(["boat", "a"], [["a boat"], ["a boat"]])
    assert cider(["a b", "c"], [["a b", "x y"], ["c"]])[0] == pytest.approx(
        cider(["a b", "c"], [["a b"], ["c"]])[0] / 2
    )
    assert rare == usual == 0.0  # what every picture has tells nothing


def test_captions_are_unique_short_words() -> None:
    rows = [("a", "A Red_Car ", "x"), ("b", "a red car", "x"), ("c", "Sign 3", "x"), ("d", "o", "x"), ("e", "été", "x")]
    found = list(_balanced((name, told, source, io.BytesIO()) for name, told, source in rows))
    assert [(name, told) for name, told, *_ in found] == [("a", "a Red Car")]


def test_glyphs_are_joined_longest_first() -> None:
    ligatures = {("a", "b"): "ab", ("ab", "c"): "abc", ("b", "c", "d"): "bcd"}
    assert _joined(["a", "b", "c"], ligatures) == ["abc"]
    assert _joined(["a", "b", "c", "d"], ligatures) == ["a", "bcd"]
    assert _joined(["x"], ligatures) == ["x"]
