"""From the model's logits to the next token: small transforms that compose, and the choice itself.

Each transform is a frozen record with one method; `Sampling.transforms` puts them in the order of Hugging Face's
`generate`. Repetition penalty is CTRL's (Keskar et al. 2019) over prompt and continuation; presence and frequency
penalties are the OpenAI API's, over the continuation alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sensorium.errors import EngineError, InputError

Row = Float[Tensor, " vocab"]
Number = float | int


@runtime_checkable
class Transform(Protocol):
    """Changes the logits of one row in view of the tokens before."""

    def __call__(self, logits: Row, prompt: Sequence[int], generated: Sequence[int]) -> Row: ...


@dataclass(frozen=True, slots=True)
class Temperature:
    """Sharper below 1, flatter above. The likeliest token's logit becomes 0, so that no division overflows."""

    value: Number

    def __call__(self, logits: Row, prompt: Sequence[int], generated: Sequence[int]) -> Row:
        below = logits - logits.max()
        # A temperature too small for the type counts as 0 there, and 0 / 0 is no number.
        return torch.where(below < 0, below / self.value, below)


@dataclass(frozen=True, slots=True)
class TopK:
    """Only the k likeliest (Fan et al. 2018)."""

    k: int

    def __call__(self, logits: Row, prompt: Sequence[int], generated: Sequence[int]) -> Row:
        least = logits.topk(min(self.k, len(logits))).values[-1]
        return logits.masked_fill(logits < least, -math.inf)


@dataclass(frozen=True, slots=True)
class TopP:
    """The smallest set of likeliest tokens whose probabilities reach p (nucleus; Holtzman et al. 2020)."""

    p: Number

    def __call__(self, logits: Row, prompt: Sequence[int], generated: Sequence[int]) -> Row:
        ordered, order = logits.sort()
        unlikely = ordered.softmax(-1).cumsum(-1) <= 1 - self.p
        unlikely[-1] = False
        return logits.masked_fill(torch.zeros_like(unlikely).scatter(0, order, unlikely), -math.inf)


@dataclass(frozen=True, slots=True)
class MinP:
    """Tokens at least p times as likely as the likeliest (Nguyen et al. 2024)."""

    p: Number

    def __call__(self, logits: Row, prompt: Sequence[int], generated: Sequence[int]) -> Row:
        probabilities = logits.softmax(-1)
        return logits.masked_fill(probabilities < self.p * probabilities.max(), -math.inf)


@dataclass(frozen=True, slots=True)
class RepetitionPenalty:
    """Positive logits of tokens seen before are divided by the penalty, negative ones multiplied."""

    penalty: Number

    def __call__(self, logits: Row, prompt: Sequence[int], generated: Sequence[int]) -> Row:
        seen = torch.tensor(sorted({*prompt, *generated}), device=logits.device)
        if not len(seen):
            return logits
        values = logits[seen]
        return logits.index_copy(0, seen, torch.where(values < 0, values * self.penalty, values / self.penalty))


@dataclass(frozen=True, slots=True)
class PresencePenalty:
    """Taken once from the logit of every token generated so far."""

    penalty: Number

    def __call__(self, logits: Row, prompt: Sequence[int], generated: Sequence[int]) -> Row:
        seen = torch.tensor(sorted(set(generated)), dtype=torch.long, device=logits.device)
        return logits.index_add(0, seen, torch.full_like(seen, -self.penalty, dtype=logits.dtype))


@dataclass(frozen=True, slots=True)
class FrequencyPenalty:
    """Taken from a token's logit as often as the token was generated so far."""

    penalty: Number

    def __call__(self, logits: Row, prompt: Sequence[int], generated: Sequence[int]) -> Row:
        seen = torch.tensor(generated, dtype=torch.long, device=logits.device)
        return logits.index_add(0, seen, torch.full_like(seen, -self.penalty, dtype=logits.dtype))


@dataclass(frozen=True, slots=True)
class Suppressed:
    """Tokens that are not chosen, or not before there are so many."""

    ids: tuple[int, ...]
    before: Number = math.inf

    def __call__(self, logits: Row, prompt: Sequence[int], generated: Sequence[int]) -> Row:
        if len(generated) >= self.before:
            return logits
        return logits.index_fill(0, torch.tensor(self.ids, device=logits.device), -math.inf)


@dataclass(frozen=True, slots=True)
class NoRepeatedRun:
    """No run of so many tokens stands twice in prompt and continuation (Paulus et al. 2018)."""

    size: int

    def __call__(self, logits: Row, prompt: Sequence[int], generated: Sequence[int]) -> Row:
        ids = [*prompt, *generated]
        runs = zip(*(ids[i:] for i in range(self.size)), strict=False)
        last = tuple(ids[len(ids) - self.size + 1 :])
        banned = [run[-1] for run in runs if run[:-1] == last]
        return logits.index_fill(0, torch.tensor(banned, dtype=torch.long, device=logits.device), -math.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the next token is chosen.

    Raises:
        InputError: a value is no number, or out of its range.
    """

    temperature: Number = 0.0
    """0: always the likeliest token (greedy)."""
    top_k: int | None = None
    top_p: Number | None = None
    min_p: Number | None = None
    repetition_penalty: Number = 1.0
    presence_penalty: Number = 0.0
    frequency_penalty: Number = 0.0

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, "0 or more", lambda x: 0 <= x < math.inf)
        if self.top_k is not None:
            check_whole("top_k", self.top_k, "1 or more", lambda x: x >= 1)
        if self.top_p is not None:
            check_number("top_p", self.top_p, "above 0 and at most 1", lambda x: 0 < x <= 1)
        if self.min_p is not None:
            check_number("min_p", self.min_p, "between 0 and 1", lambda x: 0 <= x <= 1)
        check_number("repetition_penalty", self.repetition_penalty, "above 0 (1: none)", lambda x: 0 < x < math.inf)
        for name, value in (("presence", self.presence_penalty), ("frequency", self.frequency_penalty)):
            check_number(f"{name}_penalty", value, "a finite number (0: none)", math.isfinite)

    @property
    def greedy(self) -> bool:
        return self.temperature == 0

    def transforms(self) -> tuple[Transform, ...]:
        """Those that do something, in the order in which they apply."""
        found: list[Transform] = []
        if self.repetition_penalty != 1:
            found.append(RepetitionPenalty(self.repetition_penalty))
        if self.presence_penalty:
            found.append(PresencePenalty(self.presence_penalty))
        if self.frequency_penalty:
            found.append(FrequencyPenalty(self.frequency_penalty))
        if self.greedy:
            return tuple(found)
        if self.temperature != 1:
            found.append(Temperature(self.temperature))
        if self.top_k is not None:
            found.append(TopK(self.top_k))
        if self.top_p is not None and self.top_p < 1:
            found.append(TopP(self.top_p))
        if self.min_p:
            found.append(MinP(self.min_p))
        return tuple(found)


def choose(logits: Row, generator: torch.Generator | None) -> int:
    """The likeliest token, or with a generator one drawn from the distribution by a single uniform number.

    One number a token, always from the CPU: so a row's draws depend neither on the device nor on the other rows.

    Raises:
        EngineError: there is no distribution to draw from.
    """
    if generator is None:
        return int(logits.argmax() if logits.is_cuda else logits.numpy().argmax())
    cumulative = logits.double().softmax(-1).cumsum(-1)
    if not math.isfinite(float(cumulative[-1])):
        raise EngineError(
            "the probabilities to draw the next token from are not finite numbers",
            fix="Use milder penalties, check the weights with `sensorium verify`, or load with dtype='float32'",
        )
    point = torch.rand((), dtype=torch.float64, generator=generator).to(cumulative.device) * cumulative[-1]
    return int(torch.searchsorted(cumulative, point, right=True).clamp(max=len(logits) - 1))


def logprob_of(token: int, logits: Row) -> float:
    """Natural log-probability of a token.

    In NumPy on the CPU, as the greedy choice is: a row is too small for PyTorch's threads, and waking them between
    two steps of a decoder that runs on NumPy's own makes both pools spin for the same cores.
    """
    if logits.is_cuda:
        return float(logits[token] - logits.logsumexp(-1))
    row = logits.numpy()
    top = row.max()
    return float(row[token] - top - np.log(np.exp(row - top).sum(dtype=np.float64)))


def check_number(name: str, value: object, allowed: str, holds: Callable[[Any], bool]) -> None:
    """Refuse an argument that is no number, or out of its range.

    Raises:
        InputError: it is, and what is allowed.
    """
    _check(name, value, isinstance(value, Real), "a number", allowed, holds)


def check_whole(name: str, value: object, allowed: str, holds: Callable[[Any], bool]) -> None:
    """Refuse an argument that is no whole number, or out of its range.

    Raises:
        InputError: it is, and what is allowed.
    """
    _check(name, value, isinstance(value, Integral), "a whole number", allowed, holds)


def _check(name: str, value: object, fits: bool, kind: str, allowed: str, holds: Callable[[Any], bool]) -> None:
    if not fits:
        raise InputError(f"{name}={value!r} is not {kind}", fix=f"It must be {allowed}")
    if not holds(value):
        raise InputError(f"{name}={value} is out of range", fix=f"It must be {allowed}")
