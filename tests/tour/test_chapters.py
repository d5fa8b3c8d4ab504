"""What the chapters measure is what they say that they measure."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from sensorium.data.shards import Corpus
from sensorium.errors import InputError
from sensorium.inference.native import NativeEngine
from sensorium.tasks.model import load
from sensorium.tour.attention import attention, label, most_decided
from sensorium.tour.masks import Gaps, accuracy_of_counts, accuracy_of_encoder, draw_gaps
from sensorium.tour.plan import BUNDLED, Plan
from sensorium.tour.text import read_sources
from sensorium.tour.tour import Tour
from sensorium.tour.trip import Trip
from sensorium.tour.verdict import verdict


@pytest.fixture(scope="module")
def trip(toured: Tour, plan: Plan) -> Trip:
    return Trip(toured.folder, plan)


@pytest.fixture(scope="module")
def gaps(trip: Trip) -> list[Gaps]:
    return draw_gaps([ids for documents in trip.held_out.values() for ids in documents], window=24)


def test_gaps_are_drawn_alike_each_time_and_hide_their_share_of_every_piece() -> None:
    documents = [np.arange(100, 150), np.arange(5), np.arange(200, 240)]
    drawn = draw_gaps(documents, window=20)
    assert [len(one.ids) for one in drawn] == [20, 20, 10, 20, 20]  # of 50, none of 5, 40
    assert [len(one.places) for one in drawn] == [3, 3, 2, 3, 3]
    again = draw_gaps(documents, window=20)
    assert [one.places for one in drawn] == [one.places for one in again]
    assert len({tuple(one.places) for one in drawn}) > 1
    for one in drawn:
        assert one.hidden(7) == [7 if i in one.places else int(id) for i, id in enumerate(one.ids)]
        assert one.truth.tolist() == [int(one.ids[i]) for i in one.places]


def test_a_neighbour_is_seen_unless_it_is_hidden_or_not_there() -> None:
    assert Gaps(np.array([10, 11, 12, 13, 14]), [0, 2, 3]).neighbours() == [(None, 11), (11, None), (None, 14)]
    assert Gaps(np.array([10, 11, 12]), [2]).neighbours() == [(11, None)]


def test_the_encoders_accuracy_in_batches_is_that_of_one_gap_after_the_other(trip: Trip, gaps: list[Gaps]) -> None:
    engine = trip.encoder.engine_for("fill_mask")
    tokenizer, right = engine.tokenizer, 0
    for one in gaps:
        for place, truth in zip(one.places, one.truth, strict=True):
            ids = [tokenizer.cls_id, *one.hidden(tokenizer.mask_id), tokenizer.sep_id]
            right += int(engine.masked_logits([ids], [[place + 1]]).argmax()) == truth
    assert accuracy_of_encoder(engine, gaps) == right / sum(len(one.places) for one in gaps)


def test_the_unigrams_accuracy_is_the_share_of_the_commonest_token(trip: Trip, gaps: list[Gaps]) -> None:
    commonest = int(trip.ngrams.unigram.argmax())
    truth = np.concatenate([one.truth for one in gaps])
    assert accuracy_of_counts(trip.ngrams, gaps, left=False, right=False) == np.mean(truth == commonest)


def test_both_neighbours_tell_more_than_one_and_one_more_than_none(trip: Trip, gaps: list[Gaps]) -> None:
    seen = ((False, False), (True, False), (True, True))
    measured = [accuracy_of_counts(trip.ngrams, gaps, left=a, right=b) for a, b in seen]
    assert measured == sorted(measured)
    assert measured[0] < measured[2] < 1


def test_bits_per_byte_is_the_cost_of_the_held_out_text(trip: Trip, toured: Tour) -> None:
    corpus = Corpus.open(toured.folder / "corpus")
    documents = [corpus.validation.document(i).astype(int) for i in range(len(corpus.validation))]
    size = sum(len(corpus.tokenizer.decode(ids).encode()) for ids in documents)
    unigram = -sum(math.log2(trip.ngrams.unigram[id]) for ids in documents for id in ids) / size
    assert toured.numbers["bits_per_byte_unigram"] == pytest.approx(unigram)
    lm = load(toured.folder / "decoder")
    bits = sum(lm.score(corpus.tokenizer.decode(ids)).nats for ids in documents) / math.log(2) / size
    assert toured.numbers["bits_per_byte_decoder"] == pytest.approx(bits, rel=1e-4)
    assert toured.numbers["bits_per_byte_bigram"] < toured.numbers["bits_per_byte_unigram"]


def test_held_out_text_is_told_apart_by_language_and_all_of_it_is_there(trip: Trip) -> None:
    assert list(trip.held_out) == ["English", "Chinese"]
    assert sum(len(ids) for some in trip.held_out.values() for ids in some) == trip.corpus.validation.n_tokens
    assert all("天" in trip.corpus.tokenizer.decode(ids) for ids in trip.held_out["Chinese"])


def test_attention_is_a_distribution_over_the_tokens_for_every_layer_and_head(toured: Tour) -> None:
    engine = NativeEngine.open(toured.folder / "encoder")
    ids = engine.tokenizer.encode("The cat [MASK] by the dog.")
    layers = attention(engine, ids)
    assert len(layers) == 2
    for layer in layers:
        assert layer.shape == (2, len(ids), len(ids))
        assert torch.allclose(layer.sum(-1), torch.ones(2, len(ids)), atol=1e-5)
        assert (layer >= 0).all()


def test_the_most_decided_head_is_the_one_that_looks_at_one_token() -> None:
    even, pointed = torch.full((3, 3), 1 / 3), torch.eye(3)
    assert most_decided(torch.stack([even, pointed, even])) == 1
    assert most_decided(torch.stack([pointed, even])) == 0


def test_a_label_is_readable_or_the_vocabularys_own(toured: Tour) -> None:
    tokenizer = Corpus.open(toured.folder / "corpus").tokenizer
    assert label(tokenizer, tokenizer.mask_id) == "[MASK]"
    assert label(tokenizer, tokenizer.encode(" ", special=False)[0]) == "␣"
    part = tokenizer.encode("猫", special=False)[0]
    assert label(tokenizer, part) == tokenizer.token(part)
    assert "\ufffd" not in label(tokenizer, part)


def test_the_bundled_sources_name_every_file_and_a_licence() -> None:
    sources = read_sources(BUNDLED)
    assert {path.name for path in sources.files} == {path.name for path in BUNDLED.glob("*.gz")}
    assert "licence" in sources.head
    assert all("public domain" in row[sources.head.index("licence")] for row in sources.rows)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("# Nothing\n\nno table", "holds no table of files"),
        ("| file | licence |\n|---|---|\n| `gone.txt` | CC0 |\n", "names gone.txt, which is not there"),
    ],
)
def test_text_without_named_sources_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "SOURCES.md").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_sources(tmp_path)


def test_a_verdict_names_who_is_ahead_on_all_languages_together() -> None:
    measured = {"unigram": [1.0, 9.0], "bigram": [9.0, 4.0], "decoder": [5.0, 5.0]}
    assert verdict("decoder", measured) == "The decoder beats: bigram. Still ahead of it: unigram."
    assert verdict("decoder", measured, lower_is_better=True) == (
        "The decoder beats: unigram. Still ahead of it: bigram."
    )
    assert verdict("unigram", {"unigram": [2.0]}) == "The unigram beats: none."
