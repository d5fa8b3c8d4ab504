"""The state of a batch of beam searches: one row a source, its beams the branches of a tree (`core.tree`).

Re-ordering the beams of a source moves rows of a mask, never keys or values; a source that leaves moves one other
into its place; and now and then the tokens that no branch descends from any more are cleared away. What the decoder
reads of the encoder is held once a source.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sensorium.core.cache import CrossMemory, KVCache
from sensorium.core.config import StackConfig
from sensorium.core.encoder_decoder import Writer
from sensorium.core.linear import SKINNY_ROWS
from sensorium.core.tree import Tree
from sensorium.inference.engine import Logits, Rows

_ROOM = 64
"""Tokens a row that a cache has room for at first."""
_CLEAR_EVERY = 4
"""Steps between two looks at how many tokens are still of use."""
_WORTH_CLEARING = 0.75
"""Tokens are cleared away where so much of them or less is of use."""


class BranchCache(KVCache):
    """A cache that grows, and whose rows and tokens can be dropped in place."""

    def __init__(self, config: StackConfig, batch: int, *, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__(config, batch, _ROOM, dtype=dtype, device=device)

    def reserve(self, tokens: int) -> None:
        """Make room for so many more tokens."""
        needed = self.length + tokens
        if needed <= self.capacity:
            return
        self.capacity = max(needed, 2 * self.capacity)
        self.keys = [self._larger(k) for k in self.keys]
        self.values = [self._larger(v) for v in self.values]

    def keep(self, rows: Int[Tensor, " kept"]) -> None:
        """See `KVCache.keep`; only the rows that change their place are copied."""
        self.keys = [moved(k, rows, self.length) for k in self.keys]
        self.values = [moved(v, rows, self.length) for v in self.values]

    def keep_tokens(self, places: Int[Tensor, "batch kept"]) -> None:
        """Keep these tokens of each row, in this order."""
        for cached in (*self.keys, *self.values):
            wanted = places[:, None, :, None].expand(-1, cached.shape[1], -1, cached.shape[3])
            cached[:, :, : places.shape[1]] = cached[:, :, : self.length].gather(2, wanted)
        self.length = places.shape[1]

    def _larger(self, cached: Tensor) -> Tensor:
        rows, heads, _, head_dim = cached.shape
        larger = cached.new_empty(rows, heads, self.capacity, head_dim)
        larger[:, :, : self.length] = cached[:, :, : self.length]
        return larger


def moved(x: Tensor, rows: Int[Tensor, " kept"], length: int) -> Tensor:
    """Rows of `[batch, heads, tokens, head_dim]`, of which the first `length` tokens count.

    Where each kept row comes from its own place or from behind, only the latter are copied, within `x`.
    """
    places = torch.arange(len(rows), device=rows.device)
    changed = rows != places
    if bool((rows[changed] < len(rows)).any()):
        return x[rows]
    x[places[changed], :, :length] = x[rows[changed], :, :length]
    return x[: len(rows)]


class BranchState:
    """See `Seq2SeqEngine.read`."""

    def __init__(self, model: Writer, memory: CrossMemory, beams: int, buffer: LogitsBuffer) -> None:
        weight = model.decoder.embed.tokens.weight
        self._model, self._memory, self._beams = model, memory, beams
        self._cache = BranchCache(model.decoder.config, memory.batch, dtype=weight.dtype, device=weight.device)
        self._buffer = buffer
        self._steps = 0
        self._allowed = torch.ones(memory.batch, 1, 0, dtype=torch.bool, device=weight.device)
        """Which tokens each branch descends from. One branch a source until the first are chosen."""
        self._depths = torch.zeros(memory.batch, 0, dtype=torch.long, device=weight.device)

    @torch.inference_mode()
    def begin(self, ids: Int[Tensor, "sources length"], places: Sequence[int]) -> Float[Tensor, "sources places vocab"]:
        """Read what the text of each source begins with, before any step; logits after the tokens at these places."""
        sources, length = ids.shape
        self._cache.reserve(length)
        hidden = self._model.decode(ids, memory=self._memory, cache=self._cache)
        self._steps = length
        self._allowed = self._allowed.new_ones(sources, 1, length)
        self._depths = torch.arange(length, device=ids.device).expand(sources, -1)
        return self._model.logits(hidden[:, list(places)]).float()

    @torch.inference_mode()
    def step(self, tokens: Rows) -> Logits:
        """See `State`."""
        sources, branches, _ = self._allowed.shape
        ids = torch.as_tensor(tokens, device=self._depths.device).view(sources, branches)
        self._cache.reserve(branches)
        tree = None if self._beams == 1 else self._grown(branches)
        hidden = self._model.decode(ids, memory=self._memory, cache=self._cache, tree=tree)
        self._steps += 1
        return self._buffer.logits(hidden.flatten(0, 1))

    @torch.inference_mode()
    def keep(self, rows: Rows) -> None:
        """See `State`."""
        by_source = torch.as_tensor(rows, device=self._depths.device).view(-1, self._beams)
        sources, branches = by_source[:, 0] // self._beams, by_source % self._beams
        if self._allowed.shape[1] < self._beams:
            branches = branches.zero_()
        self._allowed = self._allowed[sources[:, None], branches]
        if len(sources) < self._cache.batch or bool((sources[1:] <= sources[:-1]).any()):
            self._keep_sources(sources)
        if self._beams > 1 and self._steps % _CLEAR_EVERY == 0:
            self._clear_away()

    def _grown(self, branches: int) -> Tree:
        """The tree with a new token at the end of every branch."""
        sources = len(self._depths)
        own = torch.eye(branches, dtype=torch.bool, device=self._depths.device).expand(sources, -1, -1)
        self._allowed = torch.cat((self._allowed, own), dim=2)
        self._depths = torch.nn.functional.pad(self._depths, (0, branches), value=self._steps)
        return Tree(self._steps, self._depths, self._allowed)

    def _keep_sources(self, sources: Int[Tensor, " kept"]) -> None:
        self._cache.keep(sources)
        self._depths = self._depths[sources]
        memory = self._memory
        valid = None if memory.valid is None else memory.valid[sources]
        width = memory.keys[0].shape[2]
        keys, values = ([moved(x, sources, width) for x in pair] for pair in (memory.keys, memory.values))
        self._memory = CrossMemory(keys, values, valid)

    def _clear_away(self) -> None:
        """Drop the tokens that no branch descends from."""
        live: Bool[Tensor, "sources keys"] = self._allowed.any(1)
        most = int(live.sum(1).max())
        if most > _WORTH_CLEARING * self._cache.length:
            return
        places = live.int().argsort(dim=1, descending=True, stable=True)[:, :most]
        self._cache.keep_tokens(places)
        self._depths = self._depths.gather(1, places)
        self._allowed = self._allowed.gather(2, places[:, None].expand(-1, self._beams, -1))


class LogitsBuffer:
    """Room for one step's logits, used again by the next: to ask the system for tens of megabytes at every step costs
    more than to fill them."""

    def __init__(self, model: Writer) -> None:
        self._model = model
        self._room: Tensor | None = None
        bias = model.language.bias
        self._biased = bias is not None and bool(bias.any())
        """Most families' bias is zeros, which are not worth a pass over the logits."""

    def logits(self, hidden: Float[Tensor, "rows dim"]) -> Logits:
        """Logits of the hidden states, valid until the next call."""
        rows = len(hidden)
        if hidden.is_cuda or hidden.dtype != torch.float32 or rows <= SKINNY_ROWS:
            return self._model.logits(hidden).float()
        features, matrix, bias = self._model.language_inputs(hidden)
        if self._room is None or len(self._room) < rows:
            self._room = features.new_empty(rows, len(matrix))
        room = self._room[:rows]
        if bias is None or not self._biased:
            return torch.mm(features, matrix.t(), out=room)
        return torch.addmm(bias, features, matrix.t(), out=room)
