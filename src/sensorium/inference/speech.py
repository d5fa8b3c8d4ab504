"""Writing down windows of sound: the search for their texts, under the rules of `speech_rules`.

Unusual: a text's score is of the model's own probabilities, as in Hugging Face's `generate`; the log-probabilities that
tell how sure the model is of it are of what the rules allow, as in Whisper's own decoder.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sensorium.core.cache import CrossMemory
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import EngineError
from sensorium.inference.beams import Beams, Candidates, Search
from sensorium.inference.engine import Capability, Ids, State
from sensorium.inference.speech_facts import SpeechFacts
from sensorium.inference.speech_rules import SpeechRules
from sensorium.modalities.mel import MelSpec


@runtime_checkable
class SpeechEngine(Protocol):
    """A model that hears windows of sound and writes."""

    name: str
    source: str
    tokenizer: Tokenizer
    capabilities: frozenset[Capability]
    facts: SpeechFacts
    mel: MelSpec
    """How sounds become what it hears."""
    frames: int
    """Log-mel frames of a window."""
    target_context: int
    """The most tokens of a window, with those that its text begins with."""

    def hear(self, windows: Float[Tensor, "windows mels frames"]) -> CrossMemory:
        """Read windows: what the decoder attends to."""
        ...

    def begin(
        self, heard: CrossMemory, prompts: Int[Tensor, "windows length"], places: Ids, beams: int = 1
    ) -> tuple[State, Float[Tensor, "windows places vocab"]]:
        """Begin to write of each window; logits after the tokens at these places of the prompts.

        Args:
            heard: one row a window; the state owns it from now on.
            prompts: what each text begins with.
            places: of the prompts.
            beams: rows a window, adjacent in the state.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What was heard in a window."""

    token_ids: tuple[int, ...]
    """With times, without the end."""
    logprobs: tuple[float, ...]
    """Natural log-probability of each token, and of the end where it ends with one, among what the rules allow."""
    no_speech_prob: float
    """How likely it is that nobody speaks, 0 to 1."""
    temperature: float = 0.0

    @property
    def mean_logprob(self) -> float:
        return math.fsum(self.logprobs) / len(self.logprobs) if self.logprobs else 0.0


def detect_language(engine: SpeechEngine, heard: CrossMemory) -> list[tuple[str, float]]:
    """The language of each window, and its probability among those that the model knows."""
    facts = engine.facts
    prompts = torch.full((heard.batch, 1), facts.writing.start)
    _, logits = engine.begin(heard, prompts, [0])
    codes, ids = list(facts.languages), list(facts.languages.values())
    best = logits[:, 0, ids].softmax(-1).max(-1)
    return [(codes[place], prob) for prob, place in zip(best.values.tolist(), best.indices.tolist(), strict=True)]


@torch.inference_mode()
def write(
    engine: SpeechEngine,
    heard: CrossMemory,
    prompts: Int[Tensor, "windows length"],
    start: int,
    search: Search,
    rules: SpeechRules,
) -> list[Written]:
    """The likeliest text of each window.

    Args:
        engine: hears and writes.
        heard: one row a window.
        prompts: what each text begins with.
        start: place of the decoder's first token in them.
        search: how.
        rules: what a text may hold.

    Raises:
        EngineError: the model gives logits that are not numbers.
    """
    state, first = engine.begin(heard, prompts, [start, prompts.shape[1] - 1], search.beams)
    silence = _silence(engine.facts, first[:, 0])
    logits = first[:, 1]
    search.check_beams(logits.shape[1])
    beams = Beams([search.max_new_tokens] * len(prompts), search, logits.device)
    while True:
        rows = beams.advance(_candidates(beams, logits, rules))
        if rows is None:
            break
        state.keep(rows)
        logits = state.step(beams.tokens[..., -1].flatten())
    best = [found[0] for found in beams.results()]
    return [
        Written(token_ids=_text(h.token_ids, search), logprobs=h.logprobs, no_speech_prob=quiet)
        for h, quiet in zip(best, silence, strict=True)
    ]


@torch.inference_mode()
def draw(
    engine: SpeechEngine,
    heard: CrossMemory,
    prompts: Int[Tensor, "windows length"],
    start: int,
    search: Search,
    rules: SpeechRules,
    *,
    temperature: float,
    seeds: Sequence[int],
) -> list[Written]:
    """Like `write`, each token drawn at a temperature above 0 instead; each window has random numbers of its own."""
    state, first = engine.begin(heard, prompts, [start, prompts.shape[1] - 1])
    silence, logits = _silence(engine.facts, first[:, 0]), first[:, 1]
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    going = list(range(len(prompts)))
    tokens = prompts.new_zeros(len(prompts), 0)
    texts = [list[int]() for _ in going]
    logprobs = [list[float]() for _ in going]
    while going:
        _check(logits)
        allowed = rules.allowed(logits.float(), tokens.to(logits.device))
        own = allowed.log_softmax(-1)
        chances = (allowed / temperature).softmax(-1).cpu()
        drawn = torch.stack(
            [
                torch.multinomial(chance, 1, generator=generators[row])
                for chance, row in zip(chances, going, strict=True)
            ]
        )
        tokens = torch.cat((tokens, drawn), 1)
        left = []
        for place, row in enumerate(going):
            texts[row].append(int(drawn[place]))
            logprobs[row].append(float(own[place, drawn[place]]))
            if texts[row][-1] not in search.eos_ids and len(texts[row]) < search.max_new_tokens:
                left.append(place)
        if not left:
            break
        if len(left) < len(going):
            going, tokens = [going[place] for place in left], tokens[left]
            state.keep(left)
        logits = state.step(tokens[:, -1])
    return [
        Written(token_ids=_text(text, search), logprobs=tuple(own), no_speech_prob=quiet, temperature=temperature)
        for text, own, quiet in zip(texts, logprobs, silence, strict=True)
    ]


def _candidates(beams: Beams, logits: Float[Tensor, "rows vocab"], rules: SpeechRules) -> Candidates:
    """The best continuations of every window."""
    _check(logits)
    logits = logits.float()
    count = len(beams.sources)
    each = len(logits) // count
    allowed = rules.allowed(logits, beams.tokens[:, :each].flatten(0, 1))
    values, ids = allowed.topk(min(beams.search.candidates, logits.shape[1]))
    own = values - allowed.logsumexp(-1, keepdim=True)
    values = values - logits.logsumexp(-1, keepdim=True)
    k = values.shape[1]
    scores = beams.scores[:, :each, None] + values.view(count, each, k)
    best = scores.flatten(1).topk(k)
    return Candidates(
        scores=best.values,
        parents=best.indices // k,
        tokens=ids.view(count, -1).gather(1, best.indices),
        logprobs=own.view(count, -1).gather(1, best.indices),
    )


def _silence(facts: SpeechFacts, logits: Float[Tensor, "windows vocab"]) -> list[float]:
    if facts.silence is None:
        return [0.0] * len(logits)
    return [float(chance) for chance in logits.float().softmax(-1)[:, facts.silence]]


def _text(ids: Sequence[int], search: Search) -> tuple[int, ...]:
    return tuple(ids[:-1] if ids and ids[-1] in search.eos_ids else ids)


def _check(logits: Float[Tensor, "rows vocab"]) -> None:
    if not bool(logits.isfinite().all()):
        raise EngineError(
            "the model gave logits that are not finite numbers",
            fix="Check the weights, or load with dtype='float32'",
        )
