"""What a folder says about writing down speech: which tokens name languages, tasks and times, what is never written.

Read from generation_config.json, or where there is none from config.json. What decides a search is read as for any
encoder-decoder (`seq2seq_facts`); the rest is Whisper's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import CapabilityError, CheckpointError, SensoriumError
from sensorium.files import read_json
from sensorium.inference.seq2seq_facts import Seq2SeqFacts, read_facts

_OWN = ("begin_suppress_tokens", "forced_decoder_ids")
"""Read here, not supported elsewhere."""
_LANGUAGE = re.compile(r"<\|(\w+)\|>")
_FIX = "Correct it in generation_config.json, or take that file of the model that this one was made from"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechFacts:
    """The tokens that steer a model of speech."""

    writing: Seq2SeqFacts
    """The decoder's first token, end tokens, what is never written, and how to search."""
    languages: Mapping[str, int] = field(default_factory=dict)
    """Token of each language that a sound may be in, by code; empty: the model cannot be told, nor tell."""
    tasks: Mapping[str, int] = field(default_factory=dict)
    """Tokens of "transcribe" and "translate"; empty: it can but transcribe."""
    english: bool = False
    """It knows no language but English, and is told nothing."""
    forced: tuple[int, ...] = ()
    """Of a model that cannot be told the language or task: what stands after the first token."""
    no_timestamps: int | None = None
    """The token that says that no times are wanted; those of times follow it, of which there is one for 0 and one for
    each further position of the encoder. None: the model writes no times."""
    previous: int | None = None
    """The token before the text of windows before."""
    suppressed_first: tuple[int, ...] = ()
    """Tokens that no text begins with."""
    latest_start: int | None = None
    """The greatest time, in positions, that a text may begin with."""

    @property
    def first_time(self) -> int | None:
        """The token of time 0."""
        return None if self.no_timestamps is None else self.no_timestamps + 1

    @property
    def silence(self) -> int | None:
        """The token that says that nobody speaks: it stands before that of no times."""
        return None if not self.no_timestamps else self.no_timestamps - 1

    @property
    def text_end(self) -> int:
        """From this token on, the end's, there is no text."""
        return min(self.writing.eos_ids)


def read_speech_facts(config: Mapping[str, Any], folder: Path | None, *, tokenizer: Tokenizer) -> SpeechFacts:
    """The facts of a model folder.

    Args:
        config: its config.json.
        folder: where generation_config.json is looked for.
        tokenizer: names the token of no times and that before earlier text where the settings do not.

    Raises:
        CheckpointError: a value cannot be used, or no end token is named.
        CapabilityError: decoding depends on something that is not supported.
    """
    path = None if folder is None else folder / "generation_config.json"
    stated = read_json(path) if path is not None and path.is_file() else {}
    values = {**config, **{key: value for key, value in stated.items() if value is not None}}
    where = None if folder is None else str(folder)
    writing = _writing({key: value for key, value in values.items() if key not in _OWN}, tokenizer, where)
    read = _Tokens(values, config.get("vocab_size"), where)
    multilingual = values.get("is_multilingual") is not False
    languages = read.named("lang_to_id") if multilingual else {}
    suppressed = writing.suppressed
    previous = read.one("prev_sot_token_id")
    if previous is None:
        previous = tokenizer.id("<|startofprev|>")
    no_timestamps = read.one("no_timestamps_token_id")
    if no_timestamps is None:
        no_timestamps = tokenizer.id("<|notimestamps|>")
    return SpeechFacts(
        writing=writing,
        languages={_code(name): id for name, id in languages.items()},
        tasks=read.named("task_to_id") if multilingual else {},
        english=not multilingual,
        forced=() if languages else tuple(id for id in read.forced() if id != no_timestamps),
        no_timestamps=no_timestamps,
        previous=suppressed[-2] if previous is None and len(suppressed) > 1 else previous,
        suppressed_first=read.several("begin_suppress_tokens"),
        latest_start=read.number("max_initial_timestamp_index"),
    )


def _writing(values: Mapping[str, Any], tokenizer: Tokenizer, where: str | None) -> Seq2SeqFacts:
    try:
        facts = read_facts(values, tokenizer=tokenizer)
        if not facts.eos_ids:
            raise CheckpointError("the model names no end token", fix="Put eos_token_id into config.json")
        if facts.no_repeat_ngram or facts.min_length or facts.forced_bos is not None or facts.forced_eos is not None:
            raise CapabilityError(
                "no_repeat_ngram_size, min_length, forced_bos_token_id and forced_eos_token_id are not supported of a "
                "model of speech",
                fix="Take them out of generation_config.json to do without them",
            )
    except SensoriumError as error:
        raise type(error)(error.problem, where=where, fix=error.fix) from error
    return facts


class _Tokens:
    """Settings that name tokens, each read as what it must be."""

    def __init__(self, values: Mapping[str, Any], vocabulary: object, where: str | None) -> None:
        self._values, self._where = values, where
        self._vocabulary = vocabulary if _is_whole(vocabulary) else None

    def one(self, key: str) -> int | None:
        value = self._values.get(key)
        if value is not None and not self._is_token(value):
            raise self._wrong(key, "a token id of the model's vocabulary")
        return value

    def several(self, key: str) -> tuple[int, ...]:
        value = self._values.get(key)
        if value is not None and not (isinstance(value, list) and all(map(self._is_token, value))):
            raise self._wrong(key, "a list of token ids of the model's vocabulary")
        return tuple(value or ())

    def named(self, key: str) -> dict[str, int]:
        value = self._values.get(key)
        if value is not None and not (isinstance(value, dict) and all(map(self._is_token, value.values()))):
            raise self._wrong(key, "a table of token ids of the model's vocabulary")
        return dict(value or {})

    def forced(self) -> list[int]:
        """What stands after the first token, one after another; None leaves a place to what is detected."""
        value = self._values.get("forced_decoder_ids") or []
        pairs = isinstance(value, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in value)
        if not pairs or not all(id is None or self._is_token(id) for _, id in value):
            raise self._wrong("forced_decoder_ids", "a list of places and token ids of the model's vocabulary")
        if [place for place, _ in value] != list(range(1, len(value) + 1)):
            raise self._wrong("forced_decoder_ids", "a list of the places from 1 on")
        return [id for _, id in value if id is not None]

    def number(self, key: str) -> int | None:
        value = self._values.get(key)
        if value is not None and not (_is_whole(value) and value >= 0):
            raise self._wrong(key, "a whole number from 0 on")
        return value

    def _is_token(self, value: object) -> bool:
        return _is_whole(value) and value >= 0 and (self._vocabulary is None or value < self._vocabulary)

    def _wrong(self, key: str, allowed: str) -> CheckpointError:
        return CheckpointError(f"{key} in the generation settings is not {allowed}", where=self._where, fix=_FIX)


def _code(name: str) -> str:
    """The code in `<|en|>`."""
    match = _LANGUAGE.fullmatch(name)
    return match[1] if match else name


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
