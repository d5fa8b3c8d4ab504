"""Attention within packed documents where a call costs more than padding: on a GPU, with what its variable-length
kernel does not serve (single precision, a bias, odd sizes of heads).

Unusual: documents are padded only to the longest of those that are at least half as long, so that one long document
does not widen all others. Where each lies is worked out once for a batch, not in every layer. Every batch has shapes of
its own, so cuDNN's attention, which plans anew for each, is left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from sensorium.core.mask import MaskSpec

_KERNELS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
_ALIGNED = 8
"""Keys are padded to a multiple of this many, which the fused kernels ask of a mask."""

Attend = Callable[[Tensor, Tensor, Tensor, MaskSpec, Tensor | None], Tensor]
"""Of queries, keys and values "batch heads seq head_dim", a mask and a bias."""


@dataclass(frozen=True, eq=False)
class _Side:
    """The queries or the keys of a group's documents."""

    source: Int[Tensor, " tokens"]
    """Where each token lies in the packed row."""
    place: Int[Tensor, " tokens"]
    """Where it lies among the padded documents."""
    documents: int
    longest: int
    valid: Bool[Tensor, "documents longest"] | None
    """None where nothing is padded."""

    def spread(self, x: Float[Tensor, "1 heads total width"]) -> Float[Tensor, "documents heads longest width"]:
        rows = x[0].transpose(0, 1).index_select(0, self.source)
        flat = x.new_zeros(self.documents * self.longest, *rows.shape[1:]).index_copy(0, self.place, rows)
        return flat.view(self.documents, self.longest, *rows.shape[1:]).transpose(1, 2)

    def gather(self, x: Float[Tensor, "documents heads longest width"]) -> Float[Tensor, "tokens heads width"]:
        return x.transpose(1, 2).flatten(0, 1).index_select(0, self.place)


def attend_padded(
    q: Float[Tensor, "1 heads total head_dim"],
    k: Float[Tensor, "1 kv_heads keys head_dim"],
    v: Float[Tensor, "1 kv_heads keys head_dim"],
    *,
    spec: MaskSpec,
    bias: Float[Tensor, "1 heads longest longest_keys"] | None,
    attend: Attend,
) -> Float[Tensor, "1 heads total head_dim"]:
    """Attention of each document's queries to its own keys.

    Args:
        q: queries of all documents, end to end.
        k: keys.
        v: values.
        spec: the documents, and who may see whom in each.
        bias: of the longest document; each other takes the leading part.
        attend: attends the padded documents.
    """
    with sdpa_kernel(_KERNELS):
        return _attend(q, k, v, spec, bias, attend)


def _attend(q: Tensor, k: Tensor, v: Tensor, spec: MaskSpec, bias: Tensor | None, attend: Attend) -> Tensor:
    lengths = spec.lengths or ()
    out = torch.empty_like(q[0].transpose(0, 1))
    for queries, keys in _groups(lengths, spec.key_lengths or lengths, q.device):
        # Keys after a causal query are barred already, and all padding lies after.
        valid = None if spec.causal else keys.valid
        alone = MaskSpec(causal=spec.causal, window=spec.window, key_valid=valid)
        corner = None if bias is None else _padded(bias[:, :, : queries.longest, : keys.longest], queries, keys)
        found = attend(queries.spread(q), keys.spread(k), keys.spread(v), alone, corner)
        out = out.index_copy(0, queries.source, queries.gather(found).to(out.dtype))
    return out.transpose(0, 1)[None]


def _padded(bias: Tensor, queries: _Side, keys: _Side) -> Tensor:
    """To the size of a group's scores, where it is of fewer."""
    return F.pad(bias, (0, keys.longest - bias.shape[3], 0, queries.longest - bias.shape[2]))


@lru_cache(maxsize=16)
def _groups(
    lengths: tuple[int, ...], key_lengths: tuple[int, ...], device: torch.device
) -> tuple[tuple[_Side, _Side], ...]:
    """Documents of like lengths together; the same for all layers of a pass, so the last few answers are kept."""
    by_size = defaultdict[int, list[int]](list)
    for document, (queries, keys) in enumerate(zip(lengths, key_lengths, strict=True)):
        by_size[max(queries, keys).bit_length()].append(document)
    # Leaving inference mode keeps the cached tensors usable in a later training step.
    with torch.inference_mode(False):
        return tuple((_side(lengths, group, device), _side(key_lengths, group, device)) for group in by_size.values())


def _side(lengths: tuple[int, ...], group: list[int], device: torch.device) -> _Side:
    starts, sizes = np.cumsum((0, *lengths[:-1])), np.asarray([lengths[document] for document in group])
    longest = -(-max(int(sizes.max()), 1) // _ALIGNED) * _ALIGNED
    row = np.repeat(np.arange(len(group)), sizes)
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)

    def moved(x: np.ndarray) -> Tensor:
        return torch.from_numpy(x).to(device)

    valid = None if (sizes == longest).all() else moved(np.arange(longest) < sizes[:, None])
    return _Side(moved(starts[group][row] + within), moved(row * longest + within), len(group), longest, valid)
