"""The likeliest tokens, held to a log-softmax and a sort over everything."""

from __future__ import annotations

import pytest
import torch

from sensorium.inference.best_tokens import best_tokens

PAIRS = [(vocab, k) for vocab in (5, 64, 640, 1000, 1023, 4097) for k in (1, 4, 9) if k <= vocab]


@pytest.mark.parametrize(("vocab", "k"), PAIRS)
def test_the_best_tokens_are_those_of_the_whole_vocabulary(vocab, k) -> None:
    logits = 4 * torch.randn(37, vocab, generator=torch.Generator().manual_seed(vocab + k))
    expected = logits.log_softmax(-1).topk(k)
    values, ids = best_tokens(logits.clone(), k)
    assert torch.equal(ids, expected.indices)
    assert torch.allclose(values, expected.values, atol=1e-5)


@pytest.mark.parametrize("vocab", [70, 1000, 4097])
def test_forbidden_tokens_count_in_the_sum_and_are_not_chosen(vocab) -> None:
    logits = torch.randn(9, vocab, generator=torch.Generator().manual_seed(0))
    suppressed = torch.tensor([0, vocab - 1, 65])
    logits[:, suppressed] += 6
    banned = torch.tensor([1, 1, 4]), torch.tensor([3, int(logits[1, 1:60].argmax()) + 1, vocab - 2])
    logits[banned] += 5
    expected = logits.log_softmax(-1)
    expected[:, suppressed] = -torch.inf
    expected[banned] = -torch.inf
    values, ids = best_tokens(logits.clone(), 6, suppressed=suppressed, banned=banned)
    assert torch.equal(ids, expected.topk(6).indices)
    assert torch.allclose(values, expected.topk(6).values, atol=1e-5)


@pytest.mark.parametrize("vocab", [70, 1000, 4097])
def test_forbidden_tokens_may_be_left_out_of_the_sum(vocab) -> None:
    logits = torch.randn(9, vocab, generator=torch.Generator().manual_seed(0))
    suppressed, banned = torch.tensor([0, vocab - 1, 65]), (torch.tensor([1, 4]), torch.tensor([3, vocab - 2]))
    allowed = logits.clone()
    allowed[:, suppressed] = allowed[banned] = -torch.inf
    expected = allowed.log_softmax(-1).topk(6)
    values, ids = best_tokens(logits, 6, suppressed=suppressed, banned=banned, renormalize=True)
    assert torch.equal(ids, expected.indices)
    assert torch.allclose(values, expected.values, atol=1e-5)


def test_great_logits_do_not_overflow() -> None:
    logits = torch.full((2, 700), -1e4)
    logits[0, 3], logits[1, 699] = 1e4, 9e3
    values, ids = best_tokens(logits, 1)
    assert ids[:, 0].tolist() == [3, 699]
    assert values[:, 0].tolist() == [0, 0]
