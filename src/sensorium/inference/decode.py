"""The decoding loop: prompts in, one step a token out. Streaming is the primitive; whole texts are its sum.

Rows are independent: each has its own limits, generator and stop conditions, and a row that is done leaves the
batch and the cache. The reported log-probabilities are the model's own, before any transform. An encoder–decoder reads
the prompt and writes a text of its own; a causal model continues the prompt.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import EngineError
from sensorium.inference.engine import Engine, Seq2SeqEngine
from sensorium.inference.logits import NoRepeatedRun, Sampling, Suppressed, Transform, choose, logprob_of
from sensorium.inference.text import StopStrings, TextStream
from sensorium.results import FinishReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One prompt and what is wanted after it."""

    prompt: Sequence[int]
    max_new_tokens: int
    sampling: Sampling = field(default_factory=Sampling)
    stop: tuple[str, ...] = ()
    seed: int | None = None
    """Of this row's own random numbers; None draws a fresh one."""
    ignore_eos: bool = False
    forced_bos: int | None = None
    """The first token."""
    forced_eos: int | None = None
    """The last token, where no other end came before `max_new_tokens`."""
    suppressed: tuple[int, ...] = ()
    """Tokens that are not chosen."""
    min_new_tokens: int = 0
    """No end before so many."""
    no_repeat_ngram: int = 0
    """No run of so many tokens stands twice; 0: any may."""


@dataclass(frozen=True, slots=True)
class Step:
    """One new token of one row."""

    row: int
    token_id: int
    logprob: float
    text: str
    """What became final with it: possibly nothing, possibly the end of several tokens."""
    finish_reason: FinishReason | None


def decode(engine: Engine | Seq2SeqEngine, requests: Sequence[Request]) -> Iterator[Step]:
    """Decode all requests as one batch. Every row ends with a step that has a finish reason.

    Raises:
        EngineError: the model gives logits that are not numbers.
    """
    rows = [_Row(index, request, engine) for index, request in enumerate(requests)]
    prompts = [request.prompt for request in requests]
    capacity = max(request.max_new_tokens for request in requests)
    if isinstance(engine, Seq2SeqEngine):
        state, logits = engine.read(prompts, capacity)
    else:
        state, logits = engine.prefill(prompts, max(map(len, prompts)) + capacity)
    while True:
        steps = [row.advance(logits[i]) for i, row in enumerate(rows)]
        yield from steps
        going = [i for i, step in enumerate(steps) if step.finish_reason is None]
        if not going:
            return
        if len(going) < len(rows):
            rows = [rows[i] for i in going]
            state.keep(going)
        logits = state.step([row.generated[-1] for row in rows])


class _Row:
    """What is remembered of one sequence while it grows."""

    def __init__(self, index: int, request: Request, engine: Engine | Seq2SeqEngine) -> None:
        self.index = index
        self.request = request
        self.generated: list[int] = []
        self._eos = frozenset[int]() if request.ignore_eos else engine.eos_ids
        self._before: Sequence[int] = request.prompt
        """What the text continues."""
        if isinstance(engine, Seq2SeqEngine):
            self._before = [engine.facts.start]
        self._transforms = (*self._bans(), *request.sampling.transforms())
        self._generator = None if request.sampling.greedy else _generator(request.seed)
        tokenizer: Tokenizer = engine.tokenizer.target
        self._text = TextStream(tokenizer, self._before)
        self._stop = StopStrings(request.stop)

    @torch.inference_mode()
    def advance(self, logits: Float[Tensor, " vocab"]) -> Step:
        """Choose the next token."""
        logits = logits.float()
        token = self._forced()
        if token is None:
            changed = logits
            for transform in self._transforms:
                changed = transform(changed, self._before, self.generated)
            token = choose(changed, self._generator)
        logprob = logprob_of(token, logits)
        if not math.isfinite(logprob):
            raise EngineError(
                "the model gave logits that are not finite numbers",
                fix="Check the weights with `sensorium verify`, or load with dtype='float32'",
            )
        self.generated.append(token)
        text = self._stop.push(self._text.push(token))
        reason: FinishReason | None = None
        if token in self._eos:
            reason = "stop"
        elif len(self.generated) >= self.request.max_new_tokens:
            reason = "length"
        if reason is not None and not self._stop.found:
            text += self._stop.push(self._text.flush()) + self._stop.flush()
        return Step(self.index, token, logprob, text, "stop" if self._stop.found else reason)

    def _bans(self) -> Iterator[Transform]:
        request = self.request
        if request.suppressed:
            yield Suppressed(request.suppressed)
        if request.min_new_tokens and self._eos:
            yield Suppressed(tuple(self._eos), before=request.min_new_tokens)
        if request.no_repeat_ngram:
            yield NoRepeatedRun(request.no_repeat_ngram)

    def _forced(self) -> int | None:
        """The next token, where there is no choice."""
        if not self.generated and self.request.forced_bos is not None:
            return self.request.forced_bos
        last = len(self.generated) == self.request.max_new_tokens - 1
        return self.request.forced_eos if last and not self.request.ignore_eos else None


def _generator(seed: int | None) -> torch.Generator:
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return generator
