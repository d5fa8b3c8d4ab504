"""The models: a `Stack` of blocks over embeddings, and an `Encoder` or a `Decoder` that adds heads to it.

Unusual: encoders unpad once around the stack, so that padding costs nothing; `forward` returns hidden states,
and the heads are separate methods, so that logits are computed for the positions that need them and no others.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sensorium.core.attend import Backend
from sensorium.core.attention import Pass
from sensorium.core.block import Block
from sensorium.core.cache import KVCache
from sensorium.core.capture import Capture
from sensorium.core.config import ModelConfig, StackConfig
from sensorium.core.embed import TokenEmbed
from sensorium.core.head import LanguageHead
from sensorium.core.linear import Linear
from sensorium.core.mask import MaskSpec
from sensorium.core.norm import build_norm
from sensorium.core.pack import lengths_of, pad_back, restart, unpad
from sensorium.core.position import rotary_angles
from sensorium.errors import ConfigError

Ids = Int[Tensor, "batch seq"]
Hidden = Float[Tensor, "batch seq dim"]
LanguageInputs = tuple[Float[Tensor, "*rows dim"], Float[Tensor, "vocab dim"], Float[Tensor, " vocab"] | None]


class Stack(nn.Module):
    """Embeddings, blocks, final norm."""

    def __init__(self, config: StackConfig) -> None:
        super().__init__()
        self.config = config
        self.gradient_checkpointing = False
        """Recompute each block in the backward pass rather than keep its activations (Chen et al. 2016)."""
        self.embed = TokenEmbed(config.embed, config.dim)
        self.blocks = nn.ModuleList(Block(block, config.dim, i) for i, block in enumerate(config.blocks))
        self.final_norm = build_norm(config.final_norm, config.dim) if config.final_norm else None
        self._windows = {block.attention.window for block in config.blocks}

    def forward(
        self,
        ids: Ids,
        *,
        positions: Ids | None = None,
        types: Ids | None = None,
        valid: Bool[Tensor, "batch keys"] | None = None,
        lengths: tuple[int, ...] | None = None,
        cache: KVCache | None = None,
        backend: Backend = "auto",
        capture: Capture | None = None,
    ) -> Hidden:
        """Run all blocks.

        Args:
            ids: token ids.
            positions: place of each token in its sequence; by default counted from the left, from the first
                valid token where there is padding, anew in each document where packed.
            types: segment of each token; all 0 by default.
            valid: False at padding; covers the cached tokens too.
            lengths: the batch is one row of documents of these lengths that do not see each other.
            cache: the past; the new tokens are added to it.
            backend: see `attend`.
            capture: filled with what is asked of it.
        """
        past = cache.length if cache is not None else 0
        if positions is None:
            positions = _positions(ids, valid, lengths, past)
        spec = MaskSpec(causal=self.config.causal, key_valid=valid, lengths=lengths, q_offset=past)
        x: Tensor = self.embed(ids, positions, types)
        rotary = self.config.rotary
        angles = None if rotary is None else rotary_angles(rotary, positions, x.dtype)
        masks = {window: spec.with_window(window) for window in self._windows}
        run = Pass(masks, angles, cache, backend, capture)
        keep = capture.states if capture is not None and capture.hidden else None
        for block in self.blocks:
            if keep is not None:
                keep.append(x)
            if self.gradient_checkpointing and self.training:
                x = checkpoint(block, x, run, use_reentrant=False)
            else:
                x = block(x, run)
        if keep is not None:
            keep.append(x)
        if cache is not None:
            cache.advance(ids.shape[1])
        if self.final_norm is not None:
            x = self.final_norm(x)
        return x


def _positions(ids: Tensor, valid: Tensor | None, lengths: tuple[int, ...] | None, past: int) -> Tensor:
    if lengths is not None:
        return restart(lengths, device=ids.device)
    if valid is not None:
        return (valid.cumsum(1) - 1).clamp(min=0)[:, past : past + ids.shape[1]]
    return torch.arange(past, past + ids.shape[1], device=ids.device)[None].expand(ids.shape)


class Encoder(nn.Module):
    """A bidirectional stack with the heads that its configuration names (BERT: Devlin et al. 2019)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        dim = config.stack.dim
        self.config = config
        self.stack = Stack(config.stack)
        self.pooler = Linear(dim, dim) if config.pooler else None
        self.language = _language_head(config)
        self.pair = Linear(dim, config.n_pair_classes) if config.n_pair_classes else None

    def forward(
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
        """Hidden states; zeros at padding. A padded batch is packed around the stack, unless what happens inside
        is to be captured or a back-end that needs the padded form is asked for by name."""
        if valid is None or capture is not None or backend not in ("auto", "varlen"):
            return self.stack(  # type: ignore[no-any-return]
                ids,
                types=types,
                valid=valid,
                lengths=lengths,
                positions=positions,
                backend=backend,
                capture=capture,
            )
        packed = self.stack(
            unpad(ids, valid),
            types=None if types is None else unpad(types, valid),
            positions=None if positions is None else unpad(positions, valid),
            lengths=lengths_of(valid),
            backend=backend,
        )
        return pad_back(packed, valid)

    def language_inputs(self, hidden: Float[Tensor, "*rows dim"]) -> LanguageInputs:
        """Features, output matrix and bias whose product are the logits: for losses that fuse the product."""
        return _language_inputs(self, hidden)

    def masked_logits(self, hidden: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows vocab"]:
        """Vocabulary logits of the hidden states handed in: those at the masks."""
        return _logits(self, hidden)

    def pooled(self, first: Float[Tensor, "n dim"]) -> Float[Tensor, "n dim"]:
        """BERT's pooler over the hidden state of each sequence's first token.

        Raises:
            ConfigError: the model has no pooler.
        """
        if self.pooler is None:
            raise ConfigError("the model has no pooler")
        return torch.tanh(self.pooler(first))

    def pair_logits(self, pooled: Float[Tensor, "n dim"]) -> Float[Tensor, "n classes"]:
        """Logits of the sentence-pair classes.

        Raises:
            ConfigError: the model has no sentence-pair head.
        """
        if self.pair is None:
            raise ConfigError("the model has no sentence-pair head")
        return self.pair(pooled)  # type: ignore[no-any-return]


class Decoder(nn.Module):
    """A causal stack with a language head."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.stack = Stack(config.stack)
        self.language = _language_head(config)

    def forward(
        self,
        ids: Ids,
        *,
        positions: Ids | None = None,
        valid: Bool[Tensor, "batch keys"] | None = None,
        lengths: tuple[int, ...] | None = None,
        cache: KVCache | None = None,
        backend: Backend = "auto",
        capture: Capture | None = None,
    ) -> Hidden:
        """Hidden states of the new tokens; see `Stack.forward`."""
        return self.stack(  # type: ignore[no-any-return]
            ids,
            positions=positions,
            valid=valid,
            lengths=lengths,
            cache=cache,
            backend=backend,
            capture=capture,
        )

    def language_inputs(self, hidden: Float[Tensor, "*rows dim"]) -> LanguageInputs:
        """Features, output matrix and bias whose product are the logits: for losses that fuse the product."""
        return _language_inputs(self, hidden)

    def logits(self, hidden: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows vocab"]:
        """Next-token logits of the hidden states handed in: the last ones, in decoding."""
        return _logits(self, hidden)


Transformer = Encoder | Decoder


def build(config: ModelConfig) -> Transformer:
    """The model of a configuration: a decoder if its stack is causal, an encoder otherwise."""
    return Decoder(config) if config.stack.causal else Encoder(config)


def initialise(model: Transformer, *, std: float = 0.02, generator: torch.Generator | None = None) -> None:
    """Draw fresh weights.

    | parameter                                   | drawn from                      |
    |---------------------------------------------|---------------------------------|
    | matrices, embeddings                        | N(0, std)                       |
    | `attention.out`, `feedforward.down` (pre)   | N(0, std / sqrt(2 · layers))    |
    | biases                                      | 0                               |
    | norm weights                                | 1                               |

    The second row is GPT-2's (Radford et al. 2019): it keeps the residual's variance flat over depth.
    """
    residual = std / math.sqrt(2 * len(model.config.stack.blocks))
    pre = {i for i, block in enumerate(model.config.stack.blocks) if block.placement == "pre"}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
                continue
            ends = name.endswith(("attention.out.weight", "feedforward.down.weight"))
            scaled = ends and int(name.split(".")[2]) in pre
            parameter.normal_(0.0, residual if scaled else std, generator=generator)


def _language_head(config: ModelConfig) -> LanguageHead | None:
    if config.language is None:
        return None
    return LanguageHead(config.language, config.stack.dim, config.stack.embed.vocab_size)


def _language_inputs(model: Transformer, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    head = _head(model)
    return head.features(hidden), head.matrix(model.stack.embed.tokens.weight), head.bias


def _logits(model: Transformer, hidden: Tensor) -> Tensor:
    return _head(model)(hidden, model.stack.embed.tokens.weight)  # type: ignore[no-any-return]


def _head(model: Transformer) -> LanguageHead:
    if model.language is None:
        raise ConfigError("the model has no language head")
    return model.language
