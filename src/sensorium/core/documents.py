"""Attention within packed documents, for training on a CPU.

PyTorch's fused operator has no dropout on a CPU, and it trails the plain products on short documents. These are the
plain products, and their derivative written out.

Unusual: documents of about the same length are padded to a common one and attended in one product, and all of them
are laid out so, and back, by one copy a tensor. A half-precision product of a new shape costs more to plan than to
compute, so there lengths are rounded to a few.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sensorium.core.dropout import dropout_factors
from sensorium.core.mask import MaskSpec

_STEPS = ((32, 8), (64, 16))
"""In fp32, up to what length it is rounded up to a multiple of what; beyond, and in half precision, of 32."""
_STEP = 32
_SCORES = 1 << 22
"""Scores of one product, at most."""


@dataclass(frozen=True, eq=False)
class _Side:
    """The queries or the keys of all documents: rows of one token's one head, document by document, in each of which
    a head's tokens lie side by side."""

    place: Int[Tensor, " rows"]
    """For each token's each head, its row among them."""
    rows: int
    """With the padding."""

    def gather(self, x: Float[Tensor, "1 heads tokens width"]) -> Float[Tensor, "rows width"]:
        """The rows, padded by zeros."""
        rows = x.new_zeros(self.rows, x.shape[3])
        return rows.index_copy_(0, self.place, x.transpose(1, 2).reshape(-1, x.shape[3]))

    def scatter(self, rows: Float[Tensor, "rows width"], heads: int) -> Float[Tensor, "1 heads tokens width"]:
        """The way back, without the padding; each token's heads lie side by side, as the projections around attention
        lay them."""
        return rows.index_select(0, self.place).view(1, -1, heads, rows.shape[1]).transpose(1, 2)


@dataclass(frozen=True, eq=False)
class _Group:
    """Documents that are attended in one product."""

    count: int
    """Documents times heads."""
    queries: int
    """Tokens of each, with the padding."""
    keys: int
    ends: Int[Tensor, " count"] | None
    """Where the keys of each end, if any is padded."""


@dataclass(frozen=True, eq=False)
class _Layout:
    """Every document once."""

    queries: _Side
    keys: _Side
    groups: tuple[_Group, ...]


def _rounded(length: int, *, half: bool) -> int:
    step = next((step for most, step in _STEPS if length <= most and not half), _STEP)
    return -(-length // step) * step


@lru_cache(maxsize=16)
def _layout(lengths: tuple[int, ...], key_lengths: tuple[int, ...], heads: int, half: bool) -> _Layout:
    """The same for all layers of a pass, so the last few answers are kept."""
    by_size = dict[tuple[int, int], list[int]]()
    for document, (queries, keys) in enumerate(zip(lengths, key_lengths, strict=True)):
        by_size.setdefault((_rounded(queries, half=half), _rounded(keys, half=half)), []).append(document)
    groups, order, padded = list[_Group](), list[int](), list[tuple[int, int]]()
    for (queries, keys), documents in by_size.items():
        most = max(1, _SCORES // max(1, heads * queries * keys))  # a document may have no keys
        for first in range(0, len(documents), most):
            chosen = documents[first : first + most]
            own = [key_lengths[document] for document in chosen]
            ends = torch.tensor(own).repeat_interleave(heads) if min(own) < keys else None
            groups.append(_Group(len(chosen) * heads, queries, keys, ends))
            order += chosen
            padded += [(queries, keys)] * len(chosen)
    sides = zip((lengths, key_lengths), zip(*padded, strict=True), strict=True)
    query_side, key_side = (_side(own, order, wide, heads) for own, wide in sides)
    return _Layout(query_side, key_side, tuple(groups))


def _side(lengths: tuple[int, ...], order: list[int], padded: tuple[int, ...], heads: int) -> _Side:
    """Documents in another order, each of a padded length."""
    width = np.empty(len(order), dtype=np.int64)
    first = np.empty_like(width)
    width[order] = padded
    first[order] = np.cumsum(padded) - padded
    own = np.array(lengths)
    document = np.repeat(np.arange(len(own)), own)
    token = np.arange(own.sum()) - np.repeat(np.cumsum(own) - own, own)
    row = heads * first[document][:, None] + np.arange(heads) * width[document][:, None] + token[:, None]
    return _Side(torch.from_numpy(row.ravel()), heads * int(sum(padded)))


def attend_documents(
    q: Float[Tensor, "1 heads total head_dim"],
    k: Float[Tensor, "1 heads keys head_dim"],
    v: Float[Tensor, "1 heads keys head_dim"],
    *,
    spec: MaskSpec,
    scale: float,
    dropout_p: float,
    bias: Float[Tensor, "1 heads longest longest_keys"] | None = None,
) -> Float[Tensor, "1 heads total head_dim"]:
    """Attention within each of the documents that lie end to end, or of each to the keys that are its own.

    The probabilities are held until the backward pass: memory grows with the squares of the lengths.

    Args:
        q: queries.
        k: keys.
        v: values.
        spec: the documents, and who may see whom in each.
        scale: multiplies the scores.
        dropout_p: probability of dropping an attention probability.
        bias: added to the scaled scores of the longest document; each other takes the leading part.
    """
    # Under autocast the values come from a product in half precision, queries and keys perhaps not.
    q, k = q.to(v.dtype), k.to(v.dtype)
    bias = None if bias is None else bias.to(v.dtype)
    out: Tensor = _Documents.apply(q, k, v, bias, spec, scale, dropout_p)  # type: ignore[no-untyped-call]
    return out


class _Documents(torch.autograd.Function):
    """With P = softmax(scale · QKᵀ + B), D the dropout's factors and O = (P ∘ D) V:
    dS = (P ∘ D) ∘ (dO Vᵀ) - P · rowsum(dO ∘ O), for rowsum(dP ∘ P) = rowsum(dO ∘ O) (Dao et al. 2022)."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, spec: MaskSpec, scale: float, p: float
    ) -> Tensor:
        lengths = spec.lengths or ()
        layout = _layout(lengths, spec.key_lengths or lengths, q.shape[1], v.dtype != torch.float32)
        alone = MaskSpec(causal=spec.causal, window=spec.window)
        queries, keys, values = layout.queries.gather(q), layout.keys.gather(k), layout.keys.gather(v)
        queries.mul_(scale)
        attended = torch.empty_like(queries)
        kept = list[Tensor]()
        with torch.autocast("cpu", enabled=False):
            for group, (qi, oi), (ki, vi) in _by_group(layout, (queries, attended), (keys, values)):
                bar = _bar(group, alone, v.dtype)
                scores = torch.bmm(qi, ki.mT)
                if bias is not None:
                    _add_corner(scores, bias)
                if bar is not None:
                    scores += bar
                prob = torch.softmax(scores, -1, out=scores)
                drop = prob * dropout_factors(prob.shape, p, dtype=prob.dtype) if p else prob
                torch.bmm(drop, vi, out=oi)
                kept += [prob, drop]
        ctx.save_for_backward(queries, keys, values, attended, *kept)
        ctx.layout, ctx.scale, ctx.dropout, ctx.heads = layout, scale, bool(p), q.shape[1]
        ctx.bias_shape = None if bias is None else bias.shape
        return layout.queries.scatter(attended, q.shape[1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors  # asked for once: under gradient checkpointing each asking computes them anew
        queries, keys, values, attended, *kept = tensors
        layout: _Layout = ctx.layout
        grad = layout.queries.gather(grads[0].to(queries.dtype))
        share = (grad * attended).sum(-1, keepdim=True)
        dq, dk, dv = torch.empty_like(queries), torch.empty_like(keys), torch.empty_like(values)
        db = None if ctx.bias_shape is None else grad.new_zeros(ctx.bias_shape)
        parts = _by_group(layout, (queries, grad, share, dq), (keys, values, dk, dv))
        saved = zip(kept[::2], kept[1::2], strict=True)
        for (_, (qi, gi, own, dqi), (ki, vi, dki, dvi)), (prob, drop) in zip(parts, saved, strict=True):
            torch.bmm(drop.mT, gi, out=dvi)
            score = torch.bmm(gi, vi.mT)
            score = score.mul_(drop).addcmul_(prob, own, value=-1) if ctx.dropout else score.sub_(own).mul_(prob)
            if db is not None:
                _sum_corner(score, db)
            torch.bmm(score, ki, out=dqi)
            torch.bmm(score.mT, qi, out=dki)
        dq.mul_(ctx.scale)
        dq, dk, dv = (
            side.scatter(rows, ctx.heads) for side, rows in ((layout.queries, dq), (layout.keys, dk), (layout.keys, dv))
        )
        return dq, dk, dv, db, None, None, None


def _by_group(
    layout: _Layout, queries: tuple[Tensor, ...], keys: tuple[Tensor, ...]
) -> Iterator[tuple[_Group, list[Tensor], list[Tensor]]]:
    """Of every group its documents' part of the rows, as `[documents · heads, length, width]`."""
    first = key_first = 0
    for group in layout.groups:
        rows, key_rows = group.count * group.queries, group.count * group.keys
        yield (
            group,
            [x[first : first + rows].view(group.count, group.queries, x.shape[1]) for x in queries],
            [x[key_first : key_first + key_rows].view(group.count, group.keys, x.shape[1]) for x in keys],
        )
        first, key_first = first + rows, key_first + key_rows


def _add_corner(scores: Tensor, bias: Tensor) -> None:
    """Scores of `[documents · heads, length, keys]` plus the bias, as far as both reach: beyond lies padding."""
    rows, columns = min(scores.shape[1], bias.shape[2]), min(scores.shape[2], bias.shape[3])
    heads = bias.shape[1]
    by_document = scores.view(len(scores) // heads, heads, *scores.shape[1:])
    by_document[..., :rows, :columns] += bias[:, :, :rows, :columns]


def _sum_corner(score: Tensor, total: Tensor) -> None:
    """The way back: the derivatives of all documents' scores, which are 0 at the padding, summed into the bias's."""
    rows, columns = min(score.shape[1], total.shape[2]), min(score.shape[2], total.shape[3])
    heads = total.shape[1]
    summed = score.view(len(score) // heads, heads, *score.shape[1:]).sum(0)
    total[0, :, :rows, :columns] += summed[:, :rows, :columns]


def _bar(group: _Group, alone: MaskSpec, dtype: torch.dtype) -> Tensor | None:
    """-inf where a query must not look, to be added to scores of `[documents · heads, length, keys]`; a query of
    the padding looks at whatever its document holds."""
    allowed = alone.dense(group.queries, group.keys, torch.device("cpu"))
    hidden = None if allowed is None else ~allowed[0]
    if not alone.causal and group.ends is not None:
        # Before a causal query there is no padding, so only the others need to be kept from it.
        padding = (torch.arange(group.keys) >= group.ends[:, None])[:, None]
        hidden = padding if hidden is None else _or_padding(hidden, padding)
    return None if hidden is None else torch.zeros(hidden.shape, dtype=dtype).masked_fill_(hidden, -math.inf)


def _or_padding(hidden: Bool[Tensor, "1 n n"], padding: Bool[Tensor, "rows 1 n"]) -> Bool[Tensor, "rows n n"]:
    both = hidden | padding
    return both & ~both.all(-1, keepdim=True)
