"""What a folder says about writing with an encoder–decoder: where to begin, what is forced or forbidden, how to search.

Read from generation_config.json where there is one, else from config.json, in which older models keep the same keys.
The values are the model's recommendation: callers may choose others, but for the tokens that are forced or forbidden.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import CheckpointError
from sensorium.files import read_json

EarlyStopping = bool | Literal["never"]
_UNSUPPORTED = (
    "sequence_bias", "encoder_no_repeat_ngram_size", "encoder_repetition_penalty", "exponential_decay_length_penalty",
    "guidance_scale", "diversity_penalty", "begin_suppress_tokens",
)  # fmt: skip
"""They change what `generate` writes, and no translation model that we know of sets them."""
_NEUTRAL: tuple[object, ...] = (None, 0, 0.0, 1.0, [], {})


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
    beams: int = 1
    length_penalty: float = 1.0
    early_stopping: EarlyStopping = False
    max_length: int | None = None
    """Of the decoder's tokens with the first."""
    min_length: int = 0
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
        CheckpointError: no first token is stated, a value cannot be used, or decoding depends on something that is not
            supported.
    """
    stated = _json(folder, "generation_config.json")
    where = None if folder is None else str(folder)

    def of(key: str, default: Any = None) -> Any:
        found = stated.get(key)
        found = config.get(key) if found is None else found
        return default if found is None else found

    for key in _UNSUPPORTED:
        if of(key) not in _NEUTRAL:
            raise CheckpointError(
                f"{key}={of(key)!r} in the generation settings is not supported",
                where=where,
                fix="Load it with engine='transformers' and use its own generate, or take the key out",
            )
    start = _one(of("decoder_start_token_id", of("bos_token_id")), "decoder_start_token_id", where)
    if start is None:
        raise CheckpointError(
            "the model names no first token of the decoder",
            where=where,
            fix="Put decoder_start_token_id into config.json",
        )
    eos = of("eos_token_id", None if tokenizer is None else tokenizer.eos_id)
    pad = of("pad_token_id", None if tokenizer is None else tokenizer.pad_id)
    settings = _json(folder, "tokenizer_config.json")
    early = of("early_stopping", False)
    if early not in (True, False, "never"):
        raise CheckpointError(f"early_stopping={early!r} is none of true, false and 'never'", where=where)
    return Seq2SeqFacts(
        start=start,
        eos_ids=frozenset(eos if isinstance(eos, list) else [eos] if eos is not None else []),
        pad_id=pad if isinstance(pad, int) else None,
        forced_bos=_one(of("forced_bos_token_id"), "forced_bos_token_id", where),
        forced_eos=_one(of("forced_eos_token_id"), "forced_eos_token_id", where),
        suppressed=_suppressed(of("bad_words_ids", []), of("suppress_tokens", []), where),
        beams=int(of("num_beams", 1)),
        length_penalty=float(of("length_penalty", 1.0)),
        early_stopping=early,
        max_length=stated.get("max_length", config.get("max_length")),
        min_length=int(of("min_length", 0)),
        no_repeat_ngram=int(of("no_repeat_ngram_size", 0)),
        prefixes=_prefixes(config.get("task_specific_params")),
        languages=(_text(settings.get("source_lang")), _text(settings.get("target_lang"))),
    )


def _json(folder: Path | None, name: str) -> dict[str, Any]:
    path = None if folder is None else folder / name
    return read_json(path) if path is not None and path.is_file() else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _one(value: object, key: str, where: str | None) -> int | None:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise CheckpointError(f"{key}={value!r} is not one token id", where=where)
    return value


def _suppressed(bad_words: list[list[int]], suppressed: list[int], where: str | None) -> tuple[int, ...]:
    longer = next((words for words in bad_words if len(words) != 1), None)
    if longer is not None:
        raise CheckpointError(
            f"bad_words_ids holds {longer}: only single tokens can be forbidden",
            where=where,
            fix="Take it out of the generation settings",
        )
    return tuple(dict.fromkeys([*(words[0] for words in bad_words), *suppressed]))


def _prefixes(tasks: object) -> dict[str, str]:
    found = tasks.items() if isinstance(tasks, dict) else ()
    return {name: task["prefix"] for name, task in found if isinstance(task, dict) and _text(task.get("prefix"))}
