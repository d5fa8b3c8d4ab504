"""The models: an `Encoder` or a `Decoder`, which add heads to a `Stack`, and the `EncoderDecoder` of two stacks.

Unusual: encoders unpad once around the stack, so that padding costs nothing; `forward` returns hidden states,
and the heads are separate methods, so that logits are computed for the positions that need them and no others.
"""

from __future__ import annotations

import math
from typing import overload

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sensorium.core.attend import Backend
from sensorium.core.cache import KVCache
from sensorium.core.capture import Capture
from sensorium.core.config import EncoderDecoderConfig, ModelConfig
from sensorium.core.encoder_decoder import EncoderDecoder
from sensorium.core.head import Features, LanguageHead, LanguageInputs, first_or_mean
from sensorium.core.linear import Linear
from sensorium.core.speech import SpeechConfig, SpeechToText
from sensorium.core.stack import Hidden, Ids, Stack
from sensorium.errors import ConfigError


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
        self.features = Features(config.features, dim)
        self.spans = Linear(dim, 2) if config.spans else None
        self.tags = Linear(dim, config.n_tags) if config.n_tags else None
        self.classes = Linear(dim, config.classes.n_classes) if config.classes is not None else None

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
        """Hidden states; zeros at padding. A padded batch is packed around the stack; see `Stack.read`."""
        return self.stack.read(
            ids, types=types, valid=valid, lengths=lengths, positions=positions, backend=backend, capture=capture
        )

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

    def span_logits(self, hidden: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows 2"]:
        """How likely each token begins and ends the answer.

        Raises:
            ConfigError: the model has no span head.
        """
        if self.spans is None:
            raise ConfigError("the model has no span head")
        return self.spans(self.features(hidden))  # type: ignore[no-any-return]

    def tag_logits(self, hidden: Float[Tensor, "*rows dim"]) -> Float[Tensor, "*rows tags"]:
        """Logits of each token's tags.

        Raises:
            ConfigError: the model has no token classification head.
        """
        if self.tags is None:
            raise ConfigError("the model has no token classification head")
        return self.tags(self.features(hidden))  # type: ignore[no-any-return]

    def class_logits(
        self,
        hidden: Hidden,
        *,
        valid: Bool[Tensor, "batch seq"] | None = None,
        lengths: tuple[int, ...] | None = None,
    ) -> Float[Tensor, "sequences classes"]:
        """Logits of each sequence's classes.

        Args:
            hidden: all of `forward`'s result.
            valid: False at padding.
            lengths: of the sequences, where they are packed.

        Raises:
            ConfigError: the model has no sequence classification head.
        """
        if self.classes is None or self.config.classes is None:
            raise ConfigError("the model has no sequence classification head")
        pooled = first_or_mean(hidden, self.config.classes.pooling, valid=valid, lengths=lengths)
        if self.config.classes.pooling == "pooler":
            pooled = self.pooled(pooled)
        return self.classes(self.features(pooled))  # type: ignore[no-any-return]


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


Transformer = Encoder | Decoder | EncoderDecoder
"""A model of text."""
AnyConfig = ModelConfig | EncoderDecoderConfig


@overload
def build(config: ModelConfig) -> Encoder | Decoder: ...
@overload
def build(config: EncoderDecoderConfig) -> EncoderDecoder: ...
@overload
def build(config: SpeechConfig) -> SpeechToText: ...
def build(config: AnyConfig | SpeechConfig) -> Transformer | SpeechToText:
    """The model of a configuration: of two stacks an encoder-decoder; of one, a decoder if it is causal, an encoder
    otherwise."""
    if isinstance(config, EncoderDecoderConfig):
        return EncoderDecoder(config)
    if isinstance(config, SpeechConfig):
        return SpeechToText(config)
    return Decoder(config) if config.stack.causal else Encoder(config)


def stacks(model: Transformer) -> dict[str, Stack]:
    """A model's stacks, by the names under which it has them."""
    if isinstance(model, EncoderDecoder):
        return {"encoder": model.encoder, "decoder": model.decoder}
    return {"stack": model.stack}


def initialise(model: Transformer, *, std: float = 0.02, generator: torch.Generator | None = None) -> None:
    """Draw fresh weights.

    | parameter                                                  | drawn from                     |
    |------------------------------------------------------------|--------------------------------|
    | matrices, embeddings                                       | N(0, std)                      |
    | `attention.out`, `cross.out`, `feedforward.down` (pre)     | N(0, std / sqrt(branches))     |
    | embeddings whose product with the output is scaled down    | N(0, std / scale)              |
    | biases                                                     | 0                              |
    | norm weights                                               | 1                              |

    The second row is GPT-2's (Radford et al. 2019): it keeps the residual's variance flat over depth. Branches are
    all that are added to a stack's residual.
    """
    ends = dict[str, float]()
    for name, stack in stacks(model).items():
        branches = sum(3 if block.cross is not None else 2 for block in stack.config.blocks)
        for layer, block in enumerate(stack.config.blocks):
            if block.placement == "pre":
                ends[f"{name}.blocks.{layer}."] = std / math.sqrt(branches)
    head = model.config.language
    output = std / head.scale if head is not None and head.tied else std
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
                continue
            drawn = output if name.endswith("embed.tokens.weight") else std
            if name.endswith(("attention.out.weight", "cross.out.weight", "feedforward.down.weight")):
                drawn = ends.get(".".join(name.split(".")[:3]) + ".", std)
            parameter.normal_(0.0, drawn, generator=generator)


def _language_head(config: ModelConfig) -> LanguageHead | None:
    if config.language is None:
        return None
    return LanguageHead(config.language, config.stack.dim, config.stack.embed.vocab_size)


def _language_inputs(model: Encoder | Decoder, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    head = _head(model)
    return head.features(hidden), head.matrix(model.stack.embed.tokens.weight), head.bias


def _logits(model: Encoder | Decoder, hidden: Tensor) -> Tensor:
    return _head(model)(hidden, model.stack.embed.tokens.weight)  # type: ignore[no-any-return]


def _head(model: Encoder | Decoder) -> LanguageHead:
    if model.language is None:
        raise ConfigError("the model has no language head")
    return model.language
