"""Towers: a stack, and one vector of what it read; and several towers that share one space.

A tower's vector is pooled from the hidden states and projected. CLIP (Radford et al. 2021) and SigLIP (Zhai et al.
2023) are two towers, of pictures and texts; here any number may be aligned, by name.

Unusual: a tower of clips reads each frame by one stack and the frames' vectors by another, so that attention is over
space, then over time (the factorised encoder of ViViT, Arnab et al. 2021).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sensorium.core.attend import Backend, attend
from sensorium.core.capture import Capture
from sensorium.core.config import FeedForwardConfig, NormConfig, StackConfig
from sensorium.core.feedforward import FeedForward
from sensorium.core.head import first_or_mean
from sensorium.core.linear import Linear
from sensorium.core.mask import MaskSpec
from sensorium.core.norm import build_norm
from sensorium.core.senses import SenseConfig, SenseStack, has_class_vector
from sensorium.core.stack import Hidden, Ids, Stack
from sensorium.errors import ConfigError, InputError

Pool = Literal["first", "last", "mean", "eos", "attention"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolConfig:
    """How one vector is made of hidden states."""

    kind: Pool
    """`first` and `last`: that position's, of the valid ones. `mean`: over the valid ones. `eos`: the first end token's
    (CLIP's texts). `attention`: a learned query's (SigLIP's pictures)."""
    eos_id: int | None = None
    """Of `eos`; None takes the highest id of each row, as the first CLIP models do."""
    norm: NormConfig | None = None
    """Of the pooled vector; of `attention`, before its feed-forward network."""
    pooler: bool = False
    """BERT's and ViT's dense + tanh over the pooled vector."""
    heads: int = 1
    feedforward: FeedForwardConfig | None = None
    """Both of `attention`."""

    def __post_init__(self) -> None:
        if self.kind == "attention" and (self.norm is None or self.feedforward is None):
            raise ConfigError("pooling by attention has a norm and a feed-forward network")


@dataclass(frozen=True, kw_only=True, slots=True)
class TowerConfig:
    """A stack, its pooling and the projection into a shared space."""

    stack: StackConfig | SenseConfig
    pool: PoolConfig
    projection: int | None
    """Width of the shared space; None leaves the pooled vector as it is."""
    projection_bias: bool = False
    reads_padding: bool = False
    """Padding is read like any other token, whatever `valid` says (SigLIP, whose texts are always padded to their full
    length)."""
    time: SenseConfig | None = None
    """Of clips: reads the vectors of the frames, which `stack` reads one by one."""

    def __post_init__(self) -> None:
        if self.pool.kind == "attention" and self.stack.dim % self.pool.heads:
            raise ConfigError(f"a width of {self.stack.dim} is not a multiple of the pooling's {self.pool.heads} heads")
        if self.pool.kind == "eos" and not isinstance(self.stack, StackConfig):
            raise ConfigError("only texts are pooled at their end token")

    @property
    def width(self) -> int:
        """Of the tower's vector."""
        return self.projection or (self.time or self.stack).dim


@dataclass(frozen=True, kw_only=True, slots=True)
class AlignedConfig:
    """Towers of one shared space, by name."""

    towers: tuple[tuple[str, TowerConfig], ...]
    scale: float
    """log of what multiplies the cosines, at the start of training."""
    bias: float | None = None
    """Added to the scaled cosines (SigLIP)."""

    def __post_init__(self) -> None:
        widths = {tower.width for _, tower in self.towers}
        if len(self.towers) < 2 or len(dict(self.towers)) != len(self.towers) or len(widths) != 1:
            raise ConfigError(
                f"towers {[(name, tower.width) for name, tower in self.towers]} cannot be aligned",
                fix="Give two or more, of different names and one width",
            )


class AttentionPool(nn.Module):
    """One learned query attends to all hidden states; then a residual feed-forward network (SigLIP's head)."""

    def __init__(self, config: PoolConfig, dim: int) -> None:
        super().__init__()
        if config.norm is None or config.feedforward is None:
            raise ConfigError("pooling by attention has a norm and a feed-forward network")
        self.heads = config.heads
        self.query = nn.Parameter(torch.randn(dim) * 0.02)
        self.q, self.k, self.v, self.out = (Linear(dim, dim) for _ in range(4))
        self.norm = build_norm(config.norm, dim)
        self.feedforward = FeedForward(config.feedforward, dim)

    def forward(self, hidden: Hidden, valid: Bool[Tensor, "batch seq"] | None = None) -> Float[Tensor, "batch dim"]:
        query = self.query.to(hidden.dtype).expand(len(hidden), 1, -1)
        q, k, v = (self._split(x) for x in (self.q(query), self.k(hidden), self.v(hidden)))
        x = attend(q, k, v, spec=MaskSpec(causal=False, key_valid=valid))[0]
        x = self.out(x.transpose(1, 2).flatten(2))[:, 0]
        return x + self.feedforward(self.norm(x))  # type: ignore[no-any-return]

    def _split(self, x: Float[Tensor, "batch seq dim"]) -> Float[Tensor, "batch heads seq head_dim"]:
        return x.view(*x.shape[:-1], self.heads, -1).transpose(1, 2)


class Tower(nn.Module):
    """Reads one sense and tells one vector of it."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.config = config
        self.stack = Stack(config.stack) if isinstance(config.stack, StackConfig) else SenseStack(config.stack)
        self.time = SenseStack(config.time) if config.time is not None else None
        pool, dim = config.pool, config.stack.dim
        self.pool = AttentionPool(pool, dim) if pool.kind == "attention" else None
        self.norm = build_norm(pool.norm, dim) if pool.norm is not None and self.pool is None else None
        self.pooler = Linear(dim, dim) if pool.pooler else None
        last = dim if config.time is None else config.time.dim
        self.projection = (
            Linear(last, config.projection, bias=config.projection_bias) if config.projection is not None else None
        )

    def forward(
        self, x: Tensor, *, valid: Bool[Tensor, "batch seq"] | None = None, backend: Backend = "auto"
    ) -> Float[Tensor, "batch width"]:
        """One vector a row, not normalised.

        Args:
            x: token ids "batch seq"; or what the stack's embedding reads (`SenseStack`); of clips, frames
                "batch time channels height width".
            valid: False at padding of texts. A causal tower that pools at the end token needs none: nothing before
                the end sees what is after it.
            backend: see `attend`.

        Raises:
            ConfigError: the input has another size than the tower reads.
            InputError: texts are pooled at an end token that one of them lacks (told on a CPU only).
        """
        ids = x if isinstance(self.stack, Stack) else None
        return self.pooled(self.hidden(x, valid=valid, backend=backend), ids=ids, valid=valid)

    def hidden(
        self,
        x: Tensor,
        *,
        valid: Bool[Tensor, "batch seq"] | None = None,
        backend: Backend = "auto",
        capture: Capture | None = None,
    ) -> Hidden:
        """All hidden states of the stack; of clips, of the one that reads the frames' vectors. Of texts with padding
        those at the padding say nothing."""
        if self.time is not None:
            frames = self._vector(self.stack(x.flatten(0, 1), backend=backend))
            return self.time(frames.unflatten(0, x.shape[:2]), backend=backend, capture=capture)  # type: ignore[no-any-return,no-untyped-call]
        if isinstance(self.stack, Stack):
            return self.stack.read(x, valid=self._valid(valid), backend=backend, capture=capture)
        return self.stack(x, backend=backend, capture=capture)  # type: ignore[no-any-return]

    def pooled(
        self, hidden: Hidden, *, ids: Ids | None = None, valid: Bool[Tensor, "batch seq"] | None = None
    ) -> Float[Tensor, "batch width"]:
        """The tower's vector, of the hidden states; see `forward`. `ids` are what texts are pooled by."""
        if self.time is None:
            vector = self._vector(hidden, ids, self._valid(valid))
        else:
            vector = hidden[:, 0] if has_class_vector(self.time.config) else hidden.mean(1)
        return vector if self.projection is None else self.projection(vector)

    def _valid(self, valid: Bool[Tensor, "batch seq"] | None) -> Bool[Tensor, "batch seq"] | None:
        return None if self.config.reads_padding else valid

    def _vector(
        self, hidden: Hidden, ids: Ids | None = None, valid: Bool[Tensor, "batch seq"] | None = None
    ) -> Float[Tensor, "batch dim"]:
        """The hidden states pooled, normed and through the pooler, as far as there is one."""
        pool = self.config.pool
        match pool.kind:
            case "first" | "mean":
                vector: Tensor = first_or_mean(hidden, pool.kind, valid=valid)
            case "last":
                vector = hidden[:, -1] if valid is None else at(hidden, _last(valid))
            case "eos":
                if ids is None:
                    raise ConfigError("texts are pooled at their end token by their ids", fix="Give ids=")
                vector = at(hidden, _end(ids, pool.eos_id, valid))
            case "attention":
                if self.pool is None:
                    raise ConfigError("pooling by attention has a norm and a feed-forward network")
                vector = self.pool(hidden, valid)
        if self.norm is not None:
            vector = self.norm(vector)
        return vector if self.pooler is None else torch.tanh(self.pooler(vector))


def at(hidden: Hidden, places: Int[Tensor, " batch"]) -> Float[Tensor, "batch dim"]:
    """One hidden state of each row."""
    return hidden[torch.arange(len(hidden), device=hidden.device), places]


def _last(valid: Bool[Tensor, "batch seq"]) -> Int[Tensor, " batch"]:
    return valid.shape[1] - 1 - valid.flip(1).int().argmax(1)


def _end(ids: Ids, eos_id: int | None, valid: Bool[Tensor, "batch seq"] | None) -> Int[Tensor, " batch"]:
    if eos_id is None:
        return (ids if valid is None else ids.masked_fill(~valid, -1)).argmax(-1)
    ends = ids == eos_id if valid is None else (ids == eos_id) & valid
    if ids.device.type == "cpu" and not torch.compiler.is_compiling() and not bool(ends.any(-1).all()):
        raise InputError(
            f"a text lacks the end token {eos_id}, at which it is pooled",
            fix="Tokenize with special tokens, and keep the end token when you shorten a text",
        )
    return ends.int().argmax(-1)


class Aligned(nn.Module):
    """Towers whose vectors lie close for what belongs together."""

    def __init__(self, config: AlignedConfig) -> None:
        super().__init__()
        self.config = config
        self.towers = nn.ModuleDict({name: Tower(tower) for name, tower in config.towers})
        self.scale = nn.Parameter(torch.tensor(config.scale))
        self.bias = nn.Parameter(torch.tensor(config.bias)) if config.bias is not None else None

    def embed(
        self, name: str, x: Tensor, *, valid: Bool[Tensor, "batch seq"] | None = None, backend: Backend = "auto"
    ) -> Float[Tensor, "batch width"]:
        """Vectors of length one of what the tower `name` reads; see `Tower.forward`."""
        return F.normalize(self.towers[name](x, valid=valid, backend=backend), dim=-1)

    def logits(self, a: Float[Tensor, "n width"], b: Float[Tensor, "m width"]) -> Float[Tensor, "n m"]:
        """Scaled (and shifted) cosines of unit vectors."""
        scaled = a @ b.T * self.scale.exp()
        return scaled if self.bias is None else scaled + self.bias


CLIP_SCALE = math.log(1 / 0.07)
"""Where CLIP's temperature starts, as `AlignedConfig.scale`."""
