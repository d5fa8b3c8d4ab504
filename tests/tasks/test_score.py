"""Scores equal stock losses, in one window and in several."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sensorium.errors import CapabilityError, InputError
from sensorium.tasks.score import windows
from tests.inference.folders import CONTEXT


def test_causal_scores_equal_the_stock_loss(decoder, causal) -> None:
    model, _ = decoder
    text = "the banana 春眠"
    found = causal.score(text)
    ids = torch.tensor([[causal.tokenizer.bos_id, *found.token_ids]])
    with torch.no_grad():
        loss = float(model(ids, labels=ids).loss)
    assert found.method == "causal"
    assert found.perplexity == pytest.approx(math.exp(loss), rel=1e-4)
    assert found.bits_per_byte == pytest.approx(
        loss * len(found.token_ids) / math.log(2) / len(text.encode()), rel=1e-4
    )
    assert len(found.tokens) == len(found.token_ids) == len(found.logprobs)


@given(st.integers(1, 60), st.integers(2, 20), st.data())
def test_windows_score_every_token_once_and_never_exceed_the_size(length: int, size: int, data) -> None:
    stride = data.draw(st.integers(1, size))
    scored = []
    for begin, first, end in windows(length, size, stride):
        assert begin <= first < end <= begin + size
        scored += range(first, end)
    assert scored == list(range(length))


def test_a_text_longer_than_the_context_is_scored_in_windows(decoder, causal) -> None:
    model, _ = decoder
    text = "abcdefghij " * 12
    found = causal.score([text, "b"], stride=16)[0]
    assert len(found.logprobs) == len(causal.tokenizer.encode(text, special=False))
    ids, bos, size = list(found.token_ids), causal.tokenizer.bos_id, CONTEXT - 1
    expected = []
    for begin, first, end in windows(len(ids), size, 16):
        row = torch.tensor([[bos, *ids[begin:end]]])
        with torch.no_grad():
            logprobs = model(row).logits[0, :-1].log_softmax(-1).gather(-1, row[0, 1:, None])[:, 0]
        expected += logprobs[first - begin :].tolist()
    assert found.logprobs == pytest.approx(expected, abs=1e-4)
    assert causal.score(text).logprobs[:size] == pytest.approx(expected[:size], abs=1e-4)
    with pytest.raises(InputError, match="stride=0"):
        causal.score(text, stride=0)


def test_without_a_begin_token_the_first_token_is_only_read(causal, monkeypatch) -> None:
    whole = causal.score("banana " * 12, stride=CONTEXT - 1)
    monkeypatch.setattr(type(causal.tokenizer), "bos_id", None)
    found = causal.score("banana " * 12, stride=CONTEXT - 1)
    assert found.token_ids == whole.token_ids[1:]
    assert len(found.logprobs) == len(found.token_ids)
    assert found.n_bytes == whole.n_bytes - 1


def test_pseudo_scores_mask_each_token(encoder, masked) -> None:
    model, _ = encoder
    text = "the 春 b"
    found = masked.score(text)
    ids = masked.tokenizer.encode(text)
    expected = []
    for place in range(1, len(ids) - 1):
        row = [*ids[:place], masked.tokenizer.mask_id, *ids[place + 1 :]]
        with torch.no_grad():
            expected.append(float(model(torch.tensor([row])).logits[0, place].log_softmax(-1)[ids[place]]))
    assert found.method == "pseudo"
    assert found.token_ids == tuple(ids[1:-1])
    assert found.logprobs == pytest.approx(expected, abs=1e-4)
    assert len(masked.score("a" * 100).logprobs) == 100


def test_what_cannot_be_scored_is_refused(causal, masked) -> None:
    with pytest.raises(InputError, match="text 2"):
        causal.score(["a", ""])
    with pytest.raises(CapabilityError, match="score"):
        causal.score("a", method="pseudo")
    with pytest.raises(CapabilityError, match="score"):
        masked.score("a", method="causal")
    assert causal.score([]) == []
