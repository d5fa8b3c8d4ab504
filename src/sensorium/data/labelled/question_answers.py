"""The answers of a row of a table, in whatever way it holds them: a text and its place, lists of both, SQuAD's records,
Hugging Face's `{"text": [...], "answer_start": [...]}`, or any of these written out as text in a cell."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Mapping
from typing import Any

Given = list[tuple[str, int | None]]
"""Texts, and their places in the context where they are said."""


def answers_of(value: Any, starts: Any) -> Given:
    """Texts and places.

    Args:
        value: what stands for the answers.
        starts: what stands for their places, if that is apart.

    Raises:
        ValueError: it holds neither texts nor records of them.
    """
    value = _written_out(value)
    if isinstance(value, Mapping):
        starts = value.get("answer_start", value.get("start", starts))
        value = value.get("text", value.get("texts"))
    if value is None or value == "":
        return []
    texts = list(value) if isinstance(value, list | tuple) else [value]
    starts = _literal(starts) if isinstance(starts, str) and starts[:1] == "[" else starts
    places = list(starts) if isinstance(starts, list | tuple) else [starts]
    places += [None] * (len(texts) - len(places))
    given = (_answer(text, place) for text, place in zip(texts, places, strict=False))
    return [(text, place) for text, place in given if text]


def _answer(value: Any, place: Any) -> tuple[str, int | None]:
    if isinstance(value, Mapping):
        value, place = value.get("text"), value.get("answer_start", value.get("start"))
    if not isinstance(value, str):
        problem = f"an answer is {type(value).__name__}, not text"
        raise ValueError(problem)  # noqa: TRY004 - of the data, not of a caller
    return value, _place(place)


def _place(value: Any) -> int | None:
    """A whole number, which a table with gaps holds as `12.0`, and the gaps as nothing or NaN."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not number.is_integer():
        raise ValueError(f"the place of an answer is {value!r}, not a whole number")
    return int(number)


def _written_out(value: Any) -> Any:
    """What a cell holds as text, if that is a record or a list of texts; `[12]` as an answer is a text itself."""
    if not isinstance(value, str) or value[:1] not in "[{":
        return value
    read = _literal(value)
    listed = isinstance(read, list) and all(isinstance(item, str | Mapping) for item in read)
    return read if listed or isinstance(read, Mapping) else value


def _literal(text: str) -> Any:
    """A value in JSON's or Python's spelling; the text itself if it is neither."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return text
