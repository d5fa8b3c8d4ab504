"""Who may see whom: a small description, built once a forward pass, that each back-end turns into its own form.

One definition of every term, for all back-ends: True means "may attend"; a window counts the token itself;
`lengths` means documents laid end to end in a batch of one, which never see each other.
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
class MaskSpec:
    """What an attention call may look at.

    Raises:
        ValueError: padding and packing are given together; they exclude each other.
    """

    causal: bool
    window: int | None = None
    """A query sees keys fewer than `window` tokens away: itself and window - 1 before it (and after it, where
    not causal)."""
    key_valid: Bool[Tensor, "batch keys"] | None = None
    """False at padding."""
    lengths: tuple[int, ...] | None = None
    """Tokens of each packed document."""
    q_offset: int = 0
    """Place of the first query among the keys: how many keys a cache held before."""
    _dense: dict[tuple[int, int], Bool[Tensor, "batch 1 queries keys"] | None] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.lengths is not None and (self.key_valid is not None or self.q_offset):
            raise ValueError("packed documents (lengths) exclude padding (key_valid) and a cache (q_offset)")

    def with_window(self, window: int | None) -> MaskSpec:
        """The same mask with another window (layers of one model may differ in it)."""
        return self if window == self.window else replace(self, window=window, _dense={})

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
            document = self.document_ids(device)
            parts.append(document[:, None] == document[None, :])
        if self.key_valid is not None:
            parts.append(self.key_valid[:, None, None, :])
        if not parts:
            return None
        allowed = parts[0]
        for part in parts[1:]:
            allowed = allowed & part
        return allowed if allowed.dim() == 4 else allowed[None, None]

    def document_ids(self, device: torch.device) -> Int[Tensor, " total"]:
        """For every packed token, the number of its document."""
        if self.lengths is None:
            raise ValueError("document_ids: the batch is not packed")
        counts = torch.tensor(self.lengths, device=device)
        return torch.repeat_interleave(torch.arange(len(self.lengths), device=device), counts)

    def mask_mod(self, device: torch.device) -> MaskMod:
        """The mask as FlexAttention's function of indices, from small ones that must all hold."""
        from torch.nn.attention.flex_attention import and_masks, noop_mask

        offset, mods = self.q_offset, list[MaskMod]()
        if self.causal:
            mods.append(lambda batch, head, query, key: query + offset >= key)
        if (window := self.window) is not None:
            mods.append(lambda batch, head, query, key: (query + offset - key).abs() < window)
        if self.lengths is not None:
            document = self.document_ids(device)
            mods.append(lambda batch, head, query, key: document[query] == document[key])
        if (valid := self.key_valid) is not None:
            mods.append(lambda batch, head, query, key: valid[batch, key])
        return and_masks(*mods) if mods else noop_mask
