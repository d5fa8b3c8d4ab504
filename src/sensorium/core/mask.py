"""Who may see whom: a small description, built once a forward pass, that each back-end turns into its own form.

One definition of every term, for all back-ends: True means "may attend"; a window counts the token itself;
`lengths` means documents laid end to end in a batch of one, which never see each other; `key_lengths`, that the keys
are other sequences, of which each document sees its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Int
from torch import Tensor

MaskMod = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""FlexAttention's form: (batch, head, query, key) indices to a boolean."""


@dataclass(frozen=True, eq=False)
class Offsets:
    """Where packed documents lie, as a GPU's kernel takes it."""

    queries: Int[Tensor, " documents_and_end"]
    """Where each document's queries begin, and where the last ends; int32."""
    keys: Int[Tensor, " documents_and_end"]
    longest_query: int
    """At least as many as the longest document has."""
    longest_key: int


@dataclass(eq=False)
class MaskSpec:
    """What an attention call may look at.

    Not to be changed; yet not frozen, as `torch.compile` (of PyTorch 2.11) looks into all fields of a frozen one, and
    compiles anew for other `lengths` even where they only pass through.

    Raises:
        ValueError: padding and packing are given together; they exclude each other. Or the keys of other sequences
            are to be seen by their order.
    """

    causal: bool
    window: int | None = None
    """A query sees keys fewer than `window` tokens away: itself and window - 1 before it (and after it, where
    not causal)."""
    key_valid: Bool[Tensor, "batch keys"] | None = None
    """False at padding."""
    lengths: tuple[int, ...] | None = None
    """Tokens of each packed document."""
    key_lengths: tuple[int, ...] | None = None
    """Keys of each packed document, where the keys are other sequences than the queries (cross-attention)."""
    allowed: Bool[Tensor, "batch queries keys"] | None = None
    """Who may see whom, pair by pair, where no simpler rule says it (the branches of a `Tree`)."""
    q_offset: int = 0
    """Place of the first query among the keys: how many keys a cache held before."""
    offsets: Offsets | None = None
    """Of `lengths` (and `key_lengths`), where a kernel takes them (`core/fused_kernels.py`)."""
    _dense: dict[tuple[int, int], Bool[Tensor, "batch 1 queries keys"] | None] = field(default_factory=dict, repr=False)
    _opened: dict[tuple[int, int], tuple[Tensor | None, Tensor | None]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.lengths is not None and (self.key_valid is not None or self.q_offset):
            raise ValueError("packed documents (lengths) exclude padding (key_valid) and a cache (q_offset)")
        if self.key_lengths is None:
            return
        if self.lengths is None or len(self.lengths) != len(self.key_lengths):
            raise ValueError("key_lengths are of as many documents as lengths")
        if self.causal or self.window is not None:
            raise ValueError("keys of other sequences (key_lengths) have no order to see them by")

    def with_window(self, window: int | None) -> MaskSpec:
        """The same mask with another window (layers of one model may differ in it)."""
        return self if window == self.window else replace(self, window=window, _dense={}, _opened={})

    def dense(self, n_queries: int, n_keys: int, device: torch.device) -> Bool[Tensor, "batch 1 queries keys"] | None:
        """The whole mask as booleans, or None where everything may be seen. Computed once, then remembered."""
        shape = (n_queries, n_keys)
        if shape not in self._dense:
            self._dense[shape] = self._build_dense(n_queries, n_keys, device)
        return self._dense[shape]

    def _build_dense(
        self, n_queries: int, n_keys: int, device: torch.device
    ) -> Bool[Tensor, "batch 1 queries keys"] | None:
        query = torch.arange(n_queries, device=device)[:, None] + self.q_offset
        key = torch.arange(n_keys, device=device)[None, :]
        parts = []
        if self.causal and not (n_queries == 1 and self.q_offset == n_keys - 1):
            parts.append(key <= query)
        if self.window is not None and self.window < n_keys:
            parts.append((query - key).abs() < self.window)
        if self.lengths is not None:
            parts.append(self.document_ids(device)[:, None] == self.key_document_ids(device)[None, :])
        if self.key_valid is not None:
            parts.append(self.key_valid[:, None, None, :])
        if self.allowed is not None:
            parts.append(self.allowed[:, None])
        if not parts:
            return None
        allowed = parts[0]
        for part in parts[1:]:
            allowed = allowed & part
        return allowed if allowed.dim() == 4 else allowed[None, None]

    def opened(
        self, n_queries: int, n_keys: int, device: torch.device
    ) -> tuple[Bool[Tensor, "batch 1 queries keys"] | None, Bool[Tensor, "batch 1 queries 1"] | None]:
        """`dense` for a kernel that gives NaN for a query without a single key: such queries may see all in it, and are
        named beside it, to be closed in the result; None where there are none. Computed once, then remembered."""
        shape = (n_queries, n_keys)
        if shape not in self._opened:
            self._opened[shape] = self._open(n_queries, n_keys, device)
        return self._opened[shape]

    def _open(self, n_queries: int, n_keys: int, device: torch.device) -> tuple[Tensor | None, Tensor | None]:
        allowed = self.dense(n_queries, n_keys, device)
        if allowed is None or (self.key_valid is None and self.key_lengths is None):
            return allowed, None
        blind = ~allowed.any(-1, keepdim=True)
        # Asking a GPU would cost more than it saves.
        if device.type == "cpu" and not torch.compiler.is_compiling() and not bool(blind.any()):
            return allowed, None
        return allowed | blind, blind

    def document_ids(self, device: torch.device) -> Int[Tensor, " total"]:
        """For every packed query, the number of its document."""
        return _numbered(self.lengths, device)

    def key_document_ids(self, device: torch.device) -> Int[Tensor, " total"]:
        """For every packed key, the number of its document."""
        return _numbered(self.lengths if self.key_lengths is None else self.key_lengths, device)

    def mask_mod(self, device: torch.device) -> MaskMod:
        """The mask as FlexAttention's function of indices, from small ones that must all hold."""
        from torch.nn.attention.flex_attention import and_masks, noop_mask

        offset, mods = self.q_offset, list[MaskMod]()
        if self.causal:
            mods.append(lambda batch, head, query, key: query + offset >= key)
        if (window := self.window) is not None:
            mods.append(lambda batch, head, query, key: (query + offset - key).abs() < window)
        if self.lengths is not None:
            document, of_key = self.document_ids(device), self.key_document_ids(device)
            mods.append(lambda batch, head, query, key: document[query] == of_key[key])
        if (valid := self.key_valid) is not None:
            mods.append(lambda batch, head, query, key: valid[batch, key])
        if (allowed := self.allowed) is not None:
            mods.append(lambda batch, head, query, key: allowed[batch, query, key])
        return and_masks(*mods) if mods else noop_mask


def _numbered(lengths: tuple[int, ...] | None, device: torch.device) -> Tensor:
    if lengths is None:
        raise ValueError("document_ids: the batch is not packed")
    counts = torch.tensor(lengths, device=device)
    return torch.repeat_interleave(torch.arange(len(lengths), device=device), counts)
