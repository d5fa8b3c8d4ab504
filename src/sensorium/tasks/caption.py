"""Write about pictures: prompts with pictures in them to generations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sensorium.errors import InputError
from sensorium.files import refuse_unspeakable
from sensorium.inference.beam import beam_search
from sensorium.inference.beams import Hypothesis, Search
from sensorium.inference.chat_template import Message, ask_about, has_template, rendered_ids
from sensorium.inference.decode import Request, decode
from sensorium.inference.engine import by_length
from sensorium.inference.eyes import Continuing, Looking, SeeingEngine, Seen, picture_prompt
from sensorium.inference.logits import Number, Sampling, check_number, check_whole
from sensorium.inference.text import TextStream
from sensorium.modalities.pixels import Picture
from sensorium.results import Generation, Usage
from sensorium.tasks.generate import sampling_of

_BATCH_TOKENS = 8192
"""Prompts and continuations that are decoded together."""
ASKED = "Describe the picture in one sentence."
"""What a model of chats is asked where nothing else is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionWish:
    """What is wanted of a caption.

    Raises:
        InputError: a value is out of range, or beams and drawing are both asked for.
    """

    max_new_tokens: int = 64
    beams: int = 1
    length_penalty: Number = 1.0
    """Of beams: above 0 favours long texts."""
    temperature: Number | None = None
    top_k: int | None = None
    top_p: Number | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        check_whole("max_new_tokens", self.max_new_tokens, "1 or more", lambda x: x >= 1)
        check_whole("beams", self.beams, "1 or more", lambda x: x >= 1)
        check_number("length_penalty", self.length_penalty, "a finite number", lambda x: abs(x) < float("inf"))
        if self.seed is not None:
            check_whole("seed", self.seed, "from 0 to 2**63 - 1", lambda x: 0 <= x < 1 << 63)
        if self.beams > 1 and not self.sampling.greedy:
            raise InputError("beams search, and temperature, top_k, top_p and seed draw", fix="Ask for one of them")

    @property
    def sampling(self) -> Sampling:
        """How tokens are chosen."""
        return sampling_of(self.temperature, self.top_k, self.top_p, None, self.seed)


def caption_all(
    engine: SeeingEngine, pictures: Sequence[Picture], prompt: str | None, wish: CaptionWish
) -> list[Generation]:
    """A text about each picture.

    Args:
        engine: sees and writes.
        pictures: paths, bytes, or what `read_image` gave.
        prompt: what is said after the picture; by default what the model was trained to write a caption after, or, of
            a model of chats, a request to describe it.
        wish: how.

    Raises:
        InputError: a picture cannot be opened, or the prompt fills the context.
        DataError: one is not a picture, is damaged or too large.
    """
    if not pictures:
        return []
    if prompt is not None:
        refuse_unspeakable(prompt, where="the prompt")
    ids = caption_prompt(engine, prompt)
    return written(engine, [ids] * len(pictures), [one[None] for one in engine.see(pictures)], wish)


def caption_prompt(engine: SeeingEngine, prompt: str | None) -> list[int]:
    """Token ids of a picture and what is said after it; see `caption_all`."""
    if engine.prompt is None and has_template(engine.tokenizer):
        asked: list[Message] = [ask_about(ASKED if prompt is None else prompt)]
        return rendered_ids(engine, asked)
    words = (engine.prompt or "") if prompt is None else prompt
    return picture_prompt(engine.tokenizer, image_id=engine.image_id, features=engine.features, prompt=words)


def written(
    engine: SeeingEngine, prompts: Sequence[Sequence[int]], seen: Sequence[Seen], wish: CaptionWish
) -> list[Generation]:
    """What follows each prompt, which has pictures in it.

    Args:
        engine: sees and writes.
        prompts: token ids, with placeholders.
        seen: what stands for the pictures of each prompt.
        wish: how.

    Raises:
        InputError: a prompt fills the context, or has more or fewer placeholders than vectors.
    """
    limits = [room(engine, prompt, wish.max_new_tokens) for prompt in prompts]
    found: list[Generation | None] = [None] * len(prompts)
    lengths = [(len(prompt) + limit) * wish.beams for prompt, limit in zip(prompts, limits, strict=True)]
    for batch in by_length(lengths, budget=_BATCH_TOKENS):
        looking = Looking(engine, [seen[i] for i in batch])
        given, most = [prompts[i] for i in batch], [limits[i] for i in batch]
        texts = (_searched if wish.beams > 1 else _decoded)(looking, given, most, wish)
        for i, text in zip(batch, texts, strict=True):
            found[i] = text
    return [one for one in found if one is not None]


def room(engine: SeeingEngine, prompt: Sequence[int], wanted: int) -> int:
    """How many tokens of those wanted the context has room for.

    Raises:
        InputError: none.
    """
    if engine.context is None:
        return wanted
    if len(prompt) >= engine.context:
        raise InputError(
            f"the prompt is {len(prompt)} tokens long with its pictures, the model's context holds {engine.context}",
            fix="Shorten it, or show fewer pictures",
        )
    return min(wanted, engine.context - len(prompt))


def _decoded(
    engine: Looking, prompts: Sequence[Sequence[int]], limits: Sequence[int], wish: CaptionWish
) -> list[Generation]:
    requests = [
        Request(prompt=prompt, max_new_tokens=limit, sampling=wish.sampling, seed=wish.seed)
        for prompt, limit in zip(prompts, limits, strict=True)
    ]
    steps = [list[tuple[int, float, str]]() for _ in prompts]
    reasons = ["length"] * len(prompts)
    for step in decode(engine, requests):
        steps[step.row].append((step.token_id, step.logprob, step.text))
        reasons[step.row] = step.finish_reason or reasons[step.row]
    return [
        Generation(
            text="".join(text for _, _, text in row).strip(),
            token_ids=tuple(token for token, _, _ in row),
            logprobs=tuple(logprob for _, logprob, _ in row),
            finish_reason="stop" if reason == "stop" else "length",
            usage=Usage(prompt_tokens=len(prompt), completion_tokens=len(row)),
        )
        for prompt, row, reason in zip(prompts, steps, reasons, strict=True)
    ]


def _searched(
    engine: Looking, prompts: Sequence[Sequence[int]], limits: Sequence[int], wish: CaptionWish
) -> list[Generation]:
    search = Search(
        max_new_tokens=max(limits), beams=wish.beams, length_penalty=wish.length_penalty, eos_ids=engine.eos_ids
    )
    continuing = Continuing(engine, max(len(prompt) for prompt in prompts))
    best = [found[0] for found in beam_search(continuing, prompts, search, limits=limits)]
    return [_generation(engine, prompt, one) for prompt, one in zip(prompts, best, strict=True)]


def _generation(engine: Looking, prompt: Sequence[int], best: Hypothesis) -> Generation:
    stream = TextStream(engine.tokenizer, prompt)
    text = "".join(stream.push(token) for token in best.token_ids) + stream.flush()
    return Generation(
        text=text.strip(),
        token_ids=best.token_ids,
        logprobs=best.logprobs,
        finish_reason="stop" if best.token_ids and best.token_ids[-1] in engine.eos_ids else "length",
        usage=Usage(prompt_tokens=len(prompt), completion_tokens=len(best.token_ids)),
    )
