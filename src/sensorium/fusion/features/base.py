"""What all feature-level fusions have in common: their settings, their one interface, and the check of what they read.

Unusual: modalities are held in the sorted order of their names, whatever order a dictionary has, and parameters are
numbered in that order rather than named: a modality may be called as a user calls a column (`type`, `a.b`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sensorium.errors import CapabilityError, ConfigError, unknown

Kind = Literal["concat", "gated", "film", "low_rank", "cross", "bottleneck", "shared"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_OF_BLOCKS = ("cross", "bottleneck", "shared")
Features = dict[str, Float[Tensor, "batch _ dim"]]
"""By modality: its tokens, as `missing.Align` and `missing.Absent` give them."""
Tokens = Float[Tensor, "batch _ dim"]
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True, slots=True)
class FusionConfig:
    """How features are fused.

    Raises:
        ConfigError: a value is out of its range, or `heads` does not divide `dim` where there is attention.
    """

    kind: Kind
    dim: int
    """Of every token that is read and of the vector that is given."""
    heads: int = 4
    """Of attention: cross, bottleneck, shared."""
    layers: int = 2
    """Transformer blocks: cross, bottleneck, shared."""
    rank: int = 8
    """Of the weight tensor: low_rank."""
    bottlenecks: int = 4
    """Tokens through which modalities exchange: bottleneck."""
    dropout: float = 0.1
    """In training."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(unknown("kind of fusion", str(self.kind), KINDS))
        for name in ("dim", "heads", "layers", "rank", "bottlenecks"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)} must be at least 1", where="fusion")
        if self.kind in _OF_BLOCKS and self.dim % self.heads:
            raise ConfigError(
                f"heads={self.heads} does not divide dim={self.dim}", where="fusion", fix="Change one of the two"
            )
        check_rate(self.dropout, "dropout", where="fusion")


class Fusion(nn.Module, ABC):
    """Tokens of each modality to one vector a row.

    Args:
        config: the settings.
        tokens: how many tokens each modality has; fixes the set of modalities.

    Raises:
        ConfigError: there are fewer modalities than the kind takes, or one without tokens.
    """

    least = 1
    """The fewest modalities that the kind takes."""

    def __init__(self, config: FusionConfig, tokens: Mapping[str, int]) -> None:
        super().__init__()
        self.config = config
        self.tokens = sorted_tokens(tokens)
        if len(self.tokens) < self.least:
            raise ConfigError(
                f"fusion of kind {config.kind!r} takes {self.least} modalities or more, not {len(self.tokens)}",
                fix="Give another modality, or take kind='concat'",
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The modalities, in the order in which they are fused."""
        return tuple(self.tokens)

    def forward(self, features: Features) -> Float[Tensor, "batch dim"]:
        """Fuse.

        Args:
            features: tokens of each modality, in any order; padding and absence were dealt with before.

        Raises:
            CapabilityError: a modality is missing or foreign, or has another number or width of tokens than the fusion
                was built for.
        """
        return self.fuse(self._checked(features))

    @abstractmethod
    def fuse(self, features: Sequence[Tokens]) -> Float[Tensor, "batch dim"]:
        """The method itself, on features that were checked, in the order of `names`."""

    def _checked(self, features: Features) -> list[Tokens]:
        ordered = in_order(features, self.names)
        batch = len(ordered[0])
        for (name, tokens), x in zip(self.tokens.items(), ordered, strict=True):
            if x.shape != (batch, tokens, self.config.dim):
                raise CapabilityError(
                    f"features of shape {tuple(x.shape)}; the fusion was built for {(batch, tokens, self.config.dim)}",
                    where=name,
                    fix="Give each modality its rows, its number of tokens and the common width",
                )
        return ordered


def means(features: Sequence[Tokens]) -> list[Float[Tensor, "batch dim"]]:
    """One vector a modality: the mean over its tokens."""
    return [x.mean(1) for x in features]


def mean_of(parts: Sequence[Float[Tensor, "*shape"]]) -> Float[Tensor, "*shape"]:
    """The mean over modalities."""
    return torch.stack(list(parts)).mean(0)


def in_order(given: Mapping[str, _T], names: Sequence[str]) -> list[_T]:
    """What is given by modality, in the order of `names`.

    Raises:
        CapabilityError: a modality is missing, or one is given that is not known.
    """
    if given.keys() != set(names):
        missing, foreign = sorted(set(names) - given.keys()), sorted(given.keys() - set(names))
        faults = [f"without {_listed(missing)}"] * bool(missing) + [f"with the unknown {_listed(foreign)}"] * bool(
            foreign
        )
        raise CapabilityError(
            f"given {' and '.join(faults)}; the modalities are {_listed(names)}",
            fix="Give exactly these; one that is absent in a row is marked so in `present`",
        )
    return [given[name] for name in names]


def sorted_tokens(tokens: Mapping[str, int]) -> dict[str, int]:
    """The number of tokens of each modality, by sorted name.

    Raises:
        ConfigError: there is no modality, or one without tokens.
    """
    if not tokens:
        raise ConfigError("no modality is given", where="tokens", fix="Name each with its number of tokens")
    for name, count in tokens.items():
        if count < 1:
            raise ConfigError(f"a modality of {count} tokens", where=f"tokens[{name!r}]", fix="Give at least 1")
    return {name: tokens[name] for name in sorted(tokens)}


def check_rate(rate: float, name: str, *, where: str) -> None:
    """A probability of dropping.

    Raises:
        ConfigError: it is not in [0, 1).
    """
    if not 0.0 <= rate < 1.0:
        raise ConfigError(f"{name}={rate} is not in [0, 1)", where=where)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
