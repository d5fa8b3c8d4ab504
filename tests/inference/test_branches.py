"""Branches in one row, held to whole sequences read anew."""

from __future__ import annotations

import pytest
import torch

from sensorium.inference.branches import BranchCache
from sensorium.inference.native_seq2seq import NativeSeq2SeqEngine
from tests.inference.seq2seq import FAMILIES, saved, sources


@pytest.fixture(scope="module", params=FAMILIES)
def engine(request, tmp_path_factory) -> NativeSeq2SeqEngine:
    folder = tmp_path_factory.mktemp("branches") / request.param
    saved(FAMILIES[request.param](), folder)
    return NativeSeq2SeqEngine.open(folder)


def anew(engine: NativeSeq2SeqEngine, source: list[int], written: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        hidden = engine.model(torch.tensor([source]), torch.tensor([[engine.facts.start, *written]]))
        return engine.model.logits(hidden[:, -1])[0]


@pytest.mark.parametrize("beams", [1, 3])
def test_every_row_sees_its_own_past_whatever_was_kept(engine, beams) -> None:
    generator = torch.Generator().manual_seed(beams)
    given = sources(5, seed=beams)
    state, logits = engine.read(given, 40, beams)
    assert torch.allclose(logits[3], anew(engine, given[3], []), atol=1e-4)
    owners, written = list(range(5)), [[list[int]() for _ in range(beams)] for _ in range(5)]
    for step in range(24):
        chosen = torch.randint(0, beams, (len(owners), beams), generator=generator).tolist()
        places = list(range(len(owners)))
        if step in (6, 9):  # a source leaves, the last one takes its place
            places = [*places[:1], places[-1], *places[2:-1]]
        elif step == 12:  # an order that cannot be had in place
            places = places[::-1]
        rows = [place * beams + beam for place in places for beam in chosen[place]]
        written = [[list(written[place][beam]) for beam in chosen[place]] for place in places]
        owners = [owners[place] for place in places]
        state.keep(rows)
        tokens = torch.randint(7, 60, (len(rows),), generator=generator).tolist()
        logits = state.step(tokens)
        for row, token in enumerate(tokens):
            written[row // beams][row % beams].append(token)
        row = int(torch.randint(0, len(rows), (1,), generator=generator))
        expected = anew(engine, given[owners[row // beams]], written[row // beams][row % beams])
        assert torch.allclose(logits[row], expected, atol=1e-4)


def test_tokens_that_no_branch_descends_from_are_cleared_away(engine) -> None:
    state, _ = engine.read(sources(2), 40, 4)
    for _ in range(24):
        state.keep([0, 0, 0, 0, 4, 4, 4, 4])
        state.step([8, 9, 10, 11] * 2)
    assert state._cache.length < 24 + 4 * 5


def test_a_cache_grows_and_keeps_what_it_holds(engine) -> None:
    cache = BranchCache(engine.model.config.decoder, 2, dtype=torch.float32, device=torch.device("cpu"))
    first = torch.randn(2, 4, 50, 8)
    for layer in range(2):
        cache.update(layer, first, first)
    cache.advance(50)
    cache.reserve(200)
    assert cache.capacity >= 250
    assert torch.equal(cache.keys[1][:, :, :50], first)
    cache.keep(torch.tensor([1]))
    assert torch.equal(cache.values[0][:, :, :50], first[1:])


def test_heads_look_at_the_source(engine) -> None:
    weights = engine.cross_attention([8, 9, 10, 6], [11, 12, 6])
    assert weights.shape == (2, 3, 4)
    assert torch.allclose(weights.sum(-1), torch.ones(2, 3), atol=1e-5)
