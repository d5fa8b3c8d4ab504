"""The original Transformer: an encoder, and a decoder whose blocks attend to what it read (Vaswani et al. 2017).

Unusual: padded batches are unpadded on both sides around the stacks, so that sources and targets of unequal length
cost no padding; in decoding, the keys and values of the cross-attention are computed once (`memory`), and the beams
of a source share them.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sensorium.core.attend import Backend
from sensorium.core.attention import Source
from sensorium.core.cache import CrossMemory, KVCache
from sensorium.core.capture import Capture
from sensorium.core.config import EncoderDecoderConfig, LanguageHeadConfig, StackConfig
from sensorium.core.cross import CrossAttention
from sensorium.core.fused_kernels import offsets
from sensorium.core.head import LanguageHead, LanguageInputs
from sensorium.core.mask import MaskSpec
from sensorium.core.pack import lengths_of, pad_back, unpad
from sensorium.core.stack import Hidden, Ids, Stack
from sensorium.core.tree import Tree

Lengths = tuple[int, ...]
Valid = Bool[Tensor, "batch seq"]


class Writer(nn.Module):
    """A causal stack that attends to what some encoder read, and a language head over it: the half that all
    encoder-decoders share, whatever sense the encoder is of.

    Args:
        encoder: reads the source.
        decoder: the stack; all its blocks have cross-attention.
        language: the head.
        tokens: the embedding of another stack, which the decoder reads too.
    """

    encoder: nn.Module

    def __init__(
        self,
        encoder: nn.Module,
        decoder: StackConfig,
        language: LanguageHeadConfig,
        *,
        tokens: nn.Embedding | None = None,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = Stack(decoder, tokens=tokens)
        self.language = LanguageHead(language, decoder.dim, decoder.embed.vocab_size)

    def memory(self, hidden: Hidden, valid: Valid | None = None) -> CrossMemory:
        """What the decoder's cross-attention reads at every step, of the encoder's hidden states."""
        crosses = [block.cross for block in self.decoder.blocks]
        pairs = [cross.keys_values(hidden) for cross in crosses if isinstance(cross, CrossAttention)]
        return CrossMemory([k.contiguous() for k, _ in pairs], [v.contiguous() for _, v in pairs], valid)

    def decode(
        self,
        ids: Ids,
        *,
        memory: CrossMemory,
        cache: KVCache,
        valid: Bool[Tensor, "batch keys"] | None = None,
        tree: Tree | None = None,
        backend: Backend = "auto",
        capture: Capture | None = None,
    ) -> Hidden:
        """Hidden states of the next tokens of each target.

        Args:
            ids: the new tokens. Rows may be a multiple of the memory's, the rows of one source adjacent.
            memory: what was read.
            cache: the targets' past; the new tokens are added to it.
            valid: False at padding of the targets; covers the cached tokens too.
            tree: see `Stack.forward`.
            backend: see `attend`.
            capture: filled with what is asked of it.
        """
        source = Source(memory.spec, memory)
        return self.decoder(  # type: ignore[no-any-return]
            ids, valid=valid, cache=cache, source=source, tree=tree, backend=backend, capture=capture
        )

    def language_inputs(self, hidden: Float[Tensor, "*rows dim"]) -> LanguageInputs:
        """Features, output matrix and bias whose product are the logits: for losses that fuse the product."""
        head = self.language
        return head.features(hidden), head.matrix(self.decoder.embed.tokens.weight), head.bias

    def logits(self, hidden: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows vocab"]:
        """Next-token logits of the decoder's hidden states handed in."""
        return self.language(hidden, self.decoder.embed.tokens.weight)  # type: ignore[no-any-return]


class EncoderDecoder(Writer):
    """Two stacks and a language head over the second.

    `shared` in the configuration: the decoder's embedding is the encoder's, the same module; a tied output is a third
    use of its matrix.
    """

    encoder: Stack

    def __init__(self, config: EncoderDecoderConfig) -> None:
        encoder = Stack(config.encoder)
        tokens = encoder.embed.tokens if config.shared else None
        super().__init__(encoder, config.decoder, config.language, tokens=tokens)
        self.config = config

    def forward(
        self,
        source: Int[Tensor, "batch keys"],
        target: Ids,
        *,
        source_valid: Bool[Tensor, "batch keys"] | None = None,
        source_lengths: Lengths | None = None,
        source_positions: Int[Tensor, "batch keys"] | None = None,
        target_valid: Valid | None = None,
        target_lengths: Lengths | None = None,
        target_positions: Ids | None = None,
        backend: Backend = "auto",
        capture: Capture | None = None,
    ) -> Hidden:
        """Hidden states of the targets, each token of which sees those before it and its whole source.

        Args:
            source: token ids of the sources, padded or packed.
            target: token ids of the targets in the same form, each begun by the token that starts decoding.
            source_valid: False at padding.
            source_lengths: the sources are one row, laid end to end; source i belongs to target i.
            source_positions: see `Stack.forward`.
            target_valid: False at padding, where the result is zeros.
            target_lengths: of the packed targets.
            target_positions: see `Stack.forward`.
            backend: see `attend`.
            capture: filled from the decoder; for the encoder's part see `encode`.
        """
        padded = source_lengths is None
        if padded and capture is None and self._packs(backend, source_valid, target_valid):
            sources, targets = _all_valid(source, source_valid), _all_valid(target, target_valid)
            packed = self(
                unpad(source, sources),
                unpad(target, targets),
                source_lengths=lengths_of(sources),
                source_positions=None if source_positions is None else unpad(source_positions, sources),
                target_lengths=lengths_of(targets),
                target_positions=None if target_positions is None else unpad(target_positions, targets),
                backend=backend,
            )
            return packed.view(*target.shape, -1) if target_valid is None else pad_back(packed, targets)
        read = self.encoder(
            source, positions=source_positions, valid=source_valid, lengths=source_lengths, backend=backend
        )
        at = None if target_lengths is None else offsets(target_lengths, source_lengths, target.device)
        spec = MaskSpec(
            causal=False, key_valid=source_valid, lengths=target_lengths, key_lengths=source_lengths, offsets=at
        )
        return self.decoder(  # type: ignore[no-any-return]
            target,
            positions=target_positions,
            valid=target_valid,
            lengths=target_lengths,
            source=Source(spec, read),
            backend=backend,
            capture=capture,
        )

    def encode(
        self,
        ids: Ids,
        *,
        valid: Valid | None = None,
        lengths: Lengths | None = None,
        positions: Ids | None = None,
        backend: Backend = "auto",
        capture: Capture | None = None,
    ) -> Hidden:
        """Hidden states of the sources; zeros at padding. See `Encoder.forward`."""
        if valid is None or capture is not None or not self._may_pack(backend, valid):
            return self.encoder(  # type: ignore[no-any-return]
                ids, positions=positions, valid=valid, lengths=lengths, backend=backend, capture=capture
            )
        packed = self.encoder(
            unpad(ids, valid),
            positions=None if positions is None else unpad(positions, valid),
            lengths=lengths_of(valid),
            backend=backend,
        )
        return pad_back(packed, valid)

    def _packs(self, backend: Backend, source_valid: Tensor | None, target_valid: Tensor | None) -> bool:
        """Whether a padded batch is to be packed, which pairs sources with targets by their order: each needs one."""
        given = [valid for valid in (source_valid, target_valid) if valid is not None]
        return bool(given) and all(self._may_pack(backend, valid) and bool(valid.any(1).all()) for valid in given)

    def _may_pack(self, backend: Backend, valid: Valid) -> bool:
        """Only on a CPU are biased scores faster packed."""
        both = (self.encoder, self.decoder)
        if backend not in ("auto", "varlen"):
            return False
        if valid.device.type != "cpu" and any(stack.relative is not None for stack in both):
            return False
        return all(stack.may_unpad(valid) for stack in both)


def _all_valid(ids: Ids, valid: Valid | None) -> Valid:
    return torch.ones_like(ids, dtype=torch.bool) if valid is None else valid
