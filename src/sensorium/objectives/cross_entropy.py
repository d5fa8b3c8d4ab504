"""Cross-entropy of a linear map's outputs, without ever holding all of them.

A vocabulary's logits are by far the largest tensor of a training step. Here they are made a chunk of rows at a time,
and the gradient of each chunk is computed at once, in the forward pass, from the probabilities at hand: one buffer is
used for logits, probabilities and gradient, and nothing of its size is kept for the backward pass (the idea of
Liger-Kernel, Hsu et al. 2024, and of cut cross-entropy, Wijmans et al. 2024).
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

CHUNK_ROWS = {"cpu": 256, "cuda": 4096}
"""Rows whose logits are held at a time: few enough for a CPU's cache, many enough for the products to be fast."""


def linear_cross_entropy(
    features: Float[Tensor, "n dim"],
    matrix: Float[Tensor, "vocab dim"],
    bias: Float[Tensor, " vocab"] | None,
    targets: Int[Tensor, " n"],
) -> Float[Tensor, ""]:
    """Mean of -log softmax(features · matrixᵀ + bias)[target], as `torch.nn.functional.cross_entropy` gives it."""
    loss: Tensor = _LinearCrossEntropy.apply(features, matrix, bias, targets)  # type: ignore[no-untyped-call]
    return loss


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, matrix: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
        n = len(targets)
        wanted = any(ctx.needs_input_grad[:3])
        weight = matrix.to(features.dtype)
        grad_features = torch.empty_like(features) if wanted else None
        grad_matrix = torch.zeros_like(weight) if wanted else None
        grad_bias = torch.zeros_like(bias) if wanted and bias is not None else None
        total = features.new_zeros((), dtype=torch.float32)
        step = _rows(features)
        for start in range(0, n, step):
            x, target = features[start : start + step], targets[start : start + step]
            logits = _logits(x, weight, bias)
            torch.log_softmax(logits, 1, out=logits)
            total -= logits.gather(1, target[:, None]).sum()
            if grad_features is None or grad_matrix is None:
                continue
            gradient = logits.exp_()
            gradient.scatter_add_(1, target[:, None], gradient.new_full((len(target), 1), -1.0))
            if grad_bias is not None:
                grad_bias += gradient.sum(0)
            narrow = gradient.to(features.dtype)
            torch.mm(narrow, weight, out=grad_features[start : start + step])
            grad_matrix.addmm_(narrow.t(), x)
        ctx.save_for_backward(grad_features, grad_matrix, grad_bias)
        ctx.n, ctx.matrix_dtype = n, matrix.dtype
        return total / n

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None]:
        features, matrix, bias = ctx.saved_tensors
        scale = grads[0] / ctx.n
        bias = None if bias is None else bias * scale.to(bias.dtype)
        return features * scale.to(features.dtype), (matrix * scale.to(matrix.dtype)).to(ctx.matrix_dtype), bias, None


def linear_cross_entropy_sums(
    features: Float[Tensor, "n dim"],
    matrix: Float[Tensor, "vocab dim"],
    bias: Float[Tensor, " vocab"] | None,
    targets: Int[Tensor, " n"],
) -> tuple[float, int]:
    """For validation: the summed loss in nats, and how many targets were the likeliest token."""
    weight, total, correct = matrix.to(features.dtype), 0.0, 0
    step = _rows(features)
    for start in range(0, len(targets), step):
        logits = _logits(features[start : start + step], weight, bias)
        target = targets[start : start + step]
        correct += int((logits.argmax(1) == target).sum())
        total -= float(logits.detach().log_softmax(1).gather(1, target[:, None]).double().sum())
    return total, correct


def _rows(features: Tensor) -> int:
    return CHUNK_ROWS.get(features.device.type, CHUNK_ROWS["cuda"])


def _logits(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    logits = x @ weight.t() if bias is None else torch.addmm(bias.to(x.dtype), x, weight.t())
    return logits.float()
