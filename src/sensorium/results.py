"""What the tasks return: small frozen records, equal by value, printable, JSON-ready by `asdict`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Fill:
    """One candidate for one mask of a text."""

    token: str
    """The candidate as text, without the space that may stand before it."""
    text: str
    """The whole text with this mask filled by the candidate."""
    score: float
    """Probability of the candidate at this mask, 0 to 1."""
    token_id: int
    mask: int = 0
    """Which mask of the text it fills, counted from 0."""


@dataclass(frozen=True, slots=True)
class Usage:
    """How many tokens a request took and gave."""

    prompt_tokens: int
    completion_tokens: int

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Generation:
    """A continuation of a prompt."""

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    """Natural log-probability of each generated token under the model, before any sampling transform."""
    finish_reason: FinishReason
    usage: Usage


@dataclass(frozen=True, slots=True)
class Chunk:
    """One step of a streamed generation: the text that became final with this step (may be empty)."""

    text: str
    token_id: int | None
    logprob: float | None
    finish_reason: FinishReason | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """Log-probabilities of a text's own tokens."""

    tokens: tuple[str, ...]
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    """Natural log-probability of each scored token."""
    n_bytes: int
    """Length of the scored text in UTF-8 bytes."""
    method: Literal["causal", "pseudo"] = "causal"
    """`causal`: left to right. `pseudo`: each token masked in turn (Salazar et al. 2020)."""

    @property
    def nats(self) -> float:
        return -math.fsum(self.logprobs)

    @property
    def perplexity(self) -> float:
        """exp of the mean negative log-probability a token."""
        return math.exp(self.nats / len(self.logprobs)) if self.logprobs else math.nan

    @property
    def bits_per_byte(self) -> float:
        """Comparable between tokenizers, as perplexity is not."""
        return self.nats / math.log(2) / self.n_bytes if self.n_bytes else math.nan


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that `verify` compared."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` found: does a model folder compute now what it computed when it was saved?"""

    engine: str
    checks: Sequence[Check] = field(default_factory=tuple)

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)
