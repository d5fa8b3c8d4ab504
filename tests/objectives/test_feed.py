"""Batches made ahead are those of the stream, and each comes with the place that follows it, not the stream's."""

from __future__ import annotations

import pytest
import torch

from sensorium.data.shards import Corpus
from sensorium.errors import DataError
from sensorium.objectives.causal import CausalObjective
from sensorium.objectives.feed import Feed
from sensorium.objectives.objective import Batch
from sensorium.objectives.stream import Stream

BUDGET = 256


def stream_of(corpus: Corpus) -> Stream:
    return Stream(CausalObjective(corpus.tokenizer, seq_len=64), corpus.train, BUDGET, seed=0)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_each_batch_comes_with_the_place_after_it(corpus: Corpus, device: str) -> None:
    plain = stream_of(corpus)
    with Feed(stream_of(corpus), torch.device(device)) as feed:
        for _ in range(40):
            where = plain.where
            batch = plain.next()
            taken = feed.take()
            assert taken.where == where
            assert (taken.places, taken.passed) == (plain.places, plain.passed)
            assert taken.batch.packed.lengths == batch.packed.lengths
            assert taken.batch.packed.ids.device.type == device


class Broken(Stream):
    """Loses its data after two batches."""

    given = 0

    def next(self, device: torch.device | str = "cpu") -> Batch:
        self.given += 1
        if self.given > 2:
            raise DataError("the shard is gone")
        return super().next(device)


def test_an_error_of_what_is_made_ahead_reaches_who_takes_it(corpus: Corpus) -> None:
    broken = Broken(CausalObjective(corpus.tokenizer, seq_len=64), corpus.train, BUDGET, seed=0)
    with Feed(broken, torch.device("meta")) as feed:
        feed.take()
        feed.take()
        with pytest.raises(DataError, match="the shard is gone"):
            feed.take()
