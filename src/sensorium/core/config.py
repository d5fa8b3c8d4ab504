"""What a Transformer is, as data: frozen records that nest as the modules do.

Nothing here is optional that a checkpoint supplies (eps, theta, head_dim ...): a family file must state it.
Counts of parameters and FLOPs come from these records alone (`core/count.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sensorium.errors import ConfigError

Activation = Literal["gelu", "gelu_tanh", "quick_gelu", "relu", "silu", "tanh"]


@dataclass(frozen=True, kw_only=True, slots=True)
class NormConfig:
    """A normalisation over the last dimension. LayerNorm: Ba et al. 2016. RMSNorm: Zhang & Sennrich 2019."""

    kind: Literal["layernorm", "rmsnorm"]
    eps: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LearnedPosition:
    """A trained table that is added to the embeddings (BERT, GPT-2)."""

    size: int
    """Rows that may be used; the table itself has `size + offset` rows."""
    offset: int = 0
    """Row of position 0 (RoBERTa and BART keep rows before it)."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockConfig:
    """Attention and feed-forward, each a residual with a norm before it or after it."""

    attention: AttentionConfig
    feedforward: FeedForwardConfig
    norm: NormConfig
    placement: Literal["pre", "post"]
    dropout: float = 0.0
    """On each branch before it is added to the residual, in training."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenEmbedConfig:
    """Token embeddings, with segment (type) and position tables added where a family has them."""

    vocab_size: int
    n_types: int = 0
    position: LearnedPosition | None = None
    norm: NormConfig | None = None
    dropout: float = 0.0
    scale: float = 1.0
    """Multiplies the token embeddings."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StackConfig:
    """Embeddings and blocks: everything of a model but its heads."""

    dim: int
    embed: TokenEmbedConfig
    blocks: tuple[BlockConfig, ...]
    causal: bool
    rotary: RotaryPosition | None = None
    final_norm: NormConfig | None = None

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
    norm: NormConfig | None = None
    """The transform's norm."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """A stack and its heads."""

    stack: StackConfig
    language: LanguageHeadConfig | None = None
    pooler: bool = False
    """BERT's dense + tanh over the first token."""
    n_pair_classes: int = 0
    """Outputs of the sentence-pair head (next sentence, sentence order) over the pooler; 0: no head."""

    def __post_init__(self) -> None:
        if self.n_pair_classes and not self.pooler:
            raise ConfigError("a sentence-pair head needs the pooler", fix="Set pooler=True")
