"""Multi-head attention: projections, rotation and cache around `attend`. One class for every family."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from sensorium.core.attend import Backend, attend
from sensorium.core.cache import KVCache
from sensorium.core.capture import Capture
from sensorium.core.config import AttentionConfig
from sensorium.core.linear import Linear, for_products
from sensorium.core.mask import MaskSpec
from sensorium.core.norm import build_norm
from sensorium.core.position import Angles, rotate


@dataclass(frozen=True, eq=False)
class Pass:
    """What is the same for all layers of one forward pass, computed once by the `Stack`."""

    masks: dict[int | None, MaskSpec]
    """By window."""
    angles: Angles | None = None
    cache: KVCache | None = None
    backend: Backend = "auto"
    capture: Capture | None = None


class Attention(nn.Module):
    """Queries, keys and values of one sequence, attended and projected back.

    x ─┬─ q ─ heads ─ (norm) ─ rotate ──────────────┐
       ├─ k ─ kv heads ─ (norm) ─ rotate ─ (cache) ─┼─ attend ─ out
       └─ v ─ kv heads ─────────────────── (cache) ─┘
    """

    def __init__(self, config: AttentionConfig, dim: int, layer: int) -> None:
        super().__init__()
        self.config = config
        self.layer = layer
        width, kv_width = config.n_heads * config.head_dim, config.n_kv_heads * config.head_dim
        self.q = Linear(dim, width, bias=config.q_bias)
        self.k = Linear(dim, kv_width, bias=config.k_bias)
        self.v = Linear(dim, kv_width, bias=config.v_bias)
        self.out = Linear(width, dim, bias=config.out_bias)
        self.q_norm = build_norm(config.qk_norm, config.head_dim) if config.qk_norm else None
        self.k_norm = build_norm(config.qk_norm, config.head_dim) if config.qk_norm else None

    def forward(self, x: Float[Tensor, "batch seq dim"], run: Pass) -> Float[Tensor, "batch seq dim"]:
        x = for_products(x)
        q, k, v = (self._heads(projected) for projected in (self.q(x), self.k(x), self.v(x)))
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if run.angles is not None:
            q, k = rotate(q, run.angles), rotate(k, run.angles)
        if run.cache is not None:
            k, v = run.cache.update(self.layer, k, v)
        keep = run.capture is not None and run.capture.probabilities
        attended, probs = attend(
            q,
            k,
            v,
            spec=run.masks[self.config.window],
            scale=self.config.scale,
            dropout_p=self.config.dropout if self.training else 0.0,
            need_probs=keep,
            backend=run.backend,
        )
        if run.capture is not None and probs is not None:
            run.capture.attention.append(probs)
        out: Tensor = self.out(attended.transpose(1, 2).flatten(2))
        return out

    def _heads(self, x: Float[Tensor, "batch seq width"]) -> Float[Tensor, "batch heads seq head_dim"]:
        return x.view(*x.shape[:-1], -1, self.config.head_dim).transpose(1, 2)
