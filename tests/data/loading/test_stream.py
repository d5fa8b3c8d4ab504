"""The stream over packed rows: everything once an epoch, full batches, several corpora, processes and places."""

from __future__ import annotations

import tracemalloc
from collections import Counter

import numpy as np
import pytest
import tokenizers
import torch
from torch.utils.data import DataLoader

from sensorium.data.loading import blocks
from sensorium.data.loading.mixing import Mixture
from sensorium.data.loading.share import Share
from sensorium.data.shards import TokenShards
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import DataError
from sensorium.objectives.causal import CausalObjective
from sensorium.objectives.objective import Batch
from sensorium.objectives.order import Place
from sensorium.objectives.runs import sentence_runs
from sensorium.objectives.stream import Batches, Stream, one_pass

BOS, EOS, BUDGET = 1, 2, 256


@pytest.fixture(scope="module")
def objective() -> CausalObjective:
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "[BOS]": BOS, "[EOS]": EOS}, unk_token="a"))
    return CausalObjective(Tokenizer(backend, {"bos": "[BOS]", "eos": "[EOS]"}), seq_len=64)


@pytest.fixture(params=[1, 7])
def n_blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, lengths: list[int]) -> int:
    if request.param > 1:
        monkeypatch.setattr(blocks, "TOKENS", -(-sum(lengths) // request.param))
    return int(request.param)


def epoch_of(stream: Stream) -> list[Batch]:
    epoch, batches = stream.epoch, []
    while stream.epoch == epoch:
        batches.append(stream.next())
    return batches


def same(a: Batch, b: Batch) -> bool:
    return a.packed.lengths == b.packed.lengths and all(
        torch.equal(x, y) for x, y in ((a.packed.ids, b.packed.ids), (a.targets, b.targets))
    )


def test_every_token_is_predicted_once_an_epoch_in_another_order_each_time(n_blocks, objective, make, lengths) -> None:
    shards = make(lengths)
    stream = Stream(objective, shards, BUDGET, 0)
    assert blocks.Blocks(documents=len(shards), tokens=shards.n_tokens, seed=0).count == n_blocks
    epochs = [[token for batch in epoch_of(stream) for token in batch.targets.tolist()] for _ in range(2)]
    expected = Counter(shards.tokens(0, shards.n_tokens).tolist()) | Counter({EOS: len(shards)})
    assert Counter(epochs[0]) == Counter(epochs[1]) == expected
    assert epochs[0] != epochs[1]
    assert stream.passed == [2.0]


def test_a_batch_keeps_its_documents_apart(objective, make, lengths) -> None:
    batch = Stream(objective, make(lengths), BUDGET, 0).next()
    assert sum(batch.packed.lengths) == batch.tokens <= BUDGET
    ids, targets, position = (x.flatten() for x in (batch.packed.ids, batch.targets, batch.packed.positions))
    inner = position[1:] > 0
    assert torch.equal(ids[1:][inner], targets[:-1][inner])
    assert set(ids[1:][~inner].tolist()) - {BOS} <= set(range(10, 10 + sum(lengths)))


@pytest.mark.parametrize("tokens", [64, 256, 100, 250])
def test_batches_are_full_but_for_the_last_ones(tokens: int, objective, make) -> None:
    rng = np.random.default_rng(1)
    shards = make((rng.lognormal(3.5, 1, 1500).astype(int) + 1).tolist())
    sizes = [batch.tokens for batch in epoch_of(Stream(objective, shards, tokens, 0))]
    assert max(sizes) <= tokens
    # A budget that is no multiple of a sequence leaves room that none fits.
    assert sum(sizes) > (0.98 if tokens % 64 == 0 else 0.9) * tokens * (len(sizes) - 1)


@pytest.mark.parametrize("after", [1, 9, 31, 95])
def test_it_goes_on_from_its_place_as_if_it_had_never_stopped(after: int, n_blocks, objective, make, lengths) -> None:
    shards = make(lengths)
    stream = Stream(objective, shards, BUDGET, 5)
    for _ in range(after):
        stream.next()
    again = Stream(objective, shards, BUDGET, 5, places=[Place(*place) for place in stream.places])
    assert all(same(stream.next(), again.next()) for _ in range(120))
    assert stream.places == again.places


@pytest.mark.parametrize("count", range(1, 7))
@pytest.mark.parametrize("seed", range(2))
def test_processes_share_the_batches_with_none_twice_and_none_left_out(
    count: int, seed: int, objective, make, lengths
) -> None:
    shards = make(lengths[:150])
    alone = Stream(objective, shards, BUDGET, seed)
    streams = [Stream(objective, shards, BUDGET, seed, share=Share(i, count)) for i in range(count)]
    for _ in range(3 + 100 // count):  # beyond an epoch
        assert all(same(stream.next(), alone.next()) for stream in streams)
        assert all(stream.places == alone.places for stream in streams)
    assert alone.epoch >= 1


def test_a_run_goes_on_with_another_number_of_processes(objective, make, lengths) -> None:
    shards = make(lengths)
    alone = Stream(objective, shards, BUDGET, 0)
    three = Stream(objective, shards, BUDGET, 0, share=Share(1, 3))
    three.next()
    two = Stream(objective, shards, BUDGET, 0, places=three.places, share=Share(1, 2))
    alone.skip(4)
    assert same(two.next(), alone.next())


@pytest.mark.parametrize("workers", [0, 2])
def test_the_workers_of_a_data_loader_give_the_streams_batches(workers: int, objective, make, lengths) -> None:
    shards = make(lengths)
    stream = Stream(objective, shards, BUDGET, 0)
    stream.skip(3)
    batches = Batches(objective, shards, tokens=BUDGET, seed=0, skip=3)
    context = "fork" if workers else None
    found = iter(DataLoader(batches, batch_size=None, num_workers=workers, multiprocessing_context=context))
    assert all(same(stream.next(), next(found)) for _ in range(7))


def test_corpora_are_mixed_by_weight_and_the_short_one_comes_again(objective, make, lengths) -> None:
    small, large = make(lengths[:40]), make(lengths, first=500_000)
    mixture = Mixture((small, large), (0.75, 0.25), ("small", "large"))
    stream = Stream(objective, mixture, BUDGET, 0)
    counts, sizes = np.zeros(2), []
    for step in range(1, 200):
        batch = stream.next()
        sizes.append(batch.tokens)
        of_large = int((batch.targets >= 500_000).sum())
        counts += [batch.tokens - of_large, of_large]
        drawn = [place.drawn for place in stream.places]
        assert sum(drawn) == counts.sum()
        assert abs(drawn[0] - 0.75 * sum(drawn)) <= 64
        assert step < 5 or abs(counts[1] / counts.sum() - 0.25) < 0.12  # ends of documents are not told apart
    assert np.mean(sizes) > 0.9 * BUDGET
    few, many = stream.passed[1], stream.passed[0]
    assert many > 1 > few > 0
    assert "small: epoch" in stream.where
    again = Stream(objective, mixture, BUDGET, 0, places=stream.places)
    assert all(same(stream.next(), again.next()) for _ in range(50))


def test_validation_of_a_mixture_is_that_of_its_parts(objective, make, lengths) -> None:
    parts = make(lengths[:30]), make(lengths[30:50], first=500_000)
    mixture = Mixture(parts, (0.5, 0.5), ("a", "b"))
    mixed = list(one_pass(objective, mixture, tokens=BUDGET, seed=0))
    apart = [batch for part in parts for batch in one_pass(objective, part, tokens=BUDGET, seed=0)]
    assert len(mixed) == len(apart)
    assert all(same(a, b) for a, b in zip(mixed, apart, strict=True))
    assert sum(batch.tokens for batch in mixed) == sum(lengths[:50]) + 50


def test_what_has_no_unit_is_told(objective, make) -> None:
    with pytest.raises(DataError, match="nothing that this objective learns from"):
        Stream(objective, make([]), BUDGET, 0).next()


@pytest.mark.parametrize("n_documents", [1, 2, 30])
def test_blocks_of_documents_serve_units_of_sentences_too(n_documents: int, make, lengths, monkeypatch) -> None:
    monkeypatch.setattr(blocks, "MOST_DOCUMENTS", n_documents)
    shards = make([*lengths[:30], 0, 0])
    stream = Stream(Sentences(), shards, BUDGET, 0)
    seen = []
    while stream.epoch == 0:
        seen += stream.next()
    assert sorted(seen) == sorted(tuple(row) for row in sentence_runs(shards, 20).tolist())
    halfway = Stream(Sentences(), shards, BUDGET, 0)
    halfway.skip(len(seen) // 30)
    again = Stream(Sentences(), shards, BUDGET, 0, places=halfway.places)
    assert [halfway.next() for _ in range(40)] == [again.next() for _ in range(40)]


class Sentences:
    """Hands out the units themselves."""

    name = "sentences"

    def units(self, shards, rng):
        return sentence_runs(shards, 20)

    def units_of(self, shards, documents):
        return sentence_runs(shards, 20, documents)

    def example(self, shards, unit, rng):
        return tuple(unit.tolist())

    def size(self, example):
        return example[1] - example[0]

    def collate(self, examples, device="cpu"):
        return list(examples)

    def flops(self, config):
        return 0.0

    def loss(self, model, batch):
        raise NotImplementedError

    def evaluate(self, model, batches, n_bytes):
        return {}


def test_what_is_held_in_memory_does_not_grow_with_the_corpus(objective, tmp_path) -> None:
    peaks = []
    for documents in (60_000, 2_000_000):
        folder = tmp_path / str(documents)
        folder.mkdir()
        offsets = np.arange(documents + 1) * 4
        np.zeros(documents * 4, dtype="<u2").tofile(folder / "tokens-00000.bin")
        for name in ("documents", "sentences"):
            np.save(folder / f"{name}.npy", offsets)
        np.save(folder / "document_sentences.npy", np.arange(documents + 1))
        np.save(folder / "bytes.npy", offsets[1:])
        shards = TokenShards(folder, 1000)
        tracemalloc.start()
        stream = Stream(objective, shards, BUDGET, 0)
        assert stream.next().tokens > 0.9 * BUDGET
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]
