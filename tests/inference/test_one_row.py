"""The NumPy decoding step equals the core, for every decoder that it says it supports."""

from __future__ import annotations

import copy

import pytest
import torch

from sensorium.core.cache import KVCache
from sensorium.errors import InputError
from sensorium.inference.one_row import OneRow
from tests.core.models import VOCAB, bert, built, gpt2, llama

DECODERS = {
    "llama": llama(),
    "window": llama(window=3),
    "head norms and biases": llama(qk_norm=True, bias=True, tied=False),
    "gpt2": gpt2(),
    "relu": llama(activation="relu"),
    "quick gelu": llama(activation="quick_gelu"),
}


@pytest.mark.parametrize("config", DECODERS.values(), ids=DECODERS.keys())
def test_steps_equal_the_core(config) -> None:
    model = built(config)
    untouched = copy.deepcopy(model)
    ids = torch.randint(0, VOCAB, (1, 12), generator=torch.Generator().manual_seed(1))
    expected = untouched.logits(untouched(ids))[0]
    row = OneRow(model)
    cache = KVCache(config.stack, batch=1, capacity=12)
    with torch.inference_mode():
        model(ids[:, :4], cache=cache)
        for place in range(4, 10):
            step = torch.from_numpy(row.step(int(ids[0, place]), cache))
            torch.testing.assert_close(step, expected[place], atol=1e-5, rtol=1e-5)
        after = model.logits(model(ids[:, 10:], cache=cache))[0]
    torch.testing.assert_close(after, expected[10:], atol=1e-5, rtol=1e-5)
    for (name, mine), theirs in zip(model.named_parameters(), untouched.parameters(), strict=True):
        assert torch.equal(mine, theirs), name
    with pytest.raises(InputError, match="full"):
        row.step(0, cache)


def test_it_declines_what_it_cannot_run() -> None:
    assert OneRow.supports(built(llama()))
    assert not OneRow.supports(built(bert()))
    assert not OneRow.supports(built(llama(activation="gelu")))
    assert not OneRow.supports(built(llama()).half())
