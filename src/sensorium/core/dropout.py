"""Dropout, and attention under dropout, made cheap on a CPU (Srivastava et al. 2014).

Unusual: PyTorch draws one Bernoulli number an element on a CPU, which costs more than the products around it. Here
sixteen random bits decide an element, four of them from one draw; the rate is exact to 2⁻¹⁶, and what is kept is
scaled by the rate as rounded. All draws are of PyTorch's global generator, so that a seeded run repeats itself.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

_LEVELS = 1 << 16


class Dropout(nn.Module):
    """`torch.nn.Dropout`, with cheaper draws on a CPU."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        if not self.training or self.p == 0.0:
            return x
        if x.device.type != "cpu" or torch.compiler.is_compiling():
            return F.dropout(x, self.p)
        return x * dropout_factors(x.shape, self.p, dtype=x.dtype)

    def extra_repr(self) -> str:
        return f"p={self.p}"


def dropout_factors(shape: tuple[int, ...], p: float, *, dtype: torch.dtype) -> Float[Tensor, "*shape"]:
    """0 with probability `p`, else 1/(1 - p), drawn on the CPU."""
    level = min(round(p * _LEVELS), _LEVELS - 1)
    count = math.prod(shape)
    words = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
    bits = words.view(torch.int16)[:count].view(shape)
    kept = torch.tensor(_LEVELS / (_LEVELS - level), dtype=dtype)
    return torch.where(bits >= level - _LEVELS // 2, kept, torch.zeros((), dtype=dtype))


def attend_documents(
    q: Float[Tensor, "1 heads total head_dim"],
    k: Float[Tensor, "1 heads total head_dim"],
    v: Float[Tensor, "1 heads total head_dim"],
    *,
    lengths: tuple[int, ...],
    hidden: dict[int, Tensor | None],
    scale: float,
    dropout_p: float,
) -> Float[Tensor, "1 heads total head_dim"]:
    """Attention under dropout within each of the documents that lie end to end, on a CPU.

    Args:
        q: queries.
        k: keys.
        v: values.
        lengths: of the documents.
        hidden: for each length, True where a query must not see a key; every query sees one at least.
        scale: multiplies the scores.
        dropout_p: probability of dropping an attention probability.
    """
    # Under autocast the values come from a product in half precision, queries and keys from a rotation in fp32.
    q, k = q.to(v.dtype), k.to(v.dtype)
    out: Tensor = _Documents.apply(q, k, v, lengths, hidden, scale, dropout_p)  # type: ignore[no-untyped-call]
    return out


class _Documents(torch.autograd.Function):
    """The formula and its derivative, in place where it may be: nothing but the probabilities is kept.

    With P = softmax(scale · QKᵀ), D the dropout's factors and O = (P ∘ D) V:
    dS = (P ∘ D) ∘ (dO Vᵀ) - P · rowsum(dO ∘ O), for rowsum(dP ∘ P) = rowsum(dO ∘ O) (Dao et al. 2022).
    """

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        lengths: tuple[int, ...],
        hidden: dict[int, Tensor | None],
        scale: float,
        dropout_p: float,
    ) -> Tensor:
        out = _token_major(q)
        probs, dropped = [], []
        with torch.autocast("cpu", enabled=False):
            for qi, ki, vi, oi, n in _cut(lengths, q, k, v, out):
                scores = torch.bmm(qi, ki.mT).mul_(scale)
                mask = hidden[n]
                if mask is not None:
                    scores.masked_fill_(mask, -math.inf)
                prob = scores.softmax(-1)
                drop = prob * dropout_factors(prob.shape, dropout_p, dtype=prob.dtype)
                oi.copy_(torch.bmm(drop, vi))
                probs.append(prob)
                dropped.append(drop)
        ctx.save_for_backward(q, k, v, out, *probs, *dropped)
        ctx.lengths, ctx.scale = lengths, scale
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, *saved = ctx.saved_tensors
        probs, dropped = saved[: len(saved) // 2], saved[len(saved) // 2 :]
        grad = grads[0].to(q.dtype)
        shares = (grad * out).sum(-1, keepdim=True)
        dq, dk, dv = _token_major(q), _token_major(k), _token_major(v)
        parts = _cut(ctx.lengths, q, k, v, grad, shares, dq, dk, dv)
        for prob, drop, (qi, ki, vi, gi, si, dqi, dki, dvi, _) in zip(probs, dropped, parts, strict=True):
            dvi.copy_(torch.bmm(drop.mT, gi))
            score = torch.bmm(gi, vi.mT).mul_(drop).addcmul_(prob, si, value=-1).mul_(ctx.scale)
            dqi.copy_(torch.bmm(score, ki))
            dki.copy_(torch.bmm(score.mT, qi))
        return dq, dk, dv, None, None, None, None


def _token_major(like: Tensor) -> Tensor:
    """Room for `like`, with each token's heads side by side, as the projections around attention lay them."""
    batch, heads, total, width = like.shape
    return torch.empty(batch, total, heads, width, dtype=like.dtype).transpose(1, 2)


def _cut(lengths: tuple[int, ...], *tensors: Tensor) -> Any:
    """Each document's part of each tensor, as [heads, n, ...], and n."""
    parts = (torch.split(tensor[0], list(lengths), dim=1) for tensor in tensors)
    return zip(*parts, lengths, strict=True)
