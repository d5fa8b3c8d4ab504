"""A `Stack`: token embeddings, blocks, final norm. What all layers of a pass share is computed here, once.

Unusual: a stack whose blocks have cross-attention is handed what they read (`Source`) beside its own tokens. The
blocks without the embeddings are a `Trunk`, which the stacks of other senses are built on too (`core/senses.py`).
"""

from __future__ import annotations

from itertools import islice

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sensorium.core.attend import Backend
from sensorium.core.attention import Pass, Source
from sensorium.core.block import Block
from sensorium.core.cache import KVCache
from sensorium.core.capture import Capture
from sensorium.core.config import StackConfig, TrunkConfig
from sensorium.core.dropout import Dropout
from sensorium.core.embed import TokenEmbed
from sensorium.core.fused_kernels import offsets
from sensorium.core.mask import MaskSpec
from sensorium.core.norm import build_norm
from sensorium.core.pack import is_unbroken, lengths_of, pad_back, restart, unpad
from sensorium.core.position import rotary_angles
from sensorium.core.relative import RelativeBias
from sensorium.core.tree import Tree

Ids = Int[Tensor, "batch seq"]
Hidden = Float[Tensor, "batch seq dim"]


class Trunk(nn.Module):
    """Blocks and final norm, over the vectors that `embed` makes of a sense's input."""

    config: TrunkConfig

    def __init__(self, config: TrunkConfig, embed: nn.Module) -> None:
        super().__init__()
        self.config = config
        self.embed = embed
        self.gradient_checkpointing = False
        """Recompute each block in the backward pass rather than keep its activations (Chen et al. 2016)."""
        self.blocks = nn.ModuleList(Block(block, config.dim, i) for i, block in enumerate(config.blocks))
        self.relative: RelativeBias | None = None
        if config.relative is not None:
            heads = config.blocks[0].attention.n_heads
            self.relative = RelativeBias(config.relative, heads, causal=config.causal)
        self.final_norm = build_norm(config.final_norm, config.dim) if config.final_norm else None
        self.dropout = Dropout(config.out_dropout)
        self._windows = {block.attention.window for block in config.blocks}

    def run(
        self,
        x: Hidden,
        *,
        positions: Ids | None = None,
        valid: Bool[Tensor, "batch keys"] | None = None,
        lengths: tuple[int, ...] | None = None,
        cache: KVCache | None = None,
        source: Source | None = None,
        tree: Tree | None = None,
        backend: Backend = "auto",
        capture: Capture | None = None,
    ) -> Hidden:
        """Run all blocks over vectors; see `Stack.forward`. `positions` decide the rotation, where there is one."""
        config, past = self.config, cache.length if cache is not None else 0
        if positions is None:
            positions = place(x, valid, lengths, past)
        at = None if lengths is None else offsets(lengths, None, x.device)
        spec = MaskSpec(causal=config.causal, key_valid=valid, lengths=lengths, q_offset=past, offsets=at)
        if tree is not None:
            spec = tree.spec()
        rotary = config.rotary
        angles = None if rotary is None else rotary_angles(rotary, positions, x.dtype)
        local = config.local_rotary
        local_angles = None if local is None else rotary_angles(local, positions, x.dtype)
        masks = {window: spec.with_window(window) for window in self._windows}
        bias = self._bias(x.shape[1], lengths, past, tree)
        run = Pass(masks, angles, cache, backend, capture, local_angles, bias, source)
        keep = capture.states if capture is not None and capture.hidden else None
        for block in islice(self.blocks, None if capture is None else capture.depth):
            if keep is not None:
                keep.append(x)
            if self.gradient_checkpointing and self.training:
                x = checkpoint(block, x, run, use_reentrant=False)
            else:
                x = block(x, run)
        if keep is not None:
            keep.append(x)
        if cache is not None:
            cache.advance(x.shape[1])
        if self.final_norm is not None:
            x = self.final_norm(x)
        return self.dropout(x)  # type: ignore[no-any-return]

    def may_unpad(self, valid: Bool[Tensor, "batch seq"]) -> bool:
        """Whether a padded batch gives the same unpadded, which closes holes in a row: that brings more tokens into a
        window, and changes relative positions."""
        by_distance = self.relative is not None or self._windows != {None}
        return not by_distance or is_unbroken(valid)

    def _bias(self, queries: int, lengths: tuple[int, ...] | None, past: int, tree: Tree | None) -> Tensor | None:
        """The relative positions' share in the scores; of packed documents, the longest one's."""
        if self.relative is None:
            return None
        if tree is not None:
            return tree.bias(self.relative)
        longest = queries if lengths is None else max(lengths)
        return self.relative.bias(longest, past + longest, past=past)


class Stack(Trunk):
    """Token embeddings, blocks, final norm."""

    config: StackConfig
    embed: TokenEmbed

    def __init__(self, config: StackConfig, *, tokens: nn.Embedding | None = None) -> None:
        """`tokens`: the embedding of another stack, which this one reads too."""
        super().__init__(config, TokenEmbed(config.embed, config.dim, tokens=tokens))

    def forward(
        self,
        ids: Ids | Hidden,
        *,
        positions: Ids | None = None,
        types: Ids | None = None,
        valid: Bool[Tensor, "batch keys"] | None = None,
        lengths: tuple[int, ...] | None = None,
        cache: KVCache | None = None,
        source: Source | None = None,
        tree: Tree | None = None,
        backend: Backend = "auto",
        capture: Capture | None = None,
    ) -> Hidden:
        """Run all blocks.

        Args:
            ids: token ids; or vectors that take the place of their embeddings (of pictures in a text, say).
            positions: place of each token in its sequence; by default counted from the left, from the first
                valid token where there is padding, anew in each document where packed.
            types: segment of each token; all 0 by default.
            valid: False at padding; covers the cached tokens too.
            lengths: the batch is one row of documents of these lengths that do not see each other.
            cache: the past; the new tokens are added to it.
            source: what blocks with cross-attention read.
            tree: the new tokens are not one another's continuation but branches side by side.
            backend: see `attend`.
            capture: filled with what is asked of it.
        """
        past = cache.length if cache is not None else 0
        if positions is None:
            positions = place(ids, valid, lengths, past) if tree is None else tree.positions(ids)
        return self.run(
            self.embed(ids, positions, types),
            positions=positions,
            valid=valid,
            lengths=lengths,
            cache=cache,
            source=source,
            tree=tree,
            backend=backend,
            capture=capture,
        )

    def read(
        self,
        ids: Ids,
        *,
        types: Ids | None = None,
        valid: Bool[Tensor, "batch seq"] | None = None,
        lengths: tuple[int, ...] | None = None,
        positions: Ids | None = None,
        backend: Backend = "auto",
        capture: Capture | None = None,
    ) -> Hidden:
        """`forward` over whole texts, whose padding costs nothing: a padded batch is packed around the blocks, unless
        what happens inside is to be captured or a back-end that needs the padded form is asked for by name. Packed,
        zeros stand at the padding."""
        packs = backend in ("auto", "varlen")
        if valid is None or capture is not None or not packs or not self.may_unpad(valid):
            return self(  # type: ignore[no-any-return]
                ids,
                types=types,
                valid=valid,
                lengths=lengths,
                positions=positions,
                backend=backend,
                capture=capture,
            )
        packed = self(
            unpad(ids, valid),
            types=None if types is None else unpad(types, valid),
            positions=None if positions is None else unpad(positions, valid),
            lengths=lengths_of(valid),
            backend=backend,
        )
        return pad_back(packed, valid)


def place(x: Tensor, valid: Tensor | None, lengths: tuple[int, ...] | None, past: int) -> Ids:
    """The default positions of the tokens or vectors `x`."""
    if lengths is not None:
        return restart(lengths, device=x.device)
    if valid is not None:
        return (valid.cumsum(1) - 1).clamp(min=0)[:, past : past + x.shape[1]]
    return torch.arange(past, past + x.shape[1], device=x.device)[None].expand(x.shape[:2])
