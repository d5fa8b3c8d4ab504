"""The heads over an encoder: spans, tags, classes, and what they read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from sensorium.core.config import ClassHeadConfig, FeatureConfig, ModelConfig, NormConfig, RotaryPosition
from sensorium.core.count import forward_flops, parameters
from sensorium.core.head import first_or_mean
from sensorium.core.model import Encoder
from sensorium.errors import CapabilityError, ConfigError
from tests.core import models

NORM = NormConfig(kind="layernorm", eps=1e-5, bias=False)
DENSE = FeatureConfig(transform="tanh", bias=False, norm=NORM, input_dropout=0.5, dropout=0.5)
HEADS: dict[str, dict[str, Any]] = {
    "spans": dict(spans=True),
    "tags": dict(n_tags=3),
    "classes": dict(classes=ClassHeadConfig(n_classes=4, pooling="first"), features=DENSE),
    "mean": dict(classes=ClassHeadConfig(n_classes=4, pooling="mean"), features=replace(DENSE, bias=True)),
    "pooler": dict(classes=ClassHeadConfig(n_classes=2, pooling="pooler"), pooler=True),
}


def with_heads(**heads: Any) -> ModelConfig:
    return replace(models.bert(), **(dict(language=None, pooler=False, n_pair_classes=0) | heads))


def encoder(config: ModelConfig) -> Encoder:
    model = models.built(config)
    assert isinstance(model, Encoder)
    return model


def outputs(model: Encoder, hidden: torch.Tensor) -> torch.Tensor:
    if model.spans is not None:
        return model.span_logits(hidden)
    return model.tag_logits(hidden) if model.tags is not None else model.class_logits(hidden)


@pytest.mark.parametrize("name", HEADS)
def test_parameters_and_operations_are_counted_from_the_configuration(name: str) -> None:
    config = with_heads(**HEADS[name])
    model = encoder(config)
    assert parameters(config) == sum(parameter.numel() for parameter in model.parameters())
    ids = torch.randint(models.VOCAB, (2, 16))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        outputs(model, model(ids, backend="eager"))
    assert forward_flops(config, length=16) * ids.numel() == pytest.approx(counter.get_total_flops(), rel=1e-9)


@pytest.mark.parametrize("name", HEADS)
def test_dropout_of_the_heads_is_of_training_alone(name: str) -> None:
    model = encoder(with_heads(**HEADS[name]))
    hidden = torch.randn(2, 5, 16)
    assert torch.equal(outputs(model, hidden), outputs(model, hidden))
    model.train()
    assert torch.equal(outputs(model, hidden), outputs(model, hidden)) == (model.config.features.dropout == 0)


def test_a_head_that_is_not_there_is_named() -> None:
    model = encoder(with_heads())
    hidden = torch.zeros(1, 3, 16)
    for call, name in (
        (model.span_logits, "span head"),
        (model.tag_logits, "token classification head"),
        (model.class_logits, "sequence classification head"),
    ):
        with pytest.raises(ConfigError, match=f"no {name}"):
            call(hidden)


def test_labels_name_each_output_once() -> None:
    assert with_heads(n_tags=2, labels=("a", "b")).labels == ("a", "b")
    for heads in (dict(n_tags=3), dict(classes=ClassHeadConfig(n_classes=1, pooling="first")), dict(spans=True)):
        with pytest.raises(ConfigError, match="2 labels for"):
            with_heads(**heads, labels=("a", "b"))
    with pytest.raises(ConfigError, match="over the pooler needs it"):
        with_heads(classes=ClassHeadConfig(n_classes=2, pooling="pooler"))


def test_one_vector_a_sequence() -> None:
    hidden = torch.randn(3, 5, 4)
    valid = torch.tensor([[1, 1, 1, 0, 0], [0, 0, 1, 1, 1], [0, 0, 0, 0, 0]]).bool()
    first, mean = (first_or_mean(hidden, pooling, valid=valid) for pooling in ("first", "mean"))
    assert torch.equal(first[:2], torch.stack([hidden[0, 0], hidden[1, 2]]))
    torch.testing.assert_close(mean, torch.stack([hidden[0, :3].mean(0), hidden[1, 2:].mean(0), torch.zeros(4)]))
    assert torch.equal(first_or_mean(hidden, "first"), hidden[:, 0])
    torch.testing.assert_close(first_or_mean(hidden, "mean"), hidden.mean(1))
    packed = hidden[valid][None]
    for pooling in ("first", "mean", "pooler"):
        torch.testing.assert_close(
            first_or_mean(packed, pooling, lengths=(3, 3)), first_or_mean(hidden, pooling, valid=valid)[:2]
        )


def windowed() -> Encoder:
    """Local layers with a rotation of their own among global ones, the first block without a norm."""
    config = models.llama(layers=3)
    blocks = [
        replace(block, attention=replace(block.attention, window=3 if i else None), attention_norm=i > 0, norm=NORM)
        for i, block in enumerate(config.stack.blocks)
    ]
    local = RotaryPosition(theta=20.0, dim=8, context=64)
    stack = replace(config.stack, blocks=tuple(blocks), causal=False, local_rotary=local)
    return encoder(replace(config, stack=stack))


def test_windows_count_padding_in_the_middle_whatever_the_form() -> None:
    model = windowed()
    ids = torch.randint(models.VOCAB, (2, 12))
    valid = torch.rand(2, 12, generator=torch.Generator().manual_seed(1)) > 0.4
    assert not bool((valid[:, 1:] <= valid[:, :-1]).all()), "there must be holes"
    padded = model.stack(ids, valid=valid)
    torch.testing.assert_close(model(ids, valid=valid)[valid], padded[valid])
    with pytest.raises(CapabilityError, match="varlen"):
        model(ids, valid=valid, backend="varlen")
    ends = torch.arange(12) < torch.tensor([[12], [5]])
    torch.testing.assert_close(model(ids, valid=ends, backend="varlen")[ends], model.stack(ids, valid=ends)[ends])


def test_relative_positions_count_padding_in_the_middle_whatever_the_form() -> None:
    model = encoder(ModelConfig(stack=models.seq2seq("relative").encoder))
    ids = torch.randint(models.VOCAB, (2, 12))
    valid = torch.rand(2, 12, generator=torch.Generator().manual_seed(1)) > 0.4
    torch.testing.assert_close(model(ids, valid=valid)[valid], model.stack(ids, valid=valid)[valid])


def test_local_layers_turn_by_their_own_base() -> None:
    model = windowed()
    ids = torch.randint(models.VOCAB, (1, 12))
    before = model(ids)
    other = replace(model.config.stack, local_rotary=RotaryPosition(theta=5.0, dim=8, context=64))
    model.stack.config = other
    assert not torch.allclose(model(ids), before)
    model.stack.config = replace(other, local_rotary=model.config.stack.rotary)
    same = model(ids)
    model.stack.config = replace(other, local_rotary=None)
    assert torch.equal(model(ids), same)
