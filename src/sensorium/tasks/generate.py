"""Continue prompts. A whole generation is the sum of a stream."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from sensorium.errors import InputError
from sensorium.inference.decode import Request, Step, decode
from sensorium.inference.engine import Engine, Seq2SeqEngine, by_length
from sensorium.inference.logits import Number, Sampling, check_whole
from sensorium.results import Chunk, FinishReason, Generation, Usage
from sensorium.tasks.texts import checked, place

_BATCH_TOKENS = 8192
"""Prompts and continuations that are decoded together."""


class GenerateOptions(TypedDict, total=False):
    """The options of `LanguageModel.generate` and `stream`, which say what each means."""

    max_new_tokens: int
    temperature: Number | None
    top_k: int | None
    top_p: Number | None
    min_p: Number | None
    repetition_penalty: Number
    presence_penalty: Number
    frequency_penalty: Number
    stop: str | Sequence[str]
    seed: int | None
    ignore_eos: bool


@dataclass(slots=True)
class _Growing:
    """A generation while it comes in."""

    text: str = ""
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finish_reason: FinishReason = "length"

    def add(self, step: Step) -> None:
        self.text += step.text
        self.token_ids.append(step.token_id)
        self.logprobs.append(step.logprob)
        self.finish_reason = step.finish_reason or self.finish_reason


def generate_all(
    engine: Engine,
    prompts: str | Iterable[str],
    *,
    max_new_tokens: int,
    sampling: Sampling,
    stop: tuple[str, ...] = (),
    seed: int | None = None,
    ignore_eos: bool = False,
) -> list[Generation]:
    """A continuation of every prompt, the same as if it were asked for alone; a string alone is one prompt.

    Raises:
        InputError: see `request`.
    """
    prompts = checked(prompts, "prompt")
    requests = [
        request(engine, prompt, max_new_tokens, sampling, stop, seed, ignore_eos, place(i, prompts, "prompt"))
        for i, prompt in enumerate(prompts)
    ]
    growing = [_Growing() for _ in prompts]
    lengths = [len(r.prompt) + r.max_new_tokens for r in requests]
    for batch in by_length(lengths, budget=_BATCH_TOKENS):
        for step in decode(engine, [requests[i] for i in batch]):
            growing[batch[step.row]].add(step)
    return [
        Generation(
            text=g.text,
            token_ids=tuple(g.token_ids),
            logprobs=tuple(g.logprobs),
            finish_reason=g.finish_reason,
            usage=Usage(prompt_tokens=len(r.prompt), completion_tokens=len(g.token_ids)),
        )
        for r, g in zip(requests, growing, strict=True)
    ]


def stream(engine: Engine, wanted: Request) -> Iterator[Chunk]:
    """One chunk a token, as it comes."""
    for step in decode(engine, [wanted]):
        yield Chunk(step.text, step.token_id, step.logprob, step.finish_reason)


def request(
    engine: Engine,
    prompt: str,
    max_new_tokens: int,
    sampling: Sampling,
    stop: tuple[str, ...],
    seed: int | None,
    ignore_eos: bool,
    where: str | None = None,
) -> Request:
    """A prompt as token ids, with as many new tokens as are wanted and as the context has room for.

    Raises:
        InputError: the prompt is empty and the model has no token to begin with, or it fills the context; a number
            is out of range.
    """
    check_whole("max_new_tokens", max_new_tokens, "1 or more", lambda x: x >= 1)
    if seed is not None:
        check_whole("seed", seed, "from 0 to 2**63 - 1", lambda x: 0 <= x < 1 << 63)
    ids = engine.tokenizer.encode(prompt)
    if isinstance(engine, Seq2SeqEngine):
        return _apart(engine, ids, max_new_tokens, sampling, stop, seed, ignore_eos, where)
    if not ids:
        if engine.tokenizer.bos_id is None:
            raise InputError("the prompt is empty", where=where, fix="This model has no begin token: write something")
        ids = [engine.tokenizer.bos_id]
    if engine.context is not None:
        if len(ids) >= engine.context:
            raise InputError(
                f"the prompt is {len(ids)} tokens long, the model's context holds {engine.context}, prompt and "
                "continuation together",
                where=where,
                fix="Shorten the prompt",
            )
        max_new_tokens = min(max_new_tokens, engine.context - len(ids))
    return Request(
        prompt=ids, max_new_tokens=max_new_tokens, sampling=sampling, stop=stop, seed=seed, ignore_eos=ignore_eos
    )


def _apart(
    engine: Seq2SeqEngine,
    ids: list[int],
    max_new_tokens: int,
    sampling: Sampling,
    stop: tuple[str, ...],
    seed: int | None,
    ignore_eos: bool,
    where: str | None,
) -> Request:
    """Of a model that reads the prompt in one stack and writes in another: each has a context of its own."""
    if not ids:
        raise InputError("the prompt is empty", where=where, fix="Write something")
    if engine.context is not None and len(ids) > engine.context:
        raise InputError(
            f"the prompt is {len(ids)} tokens long, the model reads {engine.context}", where=where, fix="Shorten it"
        )
    facts = engine.facts
    if engine.target_context is not None:
        max_new_tokens = min(max_new_tokens, engine.target_context - 1)
    return Request(
        prompt=ids,
        max_new_tokens=max_new_tokens,
        sampling=sampling,
        stop=stop,
        seed=seed,
        ignore_eos=ignore_eos,
        forced_bos=facts.forced_bos,
        forced_eos=facts.forced_eos,
        suppressed=facts.suppressed,
        min_new_tokens=max(0, facts.min_length - 1),
        no_repeat_ngram=facts.no_repeat_ngram,
    )


def sampling_of(
    temperature: Number | None,
    top_k: int | None,
    top_p: Number | None,
    min_p: Number | None,
    seed: int | None,
    repetition: Number = 1.0,
    presence: Number = 0.0,
    frequency: Number = 0.0,
) -> Sampling:
    """How tokens are chosen: drawn where any of the options asks for it, the likeliest each time where none does.

    Raises:
        InputError: a value is out of its range.
    """
    if temperature is None:
        temperature = 0.0 if (top_k, top_p, min_p, seed) == (None, None, None, None) else 1.0
    return Sampling(
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repetition_penalty=repetition,
        presence_penalty=presence,
        frequency_penalty=frequency,
    )
