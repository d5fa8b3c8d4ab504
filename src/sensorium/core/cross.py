"""Cross-attention: the queries of one sequence, the keys and values of another (Vaswani et al. 2017).

Unusual: rows of the queries may be several to a source (beams). They become more queries of that one source, so
that its keys and values are neither repeated nor copied.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from sensorium.core.attention import Attention, Pass
from sensorium.core.cache import CrossMemory, KeyValue
from sensorium.core.linear import for_products


class CrossAttention(Attention):
    """A decoder's attention to what its encoder read.

    x ─────── q ─ heads ─ (norm) ────┐
    source ┬─ k ─ kv heads ─ (norm) ─┼─ attend ─ out
           └─ v ─ kv heads ──────────┘
    """

    def keys_values(self, source: Float[Tensor, "sources keys dim"]) -> tuple[KeyValue, KeyValue]:
        """What this layer's queries are compared with, and what they gather."""
        source = for_products(source)
        k, v = self._heads(self.k(source)), self._heads(self.v(source))
        return (k if self.k_norm is None else self.k_norm(k)), v

    def forward(self, x: Float[Tensor, "batch seq dim"], run: Pass) -> Float[Tensor, "batch seq dim"]:
        source = run.source
        if source is None:
            raise ValueError("a block with cross-attention was run without a source")
        q = self._heads(self.q(for_products(x)))
        if self.q_norm is not None:
            q = self.q_norm(q)
        if isinstance(source.read, CrossMemory):
            k, v = source.read.keys[self.layer], source.read.values[self.layer]
        else:
            k, v = self.keys_values(source.read)
        keep = run.capture is not None and run.capture.probabilities
        attended, probs = self.attend(
            _beside(q, len(k)),
            k,
            v,
            spec=source.spec,
            scale=self.config.scale,
            dropout_p=self.config.dropout if self.training else 0.0,
            need_probs=keep,
            backend=run.backend,
        )
        if run.capture is not None and probs is not None:
            run.capture.cross.append(_apart(probs, len(x)))
        out: Tensor = self.dropout(self.out(_apart(attended, len(x)).transpose(1, 2).flatten(2)))
        return out


def _beside(q: Float[Tensor, "rows heads seq head_dim"], sources: int) -> Float[Tensor, "sources heads _ head_dim"]:
    """The queries of each source's adjacent rows, one row's after another's."""
    rows, heads, seq, width = q.shape
    if rows == sources:
        return q
    return q.reshape(sources, -1, heads, seq, width).transpose(1, 2).reshape(sources, heads, -1, width)


def _apart(x: Float[Tensor, "sources heads _ last"], rows: int) -> Float[Tensor, "rows heads seq last"]:
    """The inverse of `_beside`, for what attention gives."""
    sources, heads, queries, last = x.shape
    if rows == sources:
        return x
    beams = rows // sources
    return x.reshape(sources, heads, beams, -1, last).transpose(1, 2).reshape(rows, heads, queries // beams, last)
