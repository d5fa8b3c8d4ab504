"""Multi-head attention: projections, rotation and cache around `attend`. One class for every family."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from sensorium.core.attend import Attend, Backend, attend, for_graphs
from sensorium.core.cache import CrossMemory, KVCache
from sensorium.core.capture import Capture
from sensorium.core.config import AttentionConfig
from sensorium.core.dropout import Dropout
from sensorium.core.linear import Linear, for_products
from sensorium.core.mask import MaskSpec
from sensorium.core.norm import build_norm
from sensorium.core.position import Angles, rotate


@dataclass(frozen=True, eq=False)
class Source:
    """What the cross-attention of a pass reads, and what of it each query may see."""

    spec: MaskSpec
    read: Float[Tensor, "sources keys dim"] | CrossMemory
    """An encoder's hidden states, or the keys and values that were made of them before."""


@dataclass(frozen=True, eq=False)
class Pass:
    """What is the same for all layers of one forward pass, computed once by the `Stack`."""

    masks: dict[int | None, MaskSpec]
    """By window."""
    angles: Angles | None = None
    cache: KVCache | None = None
    backend: Backend = "auto"
    capture: Capture | None = None
    local_angles: Angles | None = None
    """Of the layers with a window, where they have their own."""
    bias: Float[Tensor, "#batch heads queries keys"] | None = None
    """Added to the scores of self-attention."""
    source: Source | None = None


class Attention(nn.Module):
    """Queries, keys and values of one sequence, attended and projected back.

    x ─┬─ q ─ heads ─ (norm) ─ rotate ──────────────┐
       ├─ k ─ kv heads ─ (norm) ─ rotate ─ (cache) ─┼─ attend ─ out
       └─ v ─ kv heads ─────────────────── (cache) ─┘
    """

    attend: Attend = staticmethod(attend)

    def __init__(self, config: AttentionConfig, dim: int, layer: int) -> None:
        super().__init__()
        self.config = config
        self.layer = layer
        width, kv_width = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
        self.q = Linear(dim, width, bias=config.q_bias)
        self.k = Linear(dim, kv_width, bias=config.k_bias)
        self.v = Linear(dim, kv_width, bias=config.v_bias)
        self.out = Linear(width, dim, bias=config.out_bias)
        self.dropout = Dropout(config.out_dropout)
        self.q_norm = build_norm(config.qk_norm, config.head_dim) if config.qk_norm else None
        self.k_norm = build_norm(config.qk_norm, config.head_dim) if config.qk_norm else None

    def forward(self, x: Float[Tensor, "batch seq dim"], run: Pass) -> Float[Tensor, "batch seq dim"]:
        x = for_products(x)
        q, k, v = (self._heads(projected) for projected in (self.q(x), self.k(x), self.v(x)))
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        angles = run.angles if self.config.window is None else run.local_angles or run.angles
        if angles is not None:
            q, k = rotate(q, angles), rotate(k, angles)
        if run.cache is not None:
            k, v = run.cache.update(self.layer, k, v)
        keep = run.capture is not None and run.capture.probabilities
        attended, probs = self.attend(
            q,
            k,
            v,
            spec=run.masks[self.config.window],
            scale=self.config.scale,
            bias=run.bias,
            dropout_p=self.config.dropout if self.training else 0.0,
            need_probs=keep,
            backend=run.backend,
        )
        if run.capture is not None and probs is not None:
            run.capture.attention.append(probs)
        out: Tensor = self.dropout(self.out(attended.transpose(1, 2).flatten(2)))
        return out

    def prepare_for_graphs(self) -> None:
        """Before a block is compiled, where it will be."""
        self.attend = for_graphs(self.q.weight.device)

    def _heads(self, x: Float[Tensor, "batch seq width"]) -> Float[Tensor, "batch heads seq head_dim"]:
        return x.view(*x.shape[:-1], -1, self.config.head_dim).transpose(1, 2)
