"""The fused cross-entropy equals torch's, with its gradients, however it is cut into chunks."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from sensorium.objectives import cross_entropy
from sensorium.objectives.cross_entropy import (
    linear_cross_entropy,
    linear_cross_entropy_sums,
    smoothed_cross_entropy,
)


def inputs(bias: bool):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(13, 8, generator=generator, requires_grad=True)
    matrix = torch.randn(31, 8, generator=generator, requires_grad=True)
    offset = torch.randn(31, generator=generator, requires_grad=True) if bias else None
    return features, matrix, offset, torch.randint(0, 31, (13,), generator=generator)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 5, 256])
def test_it_equals_torch_and_so_do_its_gradients(bias: bool, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cross_entropy.CHUNK_BYTES, "cpu", rows * 31 * 4)
    monkeypatch.setattr(cross_entropy, "_FEWEST_ROWS", 1)
    features, matrix, offset, targets = inputs(bias)
    leaves = [x for x in (features, matrix, offset) if x is not None]
    expected = F.cross_entropy(F.linear(features, matrix, offset), targets)
    wanted = torch.autograd.grad(3 * expected, leaves)
    actual = linear_cross_entropy(features, matrix, offset, targets)
    got = torch.autograd.grad(3 * actual, leaves)
    torch.testing.assert_close(actual, expected)
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 5, 256])
@pytest.mark.parametrize("smoothing", [0.1, 0.7])
def test_smoothed_labels_equal_torchs_and_so_do_the_gradients(
    smoothing: float, bias: bool, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cross_entropy.CHUNK_BYTES, "cpu", rows * 31 * 4)
    monkeypatch.setattr(cross_entropy, "_FEWEST_ROWS", 1)
    features, matrix, offset, targets = inputs(bias)
    leaves = [x for x in (features, matrix, offset) if x is not None]
    logits = F.linear(features, matrix, offset)
    expected = F.cross_entropy(logits, targets, label_smoothing=smoothing)
    wanted = torch.autograd.grad(3 * expected, leaves, retain_graph=True)
    actual, plain = smoothed_cross_entropy(features, matrix, offset, targets, smoothing=smoothing)
    got = torch.autograd.grad(3 * actual, leaves)
    torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(plain, F.cross_entropy(logits, targets))
    assert not plain.requires_grad
    for a, b in zip(got, wanted, strict=True):
        torch.testing.assert_close(a, b)


def test_without_smoothing_the_loss_is_the_plain_one_to_the_last_bit() -> None:
    features, matrix, offset, targets = inputs(True)
    loss, plain = smoothed_cross_entropy(features, matrix, offset, targets, smoothing=0.0)
    assert torch.equal(loss, plain)
    assert torch.equal(loss, linear_cross_entropy(features, matrix, offset, targets))


def test_the_sums_are_those_of_torch() -> None:
    features, matrix, offset, targets = inputs(True)
    logits = F.linear(features, matrix, offset)
    nats, correct = linear_cross_entropy_sums(features, matrix, offset, targets)
    assert nats == pytest.approx(F.cross_entropy(logits, targets, reduction="sum").item(), rel=1e-6)
    assert correct == int((logits.argmax(1) == targets).sum())


def test_under_autocast_it_is_as_near_to_fp32_as_torch_is() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(300, 64, generator=generator, requires_grad=True)
    matrix = torch.randn(500, 64, generator=generator, requires_grad=True)
    targets = torch.randint(0, 500, (300,), generator=generator)
    exact = F.cross_entropy(F.linear(features, matrix), targets)
    wanted = torch.autograd.grad(exact, (features, matrix))
    errors = []
    for loss in (
        lambda: linear_cross_entropy(features, matrix, None, targets),
        lambda: F.cross_entropy(F.linear(features, matrix).float(), targets),
    ):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = loss()
        got = torch.autograd.grad(value, (features, matrix))
        errors.append(
            [(value - exact).abs().item(), *((a - b).norm().item() for a, b in zip(got, wanted, strict=True))]
        )
        assert all(a.dtype == torch.float32 for a in got)
    assert all(ours <= 1.2 * torchs for ours, torchs in zip(*errors, strict=True))


def test_a_second_backward_pass_is_refused() -> None:
    features, matrix, offset, targets = inputs(True)
    loss = linear_cross_entropy(features, matrix, offset, targets)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="second"):
        loss.backward()
