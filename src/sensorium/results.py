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
class Classification:
    """The class of a text."""

    label: str
    """The likeliest."""
    score: float
    """Its probability, 0 to 1; of a model that tells an amount, the amount."""
    scores: dict[str, float]
    """Of every class, the likeliest first."""


@dataclass(frozen=True, slots=True)
class Tag:
    """A word of a text and its tag."""

    word: str
    label: str
    score: float
    """Probability of the tag, 0 to 1."""
    start: int
    """First character of the word."""
    end: int


@dataclass(frozen=True, slots=True)
class Entity:
    """A name or the like that one or several words of a text make up."""

    text: str
    label: str
    score: float
    """The least of its words' probabilities, 0 to 1."""
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Tagging:
    """The words of a text with their tags."""

    text: str
    tags: tuple[Tag, ...]
    entities: tuple[Entity, ...]
    """What tags like B-PER, I-PER mark; empty where a model's tags are no such marks."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a context says to a question."""

    text: str
    """Empty: the context does not say."""
    score: float
    """Extracted: its probability among the best spans, and no answer where that is allowed, 0 to 1. Generated: the
    geometric mean of its tokens' probabilities."""
    start: int | None
    """Its first character in the context; None of no answer, and of a generated one that does not stand there."""
    end: int | None
    passage: str = ""
    """Extracted: what was read when it was found: the context, a part of it where it is very long, or a passage."""
    margin: float | None = None
    """Extracted: by how much the answer's logits exceed those of no answer; negative where no answer is likelier."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One number that says how good a model is, with its 95% confidence interval."""

    name: str
    value: float
    low: float
    high: float
    n: int
    """Sentences or questions that it was measured on."""
    signature: str = ""
    """How it was computed, for those who want to compare."""


_SHOWN = 3
"""Problems that a table of measures names."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How good a model is at a task."""

    task: Literal["translation", "qa"]
    measures: tuple[Measure, ...]
    outputs: tuple[str, ...]
    """What the model gave, in the order of the data."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Rows of the data that were not used, by reason."""
    problems: tuple[dict[str, str], ...] = ()
    """What was wrong with rows, and where: the first thousand."""

    def __getitem__(self, name: str) -> Measure:
        """The measure of this name."""
        found = {measure.name: measure for measure in self.measures}
        if name not in found:
            raise KeyError(f"no measure {name!r} (there are: {', '.join(found)})")
        return found[name]

    def table(self) -> str:
        """The measures in lines."""
        width = max(len(measure.name) for measure in self.measures)
        lines = [
            f"{measure.name:<{width}}  {measure.value:6.2f}  [{measure.low:.2f}, {measure.high:.2f}]  n={measure.n:,}"
            f"  {measure.signature}".rstrip()
            for measure in self.measures
        ]
        lines += [f"left out: {count:,} ({reason})" for reason, count in self.left_out.items()]
        lines += [f"  {problem['where']}: {problem['reason']}" for problem in self.problems[:_SHOWN]]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Link:
    """A word of a text and the word of its translation that stands for it, by their first characters and ends."""

    source: tuple[int, int]
    target: tuple[int, int]
    score: float
    """The attention that the translation's word pays to the other, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Translation:
    """A translation of a text."""

    text: str
    score: float
    """Natural log-probability over length ** length_penalty; of a text translated in parts, of the parts together."""
    tokens: tuple[str, ...]
    """As they stand in the vocabulary, the end token not among them; a placeholder that was copied is one token."""
    alignment: tuple[Link, ...] | None = None
    """Which words translate which, where that was asked for; in the order of the translation."""
    alternatives: tuple[Translation, ...] = ()
    """The next best, best first, where several were asked for."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of what was heard in a sound."""

    start: float
    """In seconds from the sound's begin."""
    end: float
    text: str
    token_ids: tuple[int, ...]
    """With those of times, where times were written."""
    mean_logprob: float
    """Mean natural log-probability of the tokens of the window that it was heard in."""
    no_speech_prob: float
    """How likely it is that nobody speaks in that window, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Transcription:
    """What was heard in a sound."""

    text: str
    segments: tuple[Segment, ...]
    """Without times, one for all of it; none where nothing was heard."""
    language: str | None
    """Its code, told or detected; None of a model that knows no languages."""
    duration: float = 0.0
    """Of the sound, in seconds."""


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
