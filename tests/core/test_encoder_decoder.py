"""The encoder-decoder: packing, padding, caching, beams, sharing and counting agree with one plain forward pass."""

from __future__ import annotations

import copy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sensorium.core.cache import KVCache
from sensorium.core.capture import Capture
from sensorium.core.config import EncoderDecoderConfig
from sensorium.core.count import forward_flops, parameters, training_flops
from sensorium.core.encoder_decoder import EncoderDecoder
from sensorium.core.model import build, initialise, stacks
from sensorium.core.pack import lengths_of, unpad
from sensorium.errors import ConfigError
from tests.core.models import VOCAB, built_seq2seq, seq2seq

ROOT = Path(__file__).parents[2]
CONFIGS = {
    "learned, shared": seq2seq("learned"),
    "sinusoidal, shared": seq2seq("sinusoidal", kv_heads=2),
    "sinusoidal, two vocabularies": seq2seq("sinusoidal", shared=False),
    "learned, nothing tied": seq2seq("learned", shared=False, tied=False, kv_heads=1),
    "relative, shared": seq2seq("relative"),
    "relative, untied": seq2seq("relative", tied=False, kv_heads=2),
}
every = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())


def draw(seq: int, seed: int, rows: int = 3) -> torch.Tensor:
    return torch.randint(0, VOCAB - 6, (rows, seq), generator=torch.Generator().manual_seed(seed))


SOURCE, TARGET = draw(7, 1), draw(9, 2)
SOURCE_VALID = torch.arange(7) < torch.tensor([[7], [4], [1]])
TARGET_VALID = torch.arange(9) < torch.tensor([[5], [9], [2]])


def close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=2e-5, rtol=1e-5)


def alone(model: EncoderDecoder, row: int) -> torch.Tensor:
    """A pair's hidden states, without any padding."""
    source, target = SOURCE[row][SOURCE_VALID[row]][None], TARGET[row][TARGET_VALID[row]][None]
    return model(source, target, backend="eager")[0]


@every
@pytest.mark.parametrize("backend", ["eager", "sdpa", "auto"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_padding_does_not_change_a_pair(config: EncoderDecoderConfig, backend: Any, side: str) -> None:
    model = built_seq2seq(config)
    source, valid = (x if side == "right" else x.flip(1) for x in (SOURCE, SOURCE_VALID))
    if side == "left":  # what stands in the row's valid part stays in order
        source = source.clone()
        source[valid] = SOURCE[SOURCE_VALID]
    hidden = model(source, TARGET, source_valid=valid, target_valid=TARGET_VALID, backend=backend)
    for row in range(3):
        close(hidden[row][TARGET_VALID[row]], alone(model, row))


@every
def test_packed_pairs_equal_each_alone_with_their_gradients(config: EncoderDecoderConfig) -> None:
    model = built_seq2seq(config).train()
    weight = torch.randn(int(TARGET_VALID.sum()), config.decoder.dim, generator=torch.Generator().manual_seed(3)) / 20
    packed = model(
        unpad(SOURCE, SOURCE_VALID),
        unpad(TARGET, TARGET_VALID),
        source_lengths=lengths_of(SOURCE_VALID),
        target_lengths=lengths_of(TARGET_VALID),
    )
    expected = torch.cat([alone(model, row) for row in range(3)])
    close(packed[0], expected)
    used = [parameter for name, parameter in model.named_parameters() if not name.startswith("language")]
    wanted = torch.autograd.grad((expected * weight).sum(), used)
    for a, b in zip(torch.autograd.grad((packed[0] * weight).sum(), used), wanted, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@every
def test_only_one_side_padded_and_rows_of_nothing(config: EncoderDecoderConfig) -> None:
    model = built_seq2seq(config)
    plain = model(SOURCE, TARGET, source_valid=SOURCE_VALID, backend="eager")
    close(model(SOURCE, TARGET, source_valid=SOURCE_VALID), plain)
    close(model(SOURCE, TARGET, target_valid=TARGET_VALID)[TARGET_VALID], model(SOURCE, TARGET)[TARGET_VALID])
    empty = SOURCE_VALID.clone()
    empty[1] = False
    hidden = model(SOURCE, TARGET, source_valid=empty, target_valid=TARGET_VALID)
    assert hidden.isfinite().all()
    close(hidden[[0, 2]][TARGET_VALID[[0, 2]]], plain[[0, 2]][TARGET_VALID[[0, 2]]])


@every
@pytest.mark.parametrize("beams", [1, 3])
def test_cached_steps_equal_the_full_pass(config: EncoderDecoderConfig, beams: int) -> None:
    model = built_seq2seq(config)
    targets = draw(9, 4, rows=3 * beams)
    full = model(SOURCE.repeat_interleave(beams, 0), targets, source_valid=SOURCE_VALID.repeat_interleave(beams, 0))
    with torch.inference_mode():
        memory = model.memory(model.encode(SOURCE, valid=SOURCE_VALID), SOURCE_VALID)
        assert memory.batch == 3
        cache = KVCache(config.decoder, batch=3 * beams, capacity=9)
        steps = ((0, 4), (4, 5), (5, 6), (6, 7))
        parts = [model.decode(targets[:, a:b], memory=memory, cache=cache) for a, b in steps]
        close(torch.cat(parts, 1), full[:, :7])
        # Rows leave, beams of a source change places: the source's memory stays.
        rows = [row for source in (2, 0) for row in reversed(range(source * beams, (source + 1) * beams))]
        cache.keep(torch.tensor(rows))
        memory.keep(torch.tensor([2, 0]))
        for at in (7, 8):
            close(model.decode(targets[rows, at : at + 1], memory=memory, cache=cache)[:, 0], full[rows, at])


@every
def test_beams_copy_nothing_of_the_memory(config: EncoderDecoderConfig) -> None:
    model = built_seq2seq(config)
    seen = []
    attention = model.decoder.blocks[0].cross
    original = torch.nn.functional.scaled_dot_product_attention

    def look(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **options: Any) -> torch.Tensor:
        seen.append((q.shape, k.data_ptr()))
        return original(q, k, v, **options)

    with torch.inference_mode(), pytest.MonkeyPatch.context() as patch:
        memory = model.memory(model.encode(SOURCE))
        patch.setattr(torch.nn.functional, "scaled_dot_product_attention", look)
        model.decode(draw(1, 5, rows=12), memory=memory, cache=KVCache(config.decoder, batch=12, capacity=1))
    assert attention is not None
    assert ((3, 4, 4, 8), memory.keys[0].data_ptr()) in seen


@every
def test_what_a_capture_holds(config: EncoderDecoderConfig) -> None:
    model = built_seq2seq(config)
    encoder, decoder, step = Capture(), Capture(), Capture()
    read = model.encode(SOURCE, valid=SOURCE_VALID, capture=encoder)
    assert [tuple(p.shape) for p in encoder.attention] == [(3, 4, 7, 7)] * 2
    assert (len(encoder.states), encoder.cross) == (3, [])
    hidden = model(SOURCE, TARGET, source_valid=SOURCE_VALID, capture=decoder)
    assert [tuple(p.shape) for p in decoder.attention] == [(3, 4, 9, 9)] * 3
    assert [tuple(p.shape) for p in decoder.cross] == [(3, 4, 9, 7)] * 3
    close(hidden, model(SOURCE, TARGET, source_valid=SOURCE_VALID))
    for probabilities in decoder.cross:
        close(probabilities.sum(-1), torch.ones(3, 4, 9))
        assert probabilities.transpose(1, 3)[1, 4:].abs().max() == 0
    twice = TARGET.repeat_interleave(2, 0)
    memory = model.memory(read, SOURCE_VALID)
    model.decode(twice, memory=memory, cache=KVCache(config.decoder, batch=6, capacity=9), capture=step)
    for a, b in zip(step.cross, decoder.cross, strict=True):
        close(a, b.repeat_interleave(2, 0))


@every
def test_shared_matrices_are_one(config: EncoderDecoderConfig) -> None:
    model = built_seq2seq(config)
    names = set(model.state_dict())
    assert ("decoder.embed.tokens.weight" in names) != config.shared
    assert (model.language.output is None) == config.language.tied
    moved = copy.deepcopy(model).to(torch.float64)
    assert (moved.decoder.embed.tokens is moved.encoder.embed.tokens) == config.shared
    again = build(config)
    again.load_state_dict(model.state_dict())
    close(again.eval()(SOURCE, TARGET), model(SOURCE, TARGET))
    _, matrix, _ = model.language_inputs(model(SOURCE, TARGET))
    assert (matrix is model.decoder.embed.tokens.weight) == config.language.tied


@every
def test_counted_parameters_and_flops_are_those_of_the_model(config: EncoderDecoderConfig) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    model = built_seq2seq(config)
    assert parameters(config) == sum(p.numel() for p in model.parameters())
    with FlopCounterMode(display=False) as counter, torch.enable_grad():
        model.logits(model(SOURCE[:1], TARGET[:1], backend="eager")).sum()
    expected = forward_flops(config, length=9, source_length=7) * 9
    expected += len(config.decoder.blocks) * 4 * 4 * 8 * 36  # eager computes the whole square of the targets
    assert counter.get_total_flops() == pytest.approx(expected, rel=1e-6)
    assert training_flops(config, length=9, source_length=7) == 3 * forward_flops(config, length=9, source_length=7)


@pytest.mark.parametrize("kind", ["learned", "sinusoidal", "relative"])
def test_gradient_checkpointing_changes_no_gradient_under_dropout(kind: Any) -> None:
    plain = built_seq2seq(seq2seq(kind, dropout=0.2)).train()
    recomputed = copy.deepcopy(plain)
    for stack in stacks(recomputed).values():
        stack.gradient_checkpointing = True
    for model in (plain, recomputed):
        torch.manual_seed(0)
        hidden = model(SOURCE, TARGET, source_valid=SOURCE_VALID, target_valid=TARGET_VALID)
        model.logits(hidden).square().sum().backward()
    for (name, a), b in zip(plain.named_parameters(), recomputed.parameters(), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        assert torch.equal(a.grad, b.grad), name


@every
@pytest.mark.parametrize("training", [False, True])
def test_half_precision_is_near_single(config: EncoderDecoderConfig, training: bool) -> None:
    model = built_seq2seq(config).train(training)
    expected = model.logits(model(SOURCE, TARGET, source_valid=SOURCE_VALID))
    with torch.autocast("cpu", torch.bfloat16), torch.set_grad_enabled(training):
        for form in ({"source_valid": SOURCE_VALID}, {"source_valid": SOURCE_VALID, "backend": "sdpa"}):
            logits = model.logits(model(SOURCE, TARGET, **form))
            torch.testing.assert_close(logits.float(), expected, atol=0.25, rtol=0.05)
    if training:
        logits.float().square().mean().backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    model = model.to(torch.bfloat16)
    torch.testing.assert_close(
        model.logits(model(SOURCE, TARGET, source_valid=SOURCE_VALID)).float(), expected, atol=0.5, rtol=0.1
    )


def test_dropout_works_in_training_only() -> None:
    model = built_seq2seq(seq2seq("relative", dropout=0.3))
    assert torch.equal(model(SOURCE, TARGET), model(SOURCE, TARGET))
    model.train()
    assert not torch.allclose(model(SOURCE, TARGET), model(SOURCE, TARGET))


def test_initialisation_follows_its_table() -> None:
    model = build(seq2seq("relative"))
    initialise(model, std=0.1, generator=torch.Generator().manual_seed(0))
    block = model.decoder.blocks[1]
    assert block.cross is not None
    stds = {
        model.encoder.embed.tokens.weight: 0.1 * 24**0.5,
        block.cross.k.weight: 0.1,
        block.cross.out.weight: 0.1 / 3,
        model.encoder.blocks[0].attention.out.weight: 0.1 / 2,
        block.feedforward.down.weight: 0.1 / 3,
        block.feedforward.up.weight: 0.1,
    }
    for weight, std in stds.items():
        assert weight.std().item() == pytest.approx(std, rel=0.15)
    post = build(seq2seq("sinusoidal"))
    initialise(post, std=0.1, generator=torch.Generator().manual_seed(0))
    assert post.decoder.blocks[0].cross is not None
    assert post.decoder.blocks[0].cross.out.weight.std().item() == pytest.approx(0.1, rel=0.15)


def test_configurations_that_make_no_sense_are_refused() -> None:
    config = seq2seq("learned")
    encoder, decoder = config.encoder, config.decoder
    bare = replace(decoder.blocks[0], cross=None)
    for parts, problem in (
        (dict(encoder=decoder), "in this order"),
        (dict(encoder=replace(encoder, blocks=decoder.blocks)), "nothing to attend to"),
        (dict(decoder=replace(decoder, blocks=(bare,))), "no cross-attention"),
        (dict(decoder=replace(decoder, dim=16)), "must be equal"),
        (dict(decoder=replace(decoder, embed=replace(decoder.embed, vocab_size=3))), "one embedding matrix"),
    ):
        with pytest.raises(ConfigError, match=problem):
            replace(config, **parts)


def test_a_block_with_cross_attention_needs_a_source() -> None:
    model = built_seq2seq(seq2seq("learned"))
    with pytest.raises(ValueError, match="without a source"):
        model.decoder(TARGET)


COMPILED = """
import torch
from tests.core.models import built, seq2seq
source, target = torch.arange(14).reshape(2, 7), torch.arange(20).reshape(2, 10)
for kind in ("learned", "sinusoidal", "relative"):
    model = built(seq2seq(kind))
    graph = torch.compile(model, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(graph(source, target), model(source, target), atol=1e-5, rtol=1e-5)
"""


def test_the_models_compile_without_a_graph_break() -> None:
    # In a process of its own: torch.compile cannot trace the type checks that tests run with.
    done = subprocess.run([sys.executable, "-c", COMPILED], check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
