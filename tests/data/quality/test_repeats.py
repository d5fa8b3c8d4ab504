from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.data.quality.repeats import commonest, repeated
from sensorium.data.quality.twice import more_than_once
from sensorium.data.quality.words import words_of

TOP = ((2, 0.2), (3, 0.18), (4, 0.16))
REPEATED = ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12))


def counted_commonest(words: list[str], size: int) -> tuple[int, float] | None:
    """As datatrove counts."""
    for order, share in TOP:
        grams = [" ".join(words[place : place + order]) for place in range(len(words) - order + 1)]
        if grams:
            gram, count = Counter(grams).most_common(1)[0]
            if len(gram) * count / size > share:
                return order, len(gram) * count / size
    return None


def counted_repeated(words: list[str], size: int) -> tuple[int, float] | None:
    """As datatrove counts."""
    for order, share in REPEATED:
        met, characters, place = set[tuple[str, ...]](), 0, 0
        while place < len(words) - order + 1:
            gram = tuple(words[place : place + order])
            if gram in met:
                characters += len("".join(gram))
                place += order
            else:
                met.add(gram)
                place += 1
        if characters / size > share:
            return order, characters / size
    return None


DOCUMENTS = st.lists(
    st.lists(st.sampled_from(["a", "bb", "ccc", "dddd", "eeeee"]), max_size=60).map(
        lambda words: [*words, *(f"w{place}" for place in range(len(words)))]
    )
    | st.lists(st.sampled_from("ab"), max_size=40),
    min_size=1,
    max_size=5,
)


@given(DOCUMENTS)
@settings(max_examples=100, deadline=None)
def test_n_grams_are_counted_as_one_by_one(documents: list[list[str]]) -> None:
    texts = [" ".join(words) for words in documents]
    words = words_of([text.encode() for text in texts])
    every = np.ones(len(texts), np.bool_)
    for found, counted in (
        (commonest(words, TOP, every), counted_commonest),
        (repeated(words, REPEATED, every), counted_repeated),
    ):
        for one, own, text in zip(found, documents, texts, strict=True):
            expected = counted(own, max(len(text), 1))
            assert (one is None) == (expected is None)
            if one is not None and expected is not None:
                assert one[0] == expected[0]
                assert abs(one[1] - expected[1]) < 1e-9


def test_documents_that_are_not_asked_for_are_not_answered() -> None:
    words = words_of([b"a b " * 50] * 2)
    assert [one is None for one in commonest(words, TOP, np.array([True, False]))] == [False, True]
    assert [one is None for one in repeated(words, REPEATED, np.array([False, True]))] == [True, False]


@given(st.lists(st.integers(0, 30), max_size=300), st.integers(0, 60))
@settings(max_examples=100, deadline=None)
def test_keys_that_are_there_before_are_found_whatever_slots_they_share(keys: list[int], shift: int) -> None:
    array = (np.array(keys, np.uint64) << np.uint64(shift)) + np.uint64(7)
    listed = array.tolist()
    twice = more_than_once(array)
    assert twice.later.tolist() == [key in listed[:place] for place, key in enumerate(listed)]
    assert twice.any.tolist() == [listed.count(key) > 1 for key in listed]
