"""LoRA starts as nothing, learns, and merged computes the same."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sensorium.core.model import Decoder
from sensorium.errors import ConfigError
from sensorium.families import llama
from sensorium.training.lora import LowRank, add_lora, merge_lora

CONFIG = llama.sized(vocab_size=40, dim=16, layers=2, heads=2, feedforward=32, context=32)


def model() -> Decoder:
    torch.manual_seed(0)
    return Decoder(CONFIG).eval()


def test_it_starts_as_nothing_and_merged_computes_the_same() -> None:
    decoder, ids = model(), torch.arange(12)[None]
    before = decoder(ids)
    added = add_lora(decoder, rank=3, alpha=6.0)
    assert len(added) == 2 * 7 * 2
    torch.testing.assert_close(decoder(ids), before, rtol=0, atol=0)
    with torch.no_grad():
        for parameter in added:
            parameter.add_(0.1 * torch.randn_like(parameter))
    changed = decoder(ids)
    assert float((changed - before).abs().max()) > 1e-3
    merge_lora(decoder)
    torch.testing.assert_close(decoder(ids), changed, atol=1e-5, rtol=1e-5)
    assert decoder.state_dict().keys() == model().state_dict().keys()
    assert not any(isinstance(module, LowRank) for module in decoder.modules())


def test_only_the_thin_matrices_take_gradients() -> None:
    decoder = model().requires_grad_(False)
    added = add_lora(decoder, rank=2, alpha=4.0, targets=("attention.q", "attention.v"))
    decoder.logits(decoder(torch.arange(8)[None])).square().mean().backward()
    assert {id(p) for p in decoder.parameters() if p.grad is not None} == {id(p) for p in added}
    assert len(added) == 2 * 2 * 2


def test_it_is_the_product_that_the_paper_names() -> None:
    torch.manual_seed(1)
    thin = LowRank(nn.Linear(6, 5), rank=2, alpha=3.0)
    nn.init.normal_(thin.up)
    x = torch.randn(4, 6)
    expected = nn.functional.linear(x, thin.base.weight + 1.5 * thin.up @ thin.down, thin.base.bias)
    torch.testing.assert_close(thin(x), expected)


def test_what_cannot_be_adapted_is_refused() -> None:
    with pytest.raises(ConfigError, match="rank=0"):
        add_lora(model(), rank=0, alpha=1.0)
    with pytest.raises(ConfigError, match="no map"):
        add_lora(model(), rank=1, alpha=1.0, targets=("nothing",))
