"""How sounds are to be written down: the options of `LanguageModel.transcribe`, checked and completed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict, Unpack, get_args

from sensorium.data.codes import spelled
from sensorium.errors import CapabilityError, InputError, unknown
from sensorium.inference.beams import Search
from sensorium.inference.logits import Number, check_number, check_whole
from sensorium.inference.speech import SpeechEngine

SpeechTask = Literal["transcribe", "translate"]
_FIX = "Take generation_config.json of the model that this one was made from"


class TranscribeOptions(TypedDict, total=False):
    """The options of `LanguageModel.transcribe`."""

    language: str | None
    """Language of the sound, a code such as "en" or its name; by default it is detected in the first window."""
    task: SpeechTask
    """"transcribe" writes what is said, "translate" says it in English."""
    timestamps: bool
    """Write times, so that there is a segment for each piece of speech. Always on where a sound is longer than a
    window, which is cut by them."""
    beams: int | None
    """Texts that are followed at once; by default as many as the model says, and 1 where it says nothing, which takes
    the likeliest token each time."""
    condition: bool
    """Each window's text goes on from the text of those before; off by default."""
    temperatures: Sequence[Number]
    """The first that gives a text that passes the two limits below is taken, or the last: 0 searches, more draws. By
    default 0 alone. Whisper's authors use (0, 0.2, 0.4, 0.6, 0.8, 1)."""
    compression_limit: Number | None
    """A text that zlib makes shorter by more than this factor repeats itself and fails; 2.4 by default."""
    logprob_limit: Number | None
    """A text with a lower mean log-probability fails; -1 by default."""
    silence_limit: Number | None
    """A window whose probability of no speech is above this, and whose text fails the limit of the log-probability,
    is passed over; off by default. Whisper's authors use 0.6."""
    max_new_tokens: int | None
    """Of a window's text, at most; by default what the model says, or what there is room for."""
    seed: int
    """Of what is drawn; 0 by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscribeWish:
    """How sounds are to be written down."""

    language: str | None
    """A code of the model; None: to be detected, or of a model that cannot be told."""
    task: SpeechTask
    timestamps: bool
    beams: int
    condition: bool
    temperatures: tuple[float, ...]
    compression_limit: float | None
    logprob_limit: float | None
    silence_limit: float | None
    max_new_tokens: int | None
    seed: int

    def prompt(self, engine: SpeechEngine, language: str | None, *, timestamps: bool) -> list[int]:
        """What the text of a window begins with, but for the text before it."""
        facts = engine.facts
        prompt = [facts.writing.start, *facts.forced]
        if language is not None and language in facts.languages:
            prompt.append(facts.languages[language])
        if facts.tasks and not facts.forced:
            prompt.append(facts.tasks[self.task])
        if not timestamps and facts.no_timestamps is not None:
            prompt.append(facts.no_timestamps)
        return prompt

    def search(self, engine: SpeechEngine, prompt: int) -> Search:
        """How the text after a prompt of so many tokens is searched for.

        Raises:
            InputError: the beams are out of range.
        """
        writing, context = engine.facts.writing, engine.target_context
        room = context - prompt
        if self.max_new_tokens is not None:
            room = min(room, self.max_new_tokens)
        elif writing.max_length is not None:
            # As in `generate`, the limit that the model states is not of the prompt.
            room = min(room, writing.max_length + min(context // 2 - 1, prompt) - prompt)
        return Search(
            max_new_tokens=max(1, room),
            beams=self.beams,
            length_penalty=writing.length_penalty,
            early_stopping=True if self.beams == 1 else writing.early_stopping,
            eos_ids=writing.eos_ids,
        )


def transcribe_wish(engine: SpeechEngine, **options: Unpack[TranscribeOptions]) -> TranscribeWish:
    """The options, checked and completed from what the model says of itself.

    Raises:
        InputError: an option is out of range, or the language is not known.
        CapabilityError: the model cannot be told a language or a task, or writes no times.
    """
    facts, task = engine.facts, options.get("task", "transcribe")
    if task not in get_args(SpeechTask):
        raise InputError(unknown("task", str(task), get_args(SpeechTask)))
    if task == "translate" and "translate" not in facts.tasks:
        raise CapabilityError(
            "the model only writes down what is said" + ("; it knows but English" if facts.english else ""),
            where=engine.source,
            fix="Load a multilingual Whisper to translate speech"
            if facts.english
            else f"{_FIX}: task_to_id is missing",
        )
    if facts.tasks and task not in facts.tasks:
        raise CapabilityError(f"the model has no token for the task {task!r}", where=engine.source, fix=_FIX)
    timestamps = options.get("timestamps", False)
    if timestamps and facts.no_timestamps is None:
        raise no_times(engine)
    beams, seed = options.get("beams"), options.get("seed", 0)
    beams = (facts.writing.beams or 1) if beams is None else beams
    check_whole("beams", beams, "1 or more", lambda x: x >= 1)
    check_whole("seed", seed, "from 0 to 2**32 - 1", lambda x: 0 <= x < 1 << 32)
    limit = options.get("max_new_tokens")
    if limit is not None:
        check_whole("max_new_tokens", limit, "1 or more", lambda x: x >= 1)
    temperatures = tuple(options.get("temperatures", (0.0,)))
    if not temperatures:
        raise InputError("temperatures is empty", fix="Give one or several, such as (0, 0.2, 0.4)")
    for temperature in temperatures:
        check_number("temperatures", temperature, "0 or more", lambda x: 0 <= x < math.inf)
    condition = options.get("condition", False)
    if condition and facts.previous is None:
        raise CapabilityError("the model has no token before earlier text (prev_sot_token_id)", where=engine.source)
    return TranscribeWish(
        language=_language(engine, options.get("language")),
        task=task,
        timestamps=timestamps,
        beams=beams,
        condition=condition,
        temperatures=tuple(float(temperature) for temperature in temperatures),
        compression_limit=_limit("compression_limit", options.get("compression_limit", 2.4)),
        logprob_limit=_limit("logprob_limit", options.get("logprob_limit", -1.0)),
        silence_limit=_limit("silence_limit", options.get("silence_limit")),
        max_new_tokens=limit,
        seed=seed,
    )


def no_times(engine: SpeechEngine) -> CapabilityError:
    """That the model writes no times, by which longer sounds are cut into windows."""
    return CapabilityError(
        "the model's settings name no token of times (no_timestamps_token_id), without which there are no segments "
        f"and nothing longer than {engine.frames * engine.mel.hop / engine.mel.rate:g} s",
        where=engine.source,
        fix=_FIX,
    )


def _language(engine: SpeechEngine, word: str | None) -> str | None:
    facts = engine.facts
    if facts.english:
        if word is not None and spelled(word, ["en"]) is None:
            raise InputError(
                f"the model knows but English, not {word!r}", where=engine.source, fix="Load a multilingual Whisper"
            )
        return "en"
    if word is None:
        return None
    if not facts.languages:
        raise CapabilityError(
            "the model's settings name no languages (lang_to_id), so it cannot be told one",
            where=engine.source,
            fix=_FIX,
        )
    code = spelled(word, facts.languages)
    if code is None:
        raise InputError(unknown("language", word, facts.languages), where=engine.source, fix="Use one of these codes")
    return code


def _limit(name: str, value: Number | None) -> float | None:
    if value is None:
        return None
    check_number(name, value, "a finite number, or None", math.isfinite)
    return float(value)
