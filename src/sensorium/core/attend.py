"""softmax(QKᵀ · scale) V, once to be read and three times to be fast.

`eager` is the formula itself: the reference that the tests hold the others to, and the only one that returns
the probabilities. `sdpa` is PyTorch's fused operator, `flex` FlexAttention, `varlen` runs packed documents with no
padding: by PyTorch's kernel for such on CUDA in half precision, one fused call a document on a CPU; where neither
serves, documents of like lengths are padded to one.

`auto` chooses by the request; a back-end asked for by name serves the request or raises, and never falls back.
A query that may see no key at all (left padding) gives zeros in every back-end.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sensorium.core import fused_kernels
from sensorium.core.documents import attend_documents
from sensorium.core.mask import MaskSpec
from sensorium.core.pack import restart
from sensorium.core.padded import attend_padded
from sensorium.errors import CapabilityError

_SHORT = 512
"""Tokens of a document whose scores may be held at once in training."""
_MANY, _VERY_SHORT = 8, 64
"""So many documents of so many tokens, on average, are attended faster in groups than one by one."""

Backend = Literal["auto", "eager", "sdpa", "flex", "varlen"]
Queries = Float[Tensor, "batch heads queries head_dim"]
Keys = Float[Tensor, "batch kv_heads keys head_dim"]
Scores = Float[Tensor, "batch heads queries keys"]
Bias = Float[Tensor, "#batch heads bias_queries bias_keys"]
Attend = Callable[..., tuple[Tensor, Tensor | None]]
"""`attend`, and what stands for it in graphs."""


def attend(
    q: Queries,
    k: Keys,
    v: Keys,
    *,
    spec: MaskSpec,
    scale: float | None = None,
    bias: Bias | None = None,
    dropout_p: float = 0.0,
    need_probs: bool = False,
    backend: Backend = "auto",
) -> tuple[Queries, Scores | None]:
    """Scaled dot-product attention (Vaswani et al. 2017) with grouped keys and values (Ainslie et al. 2023).

    Args:
        q: queries.
        k: keys; `heads` is a multiple of `kv_heads`, and query head h reads key head h // (heads / kv_heads).
        v: values.
        spec: who may see whom.
        scale: multiplies the scores; None means 1/sqrt(head_dim).
        bias: added to the scaled scores before the softmax. Of packed documents, it is that of the longest one, of
            which each takes the leading part.
        dropout_p: probability of dropping an attention probability; 0 outside training.
        need_probs: also return the probabilities (before dropout); only `eager` can.
        backend: which implementation; see the module's text.

    Returns:
        The attended values, and the probabilities if asked for.

    Raises:
        CapabilityError: the back-end asked for by name cannot serve this request.
    """
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    chosen = _choose(spec, need_probs) if backend == "auto" else backend
    if need_probs and chosen != "eager":
        raise CapabilityError(f"attention back-end {chosen!r} returns no probabilities", fix="Use 'eager' or 'auto'")
    match chosen:
        case "eager":
            out, probs = _eager(q, k, v, spec, scale, bias, dropout_p)
            return out, probs if need_probs else None
        case "sdpa":
            return _sdpa(q, k, v, spec, scale, bias, dropout_p), None
        case "flex":
            return _flex(q, k, v, spec, scale, bias, dropout_p), None
        case "varlen":
            return _varlen(q, k, v, spec, scale, bias, dropout_p), None
        case other:
            raise CapabilityError(f"unknown attention back-end {other!r}", fix="Known: auto, eager, sdpa, flex, varlen")


def for_graphs(device: torch.device) -> Attend:
    """`attend`, as it is called in what `torch.compile` compiles.

    Packed documents have other lengths in every batch, and attention to them would be compiled anew each time. So only
    what takes their offsets as a tensor is part of a graph, and all else is called from it.
    """
    outside: Attend = torch.compiler.disable(attend)  # type: ignore[no-untyped-call]

    def within(
        q: Queries,
        k: Keys,
        v: Keys,
        *,
        spec: MaskSpec,
        scale: float | None = None,
        bias: Bias | None = None,
        dropout_p: float = 0.0,
        need_probs: bool = False,
        backend: Backend = "auto",
    ) -> tuple[Queries, Scores | None]:
        if backend == "auto" and not need_probs and fused_kernels.serves(q, spec, bias):
            return _fused(q, k, v, spec, 1 / math.sqrt(q.shape[-1]) if scale is None else scale, dropout_p), None
        return outside(
            q, k, v, spec=spec, scale=scale, bias=bias, dropout_p=dropout_p, need_probs=need_probs, backend=backend
        )

    return outside if device.type == "cpu" else within


def _choose(spec: MaskSpec, need_probs: bool) -> Backend:
    if need_probs:
        return "eager"
    return "sdpa" if spec.lengths is None else "varlen"


def _eager(
    q: Queries, k: Keys, v: Keys, spec: MaskSpec, scale: float, bias: Bias | None, dropout_p: float
) -> tuple[Queries, Scores]:
    """The formula, written to be read."""
    k, v = _one_a_query_head(q, k), _one_a_query_head(q, v)
    scores = q @ k.transpose(-1, -2) * scale
    if bias is not None:
        scores = scores + _spread(bias, spec)
    allowed = spec.dense(q.shape[2], k.shape[2], q.device)
    if allowed is not None:
        scores = scores.masked_fill(~allowed, -math.inf)
    probs = scores.softmax(dim=-1, dtype=torch.float32).to(q.dtype)
    if allowed is not None:
        probs = probs.masked_fill(~allowed.any(-1, keepdim=True), 0.0)
    return F.dropout(probs, dropout_p) @ v, probs


def _spread(bias: Bias, spec: MaskSpec) -> Float[Tensor, "#batch heads queries keys"]:
    """The bias of every pair of packed tokens, of which the mask bars those of two documents."""
    if spec.lengths is None:
        return bias
    place = restart(spec.lengths, device=bias.device)[0]
    return bias[:, :, place][:, :, :, place]


def _one_a_query_head(q: Queries, x: Keys) -> Float[Tensor, "batch heads keys head_dim"]:
    """Keys or values, repeated for the query heads that share them."""
    groups = q.shape[1] // x.shape[1]
    return x.repeat_interleave(groups, dim=1) if groups > 1 else x


def _sdpa(q: Queries, k: Keys, v: Keys, spec: MaskSpec, scale: float, bias: Bias | None, dropout_p: float) -> Queries:
    n_queries, n_keys = q.shape[2], k.shape[2]
    if n_queries == 1 and bias is None and spec.lengths is None and spec.q_offset == n_keys - 1:
        return _single_query(q, k, v, spec, scale, dropout_p)
    grouped = q.shape[1] != k.shape[1]
    masked = spec.key_valid is not None or spec.lengths is not None or spec.allowed is not None
    plain = not masked and (spec.window is None or spec.window >= n_keys)
    if bias is None and plain and spec.q_offset == 0 and (n_queries == n_keys or not spec.causal):
        return F.scaled_dot_product_attention(
            q, k, v, dropout_p=dropout_p, is_causal=spec.causal, scale=scale, enable_gqa=grouped
        )
    mask, blind = spec.opened(n_queries, n_keys, q.device)
    merged = mask
    if bias is not None:
        spread = _spread(bias, spec).to(q.dtype)  # under autocast only the queries are in half precision
        merged = spread if mask is None else spread.masked_fill(~mask, -math.inf)
    out = F.scaled_dot_product_attention(
        q, k, v, attn_mask=merged, dropout_p=dropout_p, scale=scale, enable_gqa=grouped
    )
    return out if blind is None else out.masked_fill(blind, 0.0)


def _single_query(q: Queries, k: Keys, v: Keys, spec: MaskSpec, scale: float, dropout_p: float) -> Queries:
    """One decoding step. Query heads that share a key head become its queries, so nothing is repeated."""
    batch, heads, _, head_dim = q.shape
    valid = spec.key_valid
    if spec.window is not None and spec.window < k.shape[2]:
        k, v = k[:, :, -spec.window :], v[:, :, -spec.window :]
        valid = None if valid is None else valid[:, -spec.window :]
    mask = None if valid is None else valid[:, None, None, :]
    grouped = q.view(batch, k.shape[1], -1, head_dim)
    out = F.scaled_dot_product_attention(grouped, k, v, attn_mask=mask, dropout_p=dropout_p, scale=scale)
    return out.reshape(batch, heads, 1, head_dim)


def _varlen(q: Queries, k: Keys, v: Keys, spec: MaskSpec, scale: float, bias: Bias | None, dropout_p: float) -> Queries:
    if spec.lengths is None:
        raise CapabilityError("attention back-end 'varlen' takes packed documents", fix="Use 'auto'")
    if fused_kernels.serves(q, spec, bias):
        return _fused(q, k, v, spec, scale, dropout_p)
    if q.device.type != "cpu":
        return attend_padded(
            q,
            k,
            v,
            spec=spec,
            bias=bias,
            attend=lambda qi, ki, vi, alone, corner: _sdpa(qi, ki, vi, alone, scale, corner, dropout_p),
        )
    return _one_by_one(q, k, v, spec, spec.lengths, scale, bias, dropout_p)


def _one_by_one(
    q: Queries,
    k: Keys,
    v: Keys,
    spec: MaskSpec,
    lengths: tuple[int, ...],
    scale: float,
    bias: Bias | None,
    dropout_p: float,
) -> Queries:
    """One fused call a document. `split` and `cat` keep the backward pass linear in the number of tokens; the result
    lies token by token, as the projection that follows reads it."""
    key_lengths = spec.key_lengths or lengths
    if q.device.type == "cpu" and (dropout_p or _beyond_fused(v, bias, lengths, key_lengths)):
        k, v = _one_a_query_head(q, k), _one_a_query_head(q, v)
        return attend_documents(q, k, v, spec=spec, scale=scale, bias=bias, dropout_p=dropout_p)
    alone = MaskSpec(causal=spec.causal, window=spec.window)
    parts = zip(
        torch.split(q, list(lengths), dim=2),
        *(torch.split(x, list(key_lengths), dim=2) for x in (k, v)),
        strict=True,
    )
    out = []
    for qi, ki, vi in parts:
        corner = None if bias is None else bias[:, :, : qi.shape[2], : ki.shape[2]]
        out.append(_sdpa(qi, ki, vi, alone, scale, corner, dropout_p).transpose(1, 2))
    return torch.cat(out, dim=1).transpose(1, 2)


def _beyond_fused(v: Keys, bias: Bias | None, lengths: tuple[int, ...], key_lengths: tuple[int, ...]) -> bool:
    """Where PyTorch's fused operator trails the plain products on a CPU: in training, on short documents in half
    precision or with a bias that is learned, and on many that are very short."""
    if not torch.is_grad_enabled():
        return False
    if v.dtype == torch.bfloat16 or (bias is not None and bias.requires_grad):
        return max(lengths + key_lengths) <= _SHORT
    scores = sum(queries * keys for queries, keys in zip(lengths, key_lengths, strict=True))
    return len(lengths) >= _MANY and scores <= _VERY_SHORT**2 * len(lengths)


def _fused(q: Queries, k: Keys, v: Keys, spec: MaskSpec, scale: float, dropout_p: float) -> Queries:
    k, v = _one_a_query_head(q, k), _one_a_query_head(q, v)
    return fused_kernels.attend_fused(q, k, v, spec=spec, scale=scale, dropout_p=dropout_p)


def _flex(q: Queries, k: Keys, v: Keys, spec: MaskSpec, scale: float, bias: Bias | None, dropout_p: float) -> Queries:
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    if dropout_p or bias is not None:
        raise CapabilityError("attention back-end 'flex' takes neither dropout nor a bias", fix="Use 'auto' or 'sdpa'")
    if q.is_cuda and q.shape[3] < 16:
        raise CapabilityError(
            f"attention back-end 'flex' takes heads of 16 dimensions or more on a GPU, not {q.shape[3]}",
            fix="Use 'auto'",
        )
    if not q.is_cuda and torch.is_grad_enabled() and any(x.requires_grad for x in (q, k, v)):
        raise CapabilityError("attention back-end 'flex' has no backward pass on a CPU", fix="Use 'auto' or 'sdpa'")
    block_mask = create_block_mask(
        spec.mask_mod(q.device), q.shape[0], None, q.shape[2], k.shape[2], device=q.device.type
    )
    run = _compiled_flex() if q.is_cuda else flex_attention
    out: Any = run(q, k, v, block_mask=block_mask, scale=scale, enable_gqa=q.shape[1] != k.shape[1])
    return out  # type: ignore[no-any-return]


@cache
def _compiled_flex() -> Any:
    """FlexAttention is fast only when compiled; compiled once, at the first use on a GPU."""
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=True)
