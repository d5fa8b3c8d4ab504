"""Causal examples predict every token, and the end of every document, exactly once."""

from __future__ import annotations

import numpy as np
import pytest

from sensorium.data.shards import Corpus
from sensorium.objectives.causal import CausalObjective


@pytest.mark.parametrize("seq_len", [8, 33, 10_000])
def test_every_token_is_predicted_once_from_the_one_before(corpus: Corpus, seq_len: int) -> None:
    objective, shards = CausalObjective(corpus.tokenizer, seq_len=seq_len), corpus.train
    rng = np.random.default_rng(0)
    made: dict[int, list] = {}
    for unit in objective.units(shards, rng):
        example = objective.example(shards, unit, rng)
        assert 0 < len(example.ids) <= seq_len
        assert example.places.tolist() == list(range(len(example.ids)))
        made.setdefault(int(unit[0]), []).append(example)
    assert list(made) == list(range(len(shards)))
    for document, pieces in made.items():
        start, stop = (int(shards.document_offsets[document + i]) for i in (0, 1))
        tokens = shards.tokens(start, stop).tolist()
        assert np.concatenate([one.ids for one in pieces]).tolist() == [corpus.tokenizer.bos_id, *tokens]
        assert np.concatenate([one.targets for one in pieces]).tolist() == [*tokens, corpus.tokenizer.eos_id]
