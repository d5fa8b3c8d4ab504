"""Attention within packed documents, for training on a CPU.

PyTorch's fused operator has no dropout on a CPU, and in half precision it trails the plain products on short
documents. These are the plain products, and their derivative written out.

Unusual: documents of about the same length are padded to a common one and attended in one product. A half-precision
product of a new shape costs more to plan than to compute, so lengths are rounded to a few.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sensorium.core.dropout import dropout_factors
from sensorium.core.mask import MaskSpec

_STEP = 32
"""Lengths are rounded up to a multiple of this."""
_SCORES = 1 << 22
"""Scores of one product, at most."""


class _Document(NamedTuple):
    start: int
    length: int


@dataclass(frozen=True)
class _Group:
    """Documents that are attended in one product, each padded to `length`."""

    documents: tuple[_Document, ...]
    length: int


@lru_cache(maxsize=8)
def _groups(lengths: tuple[int, ...], heads: int) -> tuple[_Group, ...]:
    """Every document once. The same for all layers of a pass, so the last few answers are kept."""
    by_length = dict[int, list[_Document]]()
    start = 0
    for length in lengths:
        by_length.setdefault(-(-length // _STEP) * _STEP, []).append(_Document(start, length))
        start += length
    groups = []
    for padded, documents in by_length.items():
        most = max(1, _SCORES // (heads * padded * padded))
        groups += [_Group(tuple(documents[i : i + most]), padded) for i in range(0, len(documents), most)]
    return tuple(groups)


def attend_documents(
    q: Float[Tensor, "1 heads total head_dim"],
    k: Float[Tensor, "1 heads total head_dim"],
    v: Float[Tensor, "1 heads total head_dim"],
    *,
    lengths: tuple[int, ...],
    causal: bool,
    window: int | None,
    scale: float,
    dropout_p: float,
) -> Float[Tensor, "1 heads total head_dim"]:
    """Attention within each of the documents that lie end to end.

    The probabilities are held until the backward pass: memory grows with the squares of the lengths.

    Args:
        q: queries.
        k: keys.
        v: values.
        lengths: of the documents.
        causal: a query sees no key after it.
        window: a query sees keys fewer than this many tokens away.
        scale: multiplies the scores.
        dropout_p: probability of dropping an attention probability.
    """
    # Under autocast the values come from a product in half precision, queries and keys perhaps not.
    q, k = q.to(v.dtype), k.to(v.dtype)
    spec = MaskSpec(causal=causal, window=window)
    out: Tensor = _Documents.apply(q, k, v, lengths, spec, scale, dropout_p)  # type: ignore[no-untyped-call]
    return out


class _Documents(torch.autograd.Function):
    """With P = softmax(scale · QKᵀ), D the dropout's factors and O = (P ∘ D) V:
    dS = (P ∘ D) ∘ (dO Vᵀ) - P · rowsum(dO ∘ O), for rowsum(dP ∘ P) = rowsum(dO ∘ O) (Dao et al. 2022)."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, lengths: tuple[int, ...], spec: MaskSpec, scale: float, p: float
    ) -> Tensor:
        out = _token_major(v)
        saved = list[Tensor]()
        with torch.autocast("cpu", enabled=False):
            for group in _groups(lengths, q.shape[1]):
                qi, ki, vi = (_gather(x, group) for x in (q, k, v))
                qi.mul_(scale)
                bar = _bar(group, q.shape[1], spec, v.dtype)
                scores = torch.bmm(qi, ki.mT)
                if bar is not None:
                    scores += bar
                prob = torch.softmax(scores, -1, out=scores)
                drop = prob * dropout_factors(prob.shape, p, dtype=prob.dtype) if p else prob
                oi = torch.bmm(drop, vi)
                _scatter(oi, group, out)
                saved += [qi, ki, vi, oi, prob, drop]
        ctx.save_for_backward(*saved)
        ctx.lengths, ctx.scale, ctx.dropout = lengths, scale, bool(p)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        grad, saved = grads[0], iter(ctx.saved_tensors)
        dtype = ctx.saved_tensors[0].dtype
        dq, dk, dv = (_token_major(grad, dtype) for _ in range(3))
        for group, (qi, ki, vi, oi, prob, drop) in zip(_groups(ctx.lengths, grad.shape[1]), _six(saved), strict=True):
            gi = _gather(grad.to(dtype), group)
            _scatter(torch.bmm(drop.mT, gi), group, dv)
            share = (gi * oi).sum(-1, keepdim=True)
            score = torch.bmm(gi, vi.mT)
            score = score.mul_(drop).addcmul_(prob, share, value=-1) if ctx.dropout else score.sub_(share).mul_(prob)
            _scatter(torch.bmm(score, ki).mul_(ctx.scale), group, dq)
            _scatter(torch.bmm(score.mT, qi), group, dk)
        return dq, dk, dv, None, None, None, None


def _six(saved: Iterator[Tensor]) -> Iterator[tuple[Tensor, ...]]:
    return zip(saved, saved, saved, saved, saved, saved, strict=True)


def _bar(group: _Group, heads: int, spec: MaskSpec, dtype: torch.dtype) -> Tensor | None:
    """-inf where a query must not look, to be added to scores of `[documents · heads, length, length]`; a query of
    the padding looks at whatever its document holds."""
    length = group.length
    allowed = spec.dense(length, length, torch.device("cpu"))
    hidden = None if allowed is None else ~allowed[0]
    if not spec.causal and any(document.length < length for document in group.documents):
        # Before a causal query there is no padding, so only the others need to be kept from it.
        ends = torch.tensor([document.length for document in group.documents]).repeat_interleave(heads)
        padding = (torch.arange(length) >= ends[:, None])[:, None]
        hidden = padding if hidden is None else _or_padding(hidden, padding)
    return None if hidden is None else torch.zeros(hidden.shape, dtype=dtype).masked_fill_(hidden, -math.inf)


def _or_padding(hidden: Bool[Tensor, "1 n n"], padding: Bool[Tensor, "rows 1 n"]) -> Bool[Tensor, "rows n n"]:
    both = hidden | padding
    return both & ~both.all(-1, keepdim=True)


def _gather(x: Tensor, group: _Group) -> Tensor:
    """The group's rows of `[1, heads, total, head_dim]`, padded by zeros: `[documents · heads, length, head_dim]`."""
    _, heads, _, width = x.shape
    rows = x.new_empty(len(group.documents), heads, group.length, width)
    for row, (start, length) in zip(rows, group.documents, strict=True):
        row[:, :length] = x[0, :, start : start + length]
        row[:, length:] = 0
    return rows.flatten(0, 1)


def _scatter(rows: Tensor, group: _Group, out: Tensor) -> None:
    """The way back: what `_gather` took, without the padding."""
    for row, (start, length) in zip(rows.chunk(len(group.documents)), group.documents, strict=True):
        out[0, :, start : start + length] = row[:, :length]


def _token_major(like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Room for `like`, with each token's heads side by side, as the projections around attention lay them."""
    batch, heads, total, width = like.shape
    return torch.empty(batch, total, heads, width, dtype=dtype or like.dtype).transpose(1, 2)
