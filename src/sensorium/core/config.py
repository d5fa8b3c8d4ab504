"""What a Transformer is, as data: frozen records that nest as the modules do.

Nothing here is optional that a checkpoint supplies (eps, theta, head_dim ...): a family file must state it.
Counts of parameters and FLOPs come from these records alone (`core/count.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sensorium.errors import ConfigError

Problem = Literal["single_label_classification", "multi_label_classification", "regression"]
Activation = Literal["gelu", "gelu_tanh", "quick_gelu", "relu", "silu", "tanh"]


@dataclass(frozen=True, kw_only=True, slots=True)
class NormConfig:
    """A normalisation over the last dimension. LayerNorm: Ba et al. 2016. RMSNorm: Zhang & Sennrich 2019."""

    kind: Literal["layernorm", "rmsnorm"]
    eps: float
    bias: bool = True
    """LayerNorm's; RMSNorm has none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LearnedPosition:
    """A trained table that is added to the embeddings (BERT, GPT-2)."""

    size: int
    """Rows that may be used; the table itself has `size + offset` rows."""
    offset: int = 0
    """Row of position 0 (RoBERTa and BART keep rows before it)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SinusoidalPosition:
    """A fixed table of sines and cosines that is added to the embeddings (Vaswani et al. 2017). Not a parameter."""

    size: int
    layout: Literal["interleaved", "halves"]
    """Sines in the even dimensions and cosines in the odd ones, or sines in the first half and cosines in the second
    (Marian)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RelativePosition:
    """A trained number a head and a bucket of distances, added to the scores (T5: Raffel et al. 2020)."""

    buckets: int
    """Distances are told apart up to a half of them (of those of their direction, where a query sees both); beyond,
    buckets grow with the logarithm."""
    max_distance: int
    """All distances from here on share a bucket."""

    def __post_init__(self) -> None:
        if self.buckets < 4 or self.max_distance <= self.buckets // 2:
            raise ConfigError(
                f"{self.buckets} buckets for distances up to {self.max_distance} cannot be laid out",
                fix="Take at least 4 buckets, and a distance of more than half of them",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class LinearScaling:
    """Positions divided by `factor` (Chen et al. 2023, position interpolation)."""

    factor: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Llama3Scaling:
    """Frequencies scaled by wavelength, as Llama 3.1 does."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_context: int


@dataclass(frozen=True, kw_only=True, slots=True)
class YarnScaling:
    """Frequencies interpolated by ramp, with an attention factor (Peng et al. 2023)."""

    factor: float
    original_context: int
    beta_fast: float
    beta_slow: float
    attention_factor: float
    """Multiplies cos and sin."""
    truncate: bool
    """Round the ramp's ends to whole dimensions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RotaryPosition:
    """Rotation of queries and keys, half-split layout (Su et al. 2021)."""

    theta: float
    dim: int
    """Leading dimensions of each head that are rotated; the rest pass through."""
    context: int
    """Longest position that the model was made for. No table has this size: it is a limit for callers."""
    scaling: LinearScaling | Llama3Scaling | YarnScaling | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AttentionConfig:
    """Multi-head attention with grouped keys and values (Vaswani et al. 2017; Ainslie et al. 2023)."""

    n_heads: int
    n_kv_heads: int
    head_dim: int
    q_bias: bool
    k_bias: bool
    v_bias: bool
    out_bias: bool
    scale: float | None = None
    """Multiplies the scores; None means 1/sqrt(head_dim)."""
    qk_norm: NormConfig | None = None
    """Over each head's dimensions, before the rotation (Qwen3)."""
    window: int | None = None
    """A query sees this many tokens back, itself included (and as many ahead where not causal)."""
    dropout: float = 0.0
    """On the attention probabilities, in training."""
    out_dropout: float = 0.0
    """On what the output projection gives, in training (ModernBERT)."""

    def __post_init__(self) -> None:
        if self.n_heads % self.n_kv_heads:
            raise ConfigError(
                f"n_heads={self.n_heads} is not a multiple of n_kv_heads={self.n_kv_heads}",
                fix="Each key/value head must serve the same number of query heads",
            )
        if self.window is not None and self.window < 1:
            raise ConfigError(f"window={self.window} must be at least 1, the token itself")


@dataclass(frozen=True, kw_only=True, slots=True)
class FeedForwardConfig:
    """Two linear maps around an activation; `gated` multiplies by a third (Shazeer 2020)."""

    width: int
    activation: Activation
    gated: bool
    bias: bool
    dropout: float = 0.0
    """On what the last of the maps reads, in training."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockConfig:
    """Attention and feed-forward, each a residual with a norm before it or after it."""

    attention: AttentionConfig
    feedforward: FeedForwardConfig
    norm: NormConfig
    placement: Literal["pre", "post"]
    cross: AttentionConfig | None = None
    """Attention to another sequence, a third residual between the two (a decoder that reads an encoder)."""
    attention_norm: bool = True
    """ModernBERT's first block has none at its attention: it reads embeddings that are normed already."""
    dropout: float = 0.0
    """On each branch before it is added to the residual, in training."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenEmbedConfig:
    """Token embeddings, with segment (type) and position tables added where a family has them."""

    vocab_size: int
    n_types: int = 0
    position: LearnedPosition | SinusoidalPosition | None = None
    norm: NormConfig | None = None
    dropout: float = 0.0
    scale: float = 1.0
    """Multiplies the token embeddings."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrunkConfig:
    """Blocks and what they share: a stack but for its embeddings."""

    dim: int
    blocks: tuple[BlockConfig, ...]
    causal: bool
    rotary: RotaryPosition | None = None
    local_rotary: RotaryPosition | None = None
    """Rotation in the blocks with a window, where it is another one (ModernBERT)."""
    relative: RelativePosition | None = None
    """Added to the scores of self-attention, the same in all blocks."""
    final_norm: NormConfig | None = None
    out_dropout: float = 0.0
    """On what the stack gives, in training (T5)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StackConfig(TrunkConfig):
    """Token embeddings and blocks: everything of a model of text but its heads."""

    embed: TokenEmbedConfig

    @property
    def context(self) -> int | None:
        """Longest sequence that the positions allow, or None where nothing limits it."""
        if self.embed.position is not None:
            return self.embed.position.size
        return self.rotary.context if self.rotary is not None else None


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageHeadConfig:
    """Hidden states to vocabulary logits."""

    tied: bool
    """The output matrix is the token embedding matrix (Press & Wolf 2017)."""
    bias: bool
    transform: Activation | None = None
    """BERT's dense + activation + norm before the output matrix."""
    transform_bias: bool = True
    """The dense layer's."""
    norm: NormConfig | None = None
    """The transform's norm."""
    scale: float = 1.0
    """Multiplies what the output matrix reads (T5, where it is tied)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureConfig:
    """What the span, tag and class outputs read: hidden states through dropout, dense, activation, norm, dropout,
    of which most families have but a part."""

    transform: Activation | None = None
    """None: no dense layer, no activation, no norm."""
    bias: bool = True
    """The dense layer's."""
    norm: NormConfig | None = None
    input_dropout: float = 0.0
    """Before the dense layer, in training (RoBERTa)."""
    dropout: float = 0.0
    """Before the outputs, in training."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassHeadConfig:
    """Logits of a whole sequence."""

    n_classes: int
    pooling: Literal["first", "mean", "pooler"]
    """The first token, the mean of all, or the pooler over the first."""
    problem: Problem | None = None
    """What the logits are; None where a checkpoint leaves it open: a single class is then a regression's value, and
    several exclude each other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """A stack and its heads."""

    stack: StackConfig
    language: LanguageHeadConfig | None = None
    pooler: bool = False
    """BERT's dense + tanh over the first token."""
    n_pair_classes: int = 0
    """Outputs of the sentence-pair head (next sentence, sentence order) over the pooler; 0: no head."""
    spans: bool = False
    """Start and end logits of every token (extractive question answering)."""
    n_tags: int = 0
    """Outputs of the token classification head; 0: no head."""
    classes: ClassHeadConfig | None = None
    """The sequence classification head."""
    features: FeatureConfig = FeatureConfig()
    """What stands between the hidden states and the outputs for spans, tags and classes."""
    labels: tuple[str, ...] = ()
    """Names of the classes or tags, in their order."""

    def __post_init__(self) -> None:
        if self.n_pair_classes and not self.pooler:
            raise ConfigError("a sentence-pair head needs the pooler", fix="Set pooler=True")
        if self.classes is not None and self.classes.pooling == "pooler" and not self.pooler:
            raise ConfigError("a classification head over the pooler needs it", fix="Set pooler=True")
        named = {n for n in (self.n_tags, self.classes.n_classes if self.classes else 0) if n}
        if self.labels and named != {len(self.labels)}:
            raise ConfigError(
                f"{len(self.labels)} labels for {' and '.join(map(str, sorted(named))) or 'no'} classes or tags",
                fix="Name each of them once",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderDecoderConfig:
    """A bidirectional stack, and a causal one whose blocks attend to it (Vaswani et al. 2017)."""

    encoder: StackConfig
    decoder: StackConfig
    language: LanguageHeadConfig
    """Over the decoder; tied means to the decoder's embedding."""
    shared: bool
    """Both stacks read one embedding matrix. Otherwise each has its own vocabulary."""

    def __post_init__(self) -> None:
        encoder, decoder = self.encoder, self.decoder
        if encoder.causal or not decoder.causal:
            raise ConfigError("an encoder-decoder is a bidirectional stack and a causal one, in this order")
        if any(block.cross is not None for block in encoder.blocks):
            raise ConfigError("the encoder's blocks have cross-attention, but nothing to attend to")
        if any(block.cross is None for block in decoder.blocks):
            raise ConfigError("a block of the decoder has no cross-attention", fix="Set BlockConfig.cross")
        if encoder.dim != decoder.dim:
            raise ConfigError(f"the encoder's width is {encoder.dim}, the decoder's {decoder.dim}: they must be equal")
        if self.shared and encoder.embed.vocab_size != decoder.embed.vocab_size:
            raise ConfigError(
                f"one embedding matrix for vocabularies of {encoder.embed.vocab_size} and {decoder.embed.vocab_size}",
                fix="Set shared=False",
            )
