"""The stream keeps its budget, gives every unit once an epoch, and goes on anywhere as if it had never stopped."""

from __future__ import annotations

import pytest
import torch

from sensorium.data.shards import Corpus
from sensorium.objectives.causal import CausalObjective
from sensorium.objectives.masked import MaskedObjective
from sensorium.objectives.masking import Masking
from sensorium.objectives.objective import Batch, Objective
from sensorium.objectives.stream import Stream, one_pass

BUDGET = 256


@pytest.fixture(params=["causal", "masked"])
def objective(request: pytest.FixtureRequest, corpus: Corpus) -> Objective:
    if request.param == "causal":
        return CausalObjective(corpus.tokenizer, seq_len=64)
    masking = Masking.of(corpus.tokenizer, rate=0.15, unit="token")
    return MaskedObjective(corpus.tokenizer, seq_len=64, masking=masking, pairs="next")


def same(a: Batch, b: Batch) -> bool:
    pairs = a.pairs is b.pairs is None or (
        a.pairs is not None and b.pairs is not None and torch.equal(a.pairs, b.pairs)
    )
    return pairs and all(
        torch.equal(x, y) for x, y in ((a.packed.ids, b.packed.ids), (a.places, b.places), (a.targets, b.targets))
    )


def test_a_batch_keeps_the_budget_and_nearly_fills_it(objective: Objective, corpus: Corpus) -> None:
    stream = Stream(objective, corpus.train, BUDGET, seed=0)
    sizes = [stream.next().tokens for _ in range(40)]
    assert max(sizes) <= BUDGET
    assert sum(size > BUDGET - 64 for size in sizes) > 35


def test_an_epoch_holds_every_unit_once_in_another_order_each_time(objective: Objective, corpus: Corpus) -> None:
    stream = Stream(objective, corpus.train, BUDGET, seed=0)
    tokens: list[list[int]] = [[], []]
    while stream.epoch < 2:
        epoch = stream.epoch
        batch = stream.next()
        tokens[epoch] += batch.targets.tolist() if objective.name == "causal" else [len(batch.packed.lengths)]
    if objective.name == "causal":
        assert sorted(tokens[0]) == sorted(tokens[1])
        assert tokens[0] != tokens[1]
    else:
        assert sum(tokens[0]) == sum(tokens[1])


@pytest.mark.parametrize("after", [1, 7, 60])
def test_it_goes_on_from_its_place_as_if_it_had_never_stopped(objective: Objective, corpus: Corpus, after: int) -> None:
    stream = Stream(objective, corpus.train, BUDGET, seed=3)
    for _ in range(after):
        stream.next()
    again = Stream(objective, corpus.train, BUDGET, seed=3, epoch=stream.epoch, unit=stream.unit)
    assert all(same(stream.next(), again.next()) for _ in range(20))


def test_seeds_differ(objective: Objective, corpus: Corpus) -> None:
    a, b = (Stream(objective, corpus.train, BUDGET, seed=seed).next() for seed in (0, 1))
    assert not same(a, b)


def test_validation_is_the_same_every_time(objective: Objective, corpus: Corpus) -> None:
    runs = [list(one_pass(objective, corpus.validation, tokens=BUDGET, seed=0)) for _ in range(2)]
    assert len(runs[0]) == len(runs[1]) > 1
    assert all(same(a, b) for a, b in zip(*runs, strict=True))
