"""The baselines count what stands in the training text, inside its documents, and are proper distributions."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from sensorium.data.shards import ShardWriter, TokenShards
from sensorium.tour.ngrams import PRIOR, NGrams

DOCUMENTS = [[1, 2, 3, 1, 2], [], [3, 1, 2, 4], [5]]
VOCABULARY = 7


@pytest.fixture
def counts(tmp_path: Path) -> NGrams:
    writer = ShardWriter(tmp_path / "split", VOCABULARY)
    for document in DOCUMENTS:
        writer.add([document], 1)
    writer.close()
    return NGrams(TokenShards(tmp_path / "split", VOCABULARY), VOCABULARY)


def test_the_unigram_counts_every_token_once_more_than_it_was_seen(counts: NGrams) -> None:
    seen = [sum(document.count(token) for document in DOCUMENTS) for token in range(VOCABULARY)]
    assert counts.unigram == pytest.approx([(n + 1) / (10 + VOCABULARY) for n in seen])


def naive_bigram(counts: NGrams, left: int, right: int) -> float:
    """P(right | left), counted the slow way."""
    pairs = [pair for document in DOCUMENTS for pair in pairwise(document)]
    lefts = [a for a, _ in pairs]
    return (pairs.count((left, right)) + PRIOR * counts.unigram[right]) / (lefts.count(left) + PRIOR)


def test_pairs_are_counted_within_documents_only(counts: NGrams) -> None:
    for left in range(VOCABULARY):
        assert counts.after(left) == pytest.approx([naive_bigram(counts, left, x) for x in range(VOCABULARY)])
        assert counts.before(left) == pytest.approx([naive_bigram(counts, x, left) for x in range(VOCABULARY)])
        assert counts.after(left).sum() == pytest.approx(1)


def test_a_gap_is_filled_by_the_neighbours_that_are_known(counts: NGrams) -> None:
    both = [naive_bigram(counts, 3, x) * naive_bigram(counts, x, 2) for x in range(VOCABULARY)]
    assert counts.fill(3, 2) == int(np.argmax(both)) == 1
    assert counts.fill(2, None) == int(np.argmax([naive_bigram(counts, 2, x) for x in range(VOCABULARY)]))
    right = [counts.unigram[x] * naive_bigram(counts, x, 4) for x in range(VOCABULARY)]
    assert counts.fill(None, 4) == int(np.argmax(right)) == 2
    assert counts.fill(None, None) == int(np.argmax(counts.unigram))


def test_log_probabilities_of_a_text_are_those_of_its_tokens(counts: NGrams) -> None:
    text = [1, 2, 3, 6, 1]
    ids = np.array(text)
    assert counts.unigram_logprobs(ids) == pytest.approx([math.log(counts.unigram[x]) for x in text])
    chain = [counts.unigram[1], *(naive_bigram(counts, a, b) for a, b in pairwise(text))]
    assert counts.bigram_logprobs(ids) == pytest.approx(np.log(chain))


def test_a_text_without_pairs_leaves_the_unigram(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path / "split", VOCABULARY)
    writer.add([[4]], 1)
    writer.close()
    lone = NGrams(TokenShards(tmp_path / "split", VOCABULARY), VOCABULARY)
    assert lone.fill(4, 4) == 4
    assert lone.bigram_logprobs(np.array([4, 4])) == pytest.approx(np.log([lone.unigram[4]] * 2))
