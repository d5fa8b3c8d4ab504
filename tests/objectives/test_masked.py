"""Masked sequences hold whole sentences of the corpus, and nothing but the text tells true pairs from false ones."""

from __future__ import annotations

import numpy as np
import pytest

from sensorium.data.shards import Corpus
from sensorium.objectives.masked import MaskedObjective, Pairs
from sensorium.objectives.masking import Masking
from sensorium.objectives.objective import Example, collate

SEQ_LEN = 96


def objective(corpus: Corpus, pairs: Pairs) -> MaskedObjective:
    masking = Masking.of(corpus.tokenizer, rate=0.15, unit="token")
    return MaskedObjective(corpus.tokenizer, seq_len=SEQ_LEN, masking=masking, pairs=pairs)


def examples(corpus: Corpus, pairs: Pairs, epochs: int = 1) -> list[Example]:
    made = objective(corpus, pairs)
    units = made.units(corpus.train, np.random.default_rng(0))
    return [
        made.example(corpus.train, unit, np.random.default_rng((epoch, number)))
        for epoch in range(epochs)
        for number, unit in enumerate(units)
    ]


def unmasked(example: Example) -> np.ndarray:
    ids = example.ids.copy()
    ids[example.places] = example.targets
    return ids


def parts(corpus: Corpus, example: Example) -> tuple[list[int], list[int]]:
    """First and second part of a pair, without the special tokens."""
    ids, separator = unmasked(example), corpus.tokenizer.sep_id
    first, second = (np.flatnonzero(ids == separator)).tolist()
    return ids[1:first].tolist(), ids[first + 1 : second].tolist()


def sentences(corpus: Corpus) -> tuple[set[int], set[int]]:
    """Where sentences begin and end in the training tokens."""
    offsets = corpus.train.sentence_offsets.tolist()
    return set(offsets[:-1]), set(offsets[1:])


def find(corpus: Corpus, part: list[int]) -> list[int]:
    """Where a run of tokens stands in the training text."""
    whole = corpus.train.tokens(0, corpus.train.n_tokens).astype("<i8").tobytes()
    wanted, found, place = np.array(part, dtype="<i8").tobytes(), [], 0
    while (place := whole.find(wanted, place)) >= 0:
        if place % 8 == 0:
            found.append(place // 8)
        place += 1
    return found


def test_the_units_hold_every_token_once_and_break_only_between_sentences(corpus: Corpus) -> None:
    units = objective(corpus, "none").units(corpus.train, np.random.default_rng(0))
    assert [token for start, stop, _ in units for token in range(start, stop)] == list(range(corpus.train.n_tokens))
    begins, ends = sentences(corpus)
    whole = [(start, stop) for start, stop, _ in units if start in begins and stop in ends]
    longest = max(np.diff(corpus.train.sentence_offsets))
    assert longest > SEQ_LEN  # the one sentence that must be cut
    assert len(units) - len(whole) == -(-longest // (SEQ_LEN - 2))


@pytest.mark.parametrize("pairs", ["none", "next", "order"])
def test_no_sequence_is_longer_than_asked_for(corpus: Corpus, pairs: Pairs) -> None:
    made = examples(corpus, pairs)
    assert max(len(one.ids) for one in made) <= SEQ_LEN
    assert np.mean([len(one.ids) for one in made]) > SEQ_LEN / 2


def test_half_of_the_pairs_are_false_and_come_from_another_document(corpus: Corpus) -> None:
    made = [one for one in examples(corpus, "next", epochs=4) if one.pair is not None]
    labels = np.array([one.pair for one in made])
    assert labels.mean() == pytest.approx(0.5, abs=0.06)
    documents = corpus.train.document_offsets
    for one in made:
        first, second = parts(corpus, one)
        joined = find(corpus, first + second)
        if one.pair == 0:
            assert joined
        else:
            homes = [
                {int(np.searchsorted(documents, p, side="right")) for p in find(corpus, x)} for x in (first, second)
            ]
            assert not homes[0] & homes[1]


def test_true_and_false_second_parts_are_whole_sentences_alike(corpus: Corpus) -> None:
    begins, ends = sentences(corpus)
    made = [one for one in examples(corpus, "next", epochs=4) if one.pair is not None]
    opening = set(corpus.train.document_offsets[:-1].tolist())
    lengths: dict[int, list[int]] = {0: [], 1: []}
    for one in made:
        first, second = parts(corpus, one)
        for part in (first, second):
            assert any(p in begins and p + len(part) in ends for p in find(corpus, part))
        assert not set(find(corpus, second)) <= opening
        lengths[one.pair or 0].append(len(first) + len(second))
    means = [np.mean(lengths[label]) for label in (0, 1)]
    assert means[0] == pytest.approx(means[1], rel=0.1)


def test_a_false_order_is_the_true_one_swapped(corpus: Corpus) -> None:
    made = [one for one in examples(corpus, "order", epochs=2) if one.pair is not None]
    assert {one.pair for one in made} == {0, 1}
    for one in made:
        first, second = parts(corpus, one)
        assert find(corpus, first + second if one.pair == 0 else second + first)


def test_a_unit_of_one_sentence_makes_no_pair(corpus: Corpus) -> None:
    made = examples(corpus, "next")
    single = [one for one in made if one.pair is None]
    assert single
    for one in single:
        assert (one.ids == corpus.tokenizer.sep_id).sum() == 1
        assert one.types is not None
        assert not one.types.any()
    batch = collate(made[:40])
    starts = np.cumsum([0, *batch.packed.lengths[:-1]])
    assert batch.firsts.tolist() == [int(s) for s, one in zip(starts, made, strict=False) if one.pair is not None]
    assert batch.pairs is not None
    assert batch.pairs.tolist() == [one.pair for one in made[:40] if one.pair is not None]


def test_one_document_makes_no_next_sentence_pairs(corpus: Corpus) -> None:
    alone = corpus.train
    made = objective(corpus, "next")

    class One(type(alone)):  # type: ignore[misc]
        def __len__(self) -> int:
            return 1

    alone = One.__new__(One)
    alone.__dict__.update(corpus.train.__dict__)
    units = made.units(alone, np.random.default_rng(0))
    assert all(made.example(alone, unit, np.random.default_rng(0)).pair is None for unit in units)
