"""The stack: packing, padding, caching, capturing and counting agree with one plain forward pass."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sensorium.core.cache import KVCache
from sensorium.core.capture import Capture
from sensorium.core.count import forward_flops, parameters, training_flops
from sensorium.core.mask import MaskSpec
from sensorium.core.model import Encoder, initialise
from sensorium.core.pack import pack
from sensorium.errors import ConfigError, InputError
from tests.core.models import VOCAB, bert, built, gpt2, llama

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
DECODERS = {
    "llama": llama(),
    "llama with a window": llama(window=3),
    "llama with head norms and biases": llama(qk_norm=True, bias=True, tied=False),
    "gpt2": gpt2(),
}


def ids(batch: int = 3, seq: int = 10) -> torch.Tensor:
    return torch.randint(0, VOCAB, (batch, seq), generator=torch.Generator().manual_seed(5))


def padded(side: str) -> torch.Tensor:
    valid = torch.ones(3, 10, dtype=torch.bool)
    valid[1, 6:] = False
    valid[2, 2:] = False
    return valid if side == "right" else valid.flip(1)


@pytest.mark.parametrize("backend", ["eager", "sdpa", "auto"])
def test_padding_does_not_change_an_encoder(backend: str) -> None:
    model = built(bert())
    valid = padded("right")
    hidden = model(ids(), valid=valid, backend=backend)
    for row in range(3):
        n = int(valid[row].sum())
        alone = model(ids()[row : row + 1, :n])
        torch.testing.assert_close(hidden[row : row + 1, :n], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("config", DECODERS.values(), ids=DECODERS.keys())
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_does_not_change_a_decoder(config, side: str) -> None:
    model = built(config)
    valid = padded(side)
    hidden = model(ids(), valid=valid)
    for row in range(3):
        alone = model(ids()[row][valid[row]][None])
        torch.testing.assert_close(hidden[row][valid[row]][None], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("config", [bert(), *DECODERS.values()])
def test_packing_does_not_change_hidden_states(config) -> None:
    model = built(config)
    rows = [ids()[0, :3], ids()[1], ids()[2, :1]]
    packed = pack([row.numpy() for row in rows])
    hidden = model(packed.ids, lengths=packed.lengths)
    expected = torch.cat([model(row[None]) for row in rows], dim=1)
    torch.testing.assert_close(hidden, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("config", DECODERS.values(), ids=DECODERS.keys())
def test_a_cache_filled_step_by_step_equals_the_full_pass(config) -> None:
    model = built(config)
    full = model(ids())
    cache = KVCache(config.stack, batch=3, capacity=10)
    with torch.inference_mode():
        parts = [model(ids()[:, :4], cache=cache), model(ids()[:, 4:7], cache=cache)]
        parts += [model(ids()[:, i : i + 1], cache=cache) for i in range(7, 10)]
    torch.testing.assert_close(torch.cat(parts, 1), full, atol=1e-5, rtol=1e-5)


def test_a_cache_with_left_padding_equals_each_row_alone() -> None:
    model = built(llama())
    valid = padded("left")
    cache = KVCache(model.config.stack, batch=3, capacity=12)
    more = ids(3, 2)
    with torch.inference_mode():
        model(ids(), valid=valid, cache=cache)
        grown = torch.cat([valid, torch.ones(3, 1, dtype=torch.bool)], 1)
        first = model(more[:, :1], valid=grown, cache=cache)
        cache.keep(torch.tensor([2, 0]))
        grown = torch.cat([grown, torch.ones(3, 1, dtype=torch.bool)], 1)[[2, 0]]
        second = model(more[[2, 0], 1:], valid=grown, cache=cache)
    for place, row in enumerate((2, 0)):
        alone = model(torch.cat([ids()[row][valid[row]], more[row]])[None])
        torch.testing.assert_close(first[row, 0], alone[0, -2], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(second[place, 0], alone[0, -1], atol=1e-5, rtol=1e-5)


def test_a_full_cache_says_so() -> None:
    model = built(llama())
    with pytest.raises(InputError, match="holds 4 tokens, 10 are needed"):
        model(ids(), cache=KVCache(model.config.stack, batch=3, capacity=4))


@pytest.mark.parametrize("config", [bert(), *DECODERS.values()])
def test_counted_parameters_are_those_of_the_model(config) -> None:
    assert parameters(config) == sum(p.numel() for p in built(config).parameters())


@pytest.mark.parametrize("config", [bert(), llama(), gpt2(), llama(window=3)])
def test_counted_flops_are_those_that_torch_counts(config) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    model, length = built(config), 10
    head = model.masked_logits if isinstance(model, Encoder) else model.logits
    with FlopCounterMode(display=False) as counter, torch.enable_grad():
        head(model(ids(1, length), backend="eager")).sum()
    expected = forward_flops(config, length=length) * length
    for block in config.stack.blocks:  # eager computes the whole square, whoever may see whom
        allowed = MaskSpec(causal=config.stack.causal, window=block.attention.window).dense(length, length, CPU)
        hidden = 0 if allowed is None else int((~allowed).sum())
        expected += 4 * block.attention.n_heads * block.attention.head_dim * hidden
    assert counter.get_total_flops() == pytest.approx(expected, rel=1e-6)
    assert training_flops(config, length=length) == 3 * forward_flops(config, length=length)


def test_capture_holds_each_layers_states_and_probabilities() -> None:
    model = built(bert(layers=3))
    capture = Capture()
    hidden = model(ids(), capture=capture)
    assert [tuple(p.shape) for p in capture.attention] == [(3, 4, 10, 10)] * 3
    assert len(capture.states) == 4
    torch.testing.assert_close(capture.states[-1], hidden)
    torch.testing.assert_close(model(ids()), hidden, atol=1e-5, rtol=1e-5)


def test_dropout_works_in_training_only() -> None:
    model = built(bert(dropout=0.5))
    assert torch.equal(model(ids()), model(ids()))
    model.train()
    assert not torch.allclose(model(ids()), model(ids()))


@pytest.mark.parametrize("config", [bert(), llama()])
def test_gradient_checkpointing_changes_no_gradient(config) -> None:
    plain = built(config).train()
    recomputed = copy.deepcopy(plain)
    recomputed.stack.gradient_checkpointing = True
    for model in (plain, recomputed):
        model(ids()).square().sum().backward()
    for a, b in zip(plain.parameters(), recomputed.parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None)
        if a.grad is not None:
            assert torch.equal(a.grad, b.grad)


def test_initialisation_follows_its_table() -> None:
    model = built(llama(layers=8))
    initialise(model, std=0.1, generator=torch.Generator().manual_seed(0))
    block = model.stack.blocks[0]
    assert block.attention.q.weight.std().item() == pytest.approx(0.1, rel=0.15)
    assert block.feedforward.down.weight.std().item() == pytest.approx(0.1 / 4, rel=0.15)
    assert torch.equal(block.attention_norm.weight, torch.ones(24))


def test_a_missing_head_is_named() -> None:
    import dataclasses

    model = built(dataclasses.replace(bert(), language=None, pooler=False, n_pair_classes=0))
    hidden = model(ids())[:, 0]
    for call, what in (
        (model.masked_logits, "language"),
        (model.pooled, "pooler"),
        (model.pair_logits, "pair"),
    ):
        with pytest.raises(ConfigError, match=what):
            call(hidden)


COMPILED = """
import torch
from tests.core.models import bert, built, llama
ids = torch.arange(20).reshape(2, 10)
for config in (bert(), llama(), llama(window=3)):
    model = built(config)
    graph = torch.compile(model, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(graph(ids), model(ids), atol=1e-5, rtol=1e-5)
"""


def test_the_models_compile_without_a_graph_break() -> None:
    # In a process of its own: torch.compile cannot trace the type checks that tests run with.
    done = subprocess.run([sys.executable, "-c", COMPILED], check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
