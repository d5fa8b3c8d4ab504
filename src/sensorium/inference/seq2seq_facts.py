"""What a folder says about writing with an encoder–decoder: where to begin, what is forced or forbidden, how to search.

Read from generation_config.json where there is one, else from config.json, in which older models keep the same keys.
The values are the model's recommendation: callers may choose others, but for the tokens that are forced or forbidden.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeGuard

from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import CapabilityError, CheckpointError
from sensorium.files import read_json

EarlyStopping = bool | Literal["never"]
_UNSUPPORTED: dict[str, object] = {
    "do_sample": False, "num_beam_groups": 1, "diversity_penalty": 0.0, "penalty_alpha": 0.0, "dola_layers": None,
    "repetition_penalty": 1.0, "encoder_repetition_penalty": 1.0, "encoder_no_repeat_ngram_size": 0,
    "exponential_decay_length_penalty": None, "guidance_scale": 1.0, "sequence_bias": None,
    "begin_suppress_tokens": None, "forced_decoder_ids": None, "force_words_ids": None, "constraints": None,
    "watermarking_config": None, "token_healing": False, "stop_strings": None, "max_time": None,
}  # fmt: skip
"""What changes the texts that `generate` finds, and the value at which it does not. No translation model that we know
of sets them."""
_NOTHING: tuple[object, ...] = (None, [], {}, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seq2SeqFacts:
    """How a model's decoder is started and searched."""

    start: int
    """The decoder's first token, which is not part of its text."""
    eos_ids: frozenset[int]
    pad_id: int | None = None
    forced_bos: int | None = None
    """The first token of every text (mBART: the target language)."""
    forced_eos: int | None = None
    """The last token of a text that reaches the greatest length."""
    suppressed: tuple[int, ...] = ()
    """Tokens that are never written (Marian: the padding)."""
    renormalize: bool = False
    """What may be written next has probability 1 in all, without what is suppressed (OPUS-MT)."""
    beams: int | None = None
    """None: the model does not say."""
    length_penalty: float = 1.0
    early_stopping: EarlyStopping = False
    max_length: int | None = None
    """Of the decoder's tokens with the first."""
    min_length: int = 0
    """Likewise."""
    no_repeat_ngram: int = 0
    """No run of so many tokens is written twice; 0: any may be."""
    prefixes: Mapping[str, str] = field(default_factory=dict)
    """T5's task prefixes, by task ("translation_en_to_de")."""
    languages: tuple[str | None, str | None] = (None, None)
    """Of the source and the target, where the tokenizer's settings name them."""


def read_facts(
    config: Mapping[str, Any], folder: Path | None = None, *, tokenizer: Tokenizer | None = None
) -> Seq2SeqFacts:
    """The facts of a model folder.

    Args:
        config: its config.json.
        folder: where generation_config.json and tokenizer_config.json are looked for.
        tokenizer: whose padding and end count where the model names none.

    Raises:
        CheckpointError: no first token is stated, or a value cannot be used.
        CapabilityError: decoding depends on something that is not supported.
    """
    stated = _json(folder, "generation_config.json")
    read = _Settings({**config, **_told(stated)}, None if folder is None else str(folder), _vocabulary(config))
    read.refuse_unsupported()
    start = read.token("decoder_start_token_id")
    start = read.token("bos_token_id") if start is None else start
    if start is None:
        raise CheckpointError(
            "the model names no first token of the decoder",
            where=read.where,
            fix="Put decoder_start_token_id into config.json",
        )
    eos = read.tokens("eos_token_id") or ([] if tokenizer is None or tokenizer.eos_id is None else [tokenizer.eos_id])
    pad = read.token("pad_token_id")
    settings = _json(folder, "tokenizer_config.json")
    return Seq2SeqFacts(
        start=start,
        eos_ids=frozenset(eos),
        pad_id=tokenizer.pad_id if pad is None and tokenizer is not None else pad,
        forced_bos=read.token("forced_bos_token_id"),
        forced_eos=read.token("forced_eos_token_id"),
        suppressed=tuple(dict.fromkeys([*read.bad_words(eos), *read.tokens("suppress_tokens")])),
        renormalize=read.flag("renormalize_logits"),
        beams=read.whole("num_beams", least=1),
        length_penalty=read.number("length_penalty", 1.0),
        early_stopping=read.early_stopping(),
        max_length=read.length("max"),
        min_length=read.length("min") or 0,
        no_repeat_ngram=read.whole("no_repeat_ngram_size") or 0,
        prefixes=_prefixes(config.get("task_specific_params")),
        languages=(_text(settings.get("source_lang")), _text(settings.get("target_lang"))),
    )


class _Settings:
    """Settings of generation, each read as what it must be.

    Args:
        values: by their keys; None counts as absent.
        where: the folder that they come from.
        vocabulary: how many tokens the decoder has, where that is known.
    """

    def __init__(self, values: Mapping[str, Any], where: str | None, vocabulary: int | None) -> None:
        self._values, self.where, self._vocabulary = values, where, vocabulary

    def refuse_unsupported(self) -> None:
        """Say of what changes the texts and is not supported that it is.

        Raises:
            CapabilityError: there is such a thing.
        """
        for key, neutral in _UNSUPPORTED.items():
            value = self._values.get(key)
            if value not in _NOTHING and value != neutral:
                raise CapabilityError(
                    f"{key}={value!r} in the generation settings is not supported",
                    where=self.where,
                    fix="Take it out of generation_config.json (or config.json) to do without it",
                )

    def token(self, key: str) -> int | None:
        """One token id, which may stand in a list."""
        value = self._values.get(key)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if value is not None and not self._is_token(value):
            raise self._wrong(key, "one token id of the model's vocabulary")
        return value

    def tokens(self, key: str) -> list[int]:
        """Token ids; one may stand alone."""
        value = self._values.get(key)
        if value is None:
            return []
        found = value if isinstance(value, list) else [value]
        if not all(map(self._is_token, found)):
            raise self._wrong(key, "a list of token ids of the model's vocabulary")
        return found

    def bad_words(self, eos: list[int]) -> list[int]:
        """Tokens that are forbidden; of an end token that says nothing, as in `generate`."""
        words = self._values.get("bad_words_ids")
        words = [] if words is None else words
        if not isinstance(words, list) or not all(isinstance(w, list) and all(map(self._is_token, w)) for w in words):
            raise self._wrong("bad_words_ids", "a list of lists of token ids of the model's vocabulary")
        longer = next((word for word in words if len(word) != 1), None)
        if longer is not None:
            raise CapabilityError(
                f"bad_words_ids holds {longer}: only single tokens can be forbidden",
                where=self.where,
                fix="Take it out of the generation settings",
            )
        return [word[0] for word in words if word[0] not in eos]

    def whole(self, key: str, *, least: int = 0) -> int | None:
        """A whole number."""
        value = self._values.get(key)
        if value is not None and (not _is_whole(value) or value < least):
            raise self._wrong(key, f"a whole number from {least} on")
        return value

    def length(self, end: Literal["min", "max"]) -> int | None:
        """The least or greatest length with the first token. As in `generate`, what is said of the new tokens counts
        more."""
        least = int(end == "max")
        new, whole = self.whole(f"{end}_new_tokens", least=least), self.whole(f"{end}_length", least=least)
        return whole if new is None else new + 1

    def number(self, key: str, default: float) -> float:
        """A finite number."""
        value = self._values.get(key)
        if value is None:
            return default
        if not (_is_whole(value) or isinstance(value, float)) or not math.isfinite(value):
            raise self._wrong(key, "a finite number")
        return float(value)

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self._values.get(key)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return bool(value)

    def early_stopping(self) -> EarlyStopping:
        """When a search is done."""
        value = self._values.get("early_stopping")
        if value == "never":
            return "never"
        if value is not None and not isinstance(value, bool):
            raise self._wrong("early_stopping", "true, false or 'never'")
        return bool(value)

    def _is_token(self, value: object) -> bool:
        return _is_whole(value) and value >= 0 and (self._vocabulary is None or value < self._vocabulary)

    def _wrong(self, key: str, allowed: str) -> CheckpointError:
        return CheckpointError(
            f"{key}={self._values[key]!r} in the generation settings is not {allowed}",
            where=self.where,
            fix="Correct it in generation_config.json (or config.json), or copy the folder anew",
        )


def _told(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if value is not None}


def _vocabulary(config: Mapping[str, Any]) -> int | None:
    sizes = [size for key in ("decoder_vocab_size", "vocab_size") if _is_whole(size := config.get(key))]
    return sizes[0] if sizes else None


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _json(folder: Path | None, name: str) -> dict[str, Any]:
    path = None if folder is None else folder / name
    return read_json(path) if path is not None and path.is_file() else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _prefixes(tasks: object) -> dict[str, str]:
    found = tasks.items() if isinstance(tasks, dict) else ()
    return {name: task["prefix"] for name, task in found if isinstance(task, dict) and _text(task.get("prefix"))}
