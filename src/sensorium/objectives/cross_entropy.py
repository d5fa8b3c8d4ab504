"""Cross-entropy of a linear map's outputs, without ever holding all of them.

A vocabulary's logits are by far the largest tensor of a training step. Here they are made a chunk of rows at a time,
and the gradient of each chunk is computed at once, in the forward pass, from the probabilities at hand: one buffer is
used for logits, probabilities and gradient, and nothing of its size is kept for the backward pass (the idea of
Liger-Kernel, Hsu et al. 2024, and of cut cross-entropy, Wijmans et al. 2024).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from sensorium.core.linear import for_products

CHUNK_BYTES = {"cpu": 1 << 25, "cuda": 1 << 30}
"""Of the fp32 logits that are held at a time: few enough for a CPU's cache, many enough for the products to be fast."""
_FEWEST_ROWS = 128


def linear_cross_entropy(
    features: Float[Tensor, "n dim"],
    matrix: Float[Tensor, "vocab dim"],
    bias: Float[Tensor, " vocab"] | None,
    targets: Int[Tensor, " n"],
) -> Float[Tensor, ""]:
    """Mean of -log softmax(features · matrixᵀ + bias)[target], as `torch.nn.functional.cross_entropy` gives it."""
    return smoothed_cross_entropy(features, matrix, bias, targets, smoothing=0.0)[0]


def smoothed_cross_entropy(
    features: Float[Tensor, "n dim"],
    matrix: Float[Tensor, "vocab dim"],
    bias: Float[Tensor, " vocab"] | None,
    targets: Int[Tensor, " n"],
    *,
    smoothing: float,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Cross-entropy to targets a share of which is spread over the whole vocabulary (Szegedy et al. 2016).

    The spread share needs no second pass over the logits: the mean of a row's logits is the product of its features
    with the mean row of the matrix, and what it adds to the gradients has rank one.

    Args:
        features: what the output matrix reads.
        matrix: the output matrix.
        bias: added to the logits.
        targets: the right tokens.
        smoothing: the share, as `label_smoothing` of `torch.nn.functional.cross_entropy`.

    Returns:
        The loss, and without a gradient the mean negative log-likelihood, which is the loss of no smoothing.
    """
    loss, plain = _LinearCrossEntropy.apply(features, matrix, bias, targets, smoothing)  # type: ignore[no-untyped-call]
    return loss, plain


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, features: Tensor, matrix: Tensor, bias: Tensor | None, targets: Tensor, smoothing: float
    ) -> tuple[Tensor, Tensor]:
        n = len(targets)
        wanted = any(ctx.needs_input_grad[:3])
        x, weight = for_products(features), for_products(matrix)
        grad_x = torch.empty_like(x) if wanted else None
        grad_matrix = torch.empty_like(matrix) if wanted else None
        grad_bias = torch.zeros_like(bias) if wanted and bias is not None else None
        plain = features.new_zeros((), dtype=torch.float32)
        normalisers = torch.zeros_like(plain)  # the sum of the rows' log Σ exp
        with torch.autocast(features.device.type, enabled=False):
            scratch = _Scratch(n, weight)
            for start, stop in scratch.chunks():
                target = targets[start:stop]
                logits = scratch.logits(x[start:stop], weight, bias)
                if smoothing:
                    normalisers += logits.gather(1, target[:, None]).sum()
                torch.log_softmax(logits, 1, out=logits)
                found = logits.gather(1, target[:, None]).sum()
                plain -= found
                normalisers -= found
                if grad_x is None or grad_matrix is None:
                    continue
                gradient = logits.exp_()
                gradient.scatter_add_(1, target[:, None], gradient.new_full((len(target), 1), smoothing - 1))
                if grad_bias is not None:
                    grad_bias += gradient.sum(0)
                narrow = scratch.narrow(gradient)
                torch.mm(narrow, weight, out=grad_x[start:stop])
                # The mean's 1/n goes to the smaller factor.
                shares = (features[start:stop] / n).to(x.dtype)
                _add_product(grad_matrix, narrow.t(), shares, first=start == 0)
            if grad_x is not None:
                grad_x = grad_x.to(features.dtype).div_(n)
            if grad_bias is not None:
                grad_bias /= n
            plain /= n
            loss = plain.clone()
            if smoothing:
                mean_row, mean_x = matrix.mean(0, dtype=torch.float32), features.mean(0, dtype=torch.float32)
                mean_logit = mean_row @ mean_x + (0 if bias is None else bias.mean())
                loss = torch.lerp(plain, normalisers / n - mean_logit, smoothing)
                for grad, per_row in ((grad_x, mean_row / n), (grad_matrix, mean_x / len(matrix))):
                    if grad is not None:
                        grad.sub_(per_row, alpha=smoothing)
                if grad_bias is not None:
                    grad_bias -= smoothing / len(matrix)
        ctx.grads = (grad_x, grad_matrix, grad_bias)
        ctx.mark_non_differentiable(plain)
        return loss, plain

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None, None]:
        if ctx.grads is None:
            raise RuntimeError("linear_cross_entropy hands its gradients on once: there is no second backward pass")
        features, matrix, bias = ctx.grads
        # Handed on in place, once: a copy of a vocabulary's gradient costs as much as an optimiser's step over it.
        ctx.grads = None
        scale = grads[0]
        if scale.device.type != "cpu" or scale != 1:
            for gradient in (features, matrix, bias):
                if gradient is not None:
                    gradient.mul_(scale)
        return features, matrix, bias, None, None


def _add_product(total: Tensor, a: Tensor, b: Tensor, *, first: bool) -> None:
    """total += a b, in total's precision; the first product replaces what stands there."""
    if total.dtype == a.dtype:
        torch.addmm(total, a, b, beta=0 if first else 1, out=total)
    elif first:
        total.copy_(a @ b)
    else:
        total += a @ b


def linear_cross_entropy_sums(
    features: Float[Tensor, "n dim"],
    matrix: Float[Tensor, "vocab dim"],
    bias: Float[Tensor, " vocab"] | None,
    targets: Int[Tensor, " n"],
) -> tuple[float, int]:
    """For validation: the summed loss in nats, and how many targets were the likeliest token."""
    x, weight = for_products(features.detach()), for_products(matrix.detach())
    bias, total, correct = None if bias is None else bias.detach(), 0.0, 0
    scratch = _Scratch(len(targets), weight)
    for start, stop in scratch.chunks():
        logits = scratch.logits(x[start:stop], weight, bias)
        target = targets[start:stop]
        correct += int((logits.argmax(1) == target).sum())
        total -= float(logits.log_softmax(1).gather(1, target[:, None]).double().sum())
    return total, correct


class _Scratch:
    """Room for a chunk's logits in fp32 and, where the product gives another precision, in that one."""

    def __init__(self, n: int, weight: Tensor) -> None:
        vocab = len(weight)
        self._n = n
        self._rows = min(n, max(CHUNK_BYTES.get(weight.device.type, CHUNK_BYTES["cuda"]) // (4 * vocab), _FEWEST_ROWS))
        self._wide = weight.new_empty(self._rows, vocab, dtype=torch.float32)
        self._narrow = self._wide if weight.dtype == torch.float32 else weight.new_empty(self._rows, vocab)

    def chunks(self) -> Iterator[tuple[int, int]]:
        """Where each chunk of rows starts and stops."""
        return ((start, min(start + self._rows, self._n)) for start in range(0, self._n, self._rows))

    def logits(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """A chunk's logits in fp32, until the next call."""
        narrow, wide = self._narrow[: len(x)], self._wide[: len(x)]
        if bias is None:
            torch.mm(x, weight.t(), out=narrow)
        else:
            torch.addmm(bias.to(x.dtype), x, weight.t(), out=narrow)
        return narrow if narrow.dtype == wide.dtype else wide.copy_(narrow)

    def narrow(self, wide: Tensor) -> Tensor:
        """A chunk in the products' precision."""
        narrow = self._narrow[: len(wide)]
        return wide if narrow.dtype == wide.dtype else narrow.copy_(wide)
