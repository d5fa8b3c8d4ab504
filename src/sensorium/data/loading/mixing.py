"""Several corpora as one, each with its share of the tokens.

Unusual: nothing is drawn at random. Each time the corpus is next that is furthest behind its share of what was handed
out so far. None is ever ahead by more than one piece, so that the shares hold in every window of a run, not on average
alone; and the state is a count for each corpus.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sensorium.data.shards import TokenShards
from sensorium.errors import ConfigError


def most_owed(weights: Sequence[float], drawn: Sequence[int]) -> int:
    """Which corpus is next: the one that is furthest behind its share; of several, the first.

    Args:
        weights: that sum to 1.
        drawn: tokens of each so far.
    """
    total = sum(drawn)
    owed = [weight * total - count for weight, count in zip(weights, drawn, strict=True)]
    # Those that have nothing yet begin by weight, not by order.
    return max(range(len(owed)), key=lambda i: (owed[i], weights[i] if not total else 0.0, -i))


def normalised(weights: Sequence[float]) -> tuple[float, ...]:
    """Weights that sum to 1.

    Raises:
        ConfigError: one of them is not above 0, or not finite.
    """
    for weight in weights:
        if not (weight > 0 and math.isfinite(weight)):
            raise ConfigError(f"a corpus has the weight {weight}", fix="Give each a number above 0, or leave it out")
    total = math.fsum(weights)
    return tuple(weight / total for weight in weights)


@dataclass(frozen=True, eq=False)
class Mixture:
    """One split of several corpora.

    Args:
        parts: of each corpus.
        weights: the share of each, that sum to 1.
        names: of the corpora.
    """

    parts: tuple[TokenShards, ...]
    weights: tuple[float, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        """Documents."""
        return sum(map(len, self.parts))

    @property
    def n_tokens(self) -> int:
        return sum(part.n_tokens for part in self.parts)

    @property
    def n_bytes(self) -> int:
        """UTF-8 bytes of the text that the tokens encode."""
        return sum(part.n_bytes for part in self.parts)

    def head(self, tokens: int) -> Mixture:
        """The first documents of each that has any, up to its share of a number of tokens; at least one of each."""
        held = [i for i, part in enumerate(self.parts) if len(part)]
        weights = normalised([self.weights[i] for i in held])
        parts = tuple(self.parts[i].head(round(tokens * weight)) for i, weight in zip(held, weights, strict=True))
        return Mixture(parts, weights, tuple(self.names[i] for i in held))
