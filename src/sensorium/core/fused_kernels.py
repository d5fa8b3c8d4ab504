"""Attention within packed documents as one call on a GPU in half precision, with dropout and windows.

Unusual: PyTorch's public variable-length operator has no dropout. Here is called what stands behind it and behind
nested tensors: the operator that takes the documents' offsets. `torch.compile` goes through it.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from sensorium.core.mask import MaskSpec, Offsets

_ROUND = 64
"""The longest document is told to the kernel rounded up to a multiple of this, so that a graph serves many batches."""


@lru_cache(maxsize=16)
def offsets(lengths: tuple[int, ...], key_lengths: tuple[int, ...] | None, device: torch.device) -> Offsets | None:
    """Where packed documents begin, for `MaskSpec.offsets`; None where the kernel does not serve them: on a CPU, on a
    GPU before Ampere, and if one has nothing to read.

    The same for all layers of a pass, so the last few answers are kept.
    """
    key_lengths = lengths if key_lengths is None else key_lengths
    if device.type != "cuda" or not min(lengths + key_lengths, default=0):
        return None
    if torch.cuda.get_device_capability(device) < (8, 0):
        return None
    # Leaving inference mode keeps the cached tensors usable in a later training step.
    with torch.inference_mode(False):
        starts, key_starts = (_cumulated(each, device) for each in (lengths, key_lengths))
    longest, longest_key = (-(-max(each) // _ROUND) * _ROUND for each in (lengths, key_lengths))
    return Offsets(starts, key_starts, longest, longest_key)


def _cumulated(lengths: tuple[int, ...], device: torch.device) -> Tensor:
    sizes = torch.tensor((0, *lengths), dtype=torch.int32)
    return sizes.cumsum(0, dtype=torch.int32).to(device)


def serves(q: Tensor, spec: MaskSpec, bias: Tensor | None) -> bool:
    """Whether the kernel takes this request."""
    half = q.dtype in (torch.bfloat16, torch.float16)
    return half and spec.offsets is not None and bias is None and q.shape[3] % 8 == 0 and q.shape[3] <= 256


def attend_fused(
    q: Float[Tensor, "1 heads total head_dim"],
    k: Float[Tensor, "1 heads keys head_dim"],
    v: Float[Tensor, "1 heads keys head_dim"],
    *,
    spec: MaskSpec,
    scale: float,
    dropout_p: float,
) -> Float[Tensor, "1 heads total head_dim"]:
    """Attention of each document's queries to its own keys (Dao 2023).

    Args:
        q: queries of all documents, end to end, on a GPU.
        k: keys, as many heads.
        v: values.
        spec: what `serves` says yes to.
        scale: of the scores.
        dropout_p: share of the attention that is dropped.
    """
    at = spec.offsets
    if at is None:
        raise ValueError("attend_fused takes documents with offsets")
    query, key, value = (x[0].transpose(0, 1).contiguous() for x in (q, k, v))
    ends = (at.queries, at.keys, at.longest_query, at.longest_key)
    flash = torch.ops.aten._flash_attention_forward
    if spec.window is None:
        rows: Tensor = flash(query, key, value, *ends, dropout_p, spec.causal, False, scale=scale)[0]
    else:
        beside = spec.window - 1  # its windows count the tokens beside the query
        rows = flash(
            query, key, value, *ends, dropout_p, False, False, scale=scale,
            window_size_left=beside, window_size_right=0 if spec.causal else beside,
        )[0]  # fmt: skip
    return rows.transpose(0, 1)[None]
