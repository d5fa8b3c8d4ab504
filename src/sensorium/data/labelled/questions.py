"""Questions about a text, with the spans that answer them: SQuAD 1 and 2 JSON, and tables of the same.

Context and answers are taken as they stand, letter by letter, for a span is a place in the text. A span that does not
match its context is left out, counted and listed. A question none of whose spans match is left out too, and so is one
that is said to be possible and has none: neither is ever taken for one that cannot be answered. What counts as an equal
answer is the business of evaluation, not of this file.
"""

from __future__ import annotations

import csv
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sensorium.data.labelled.question_answers import answers_of
from sensorium.data.labelled.question_rows import question_files, question_rows
from sensorium.data.sample import Ledger
from sensorium.files import StrPath


@dataclass(frozen=True, slots=True)
class AnswerSpan:
    """A piece of the context."""

    text: str
    start: int
    """Its first character's place in the context."""

    @property
    def end(self) -> int:
        return self.start + len(self.text)


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a context."""

    id: str
    question: str
    context: str
    answers: tuple[AnswerSpan, ...]
    """What answers it, by each annotator; empty if it is impossible."""
    impossible: bool
    """The context holds no answer."""
    title: str = ""
    """Of the document that the context belongs to."""


def read_questions(
    inputs: StrPath | Sequence[StrPath], ledger: Ledger, *, columns: Mapping[str, str] | None = None
) -> Iterator[Question]:
    """All questions of all inputs.

    Args:
        inputs: files and folders: SQuAD .json, or tables (.json, .jsonl, .csv, .tsv, .parquet) with a question, a
            context, an answer and its place. Where the place is not given, it is the first at which the answer stands.
        ledger: receives counts, files with their hashes, problems, and how many questions were left out, by reason.
        columns: role (see `question_rows.COLUMNS`) → column that plays it, where its name is another.

    Raises:
        InputError: an input does not exist, or its format is not known.
        DataError: a file is no SQuAD and no table with these columns; in strict mode, any unusable file, row or span.
    """
    paths = list(inputs) if isinstance(inputs, Sequence) and not isinstance(inputs, str) else [inputs]
    contexts: dict[str, str] = {}
    for path in question_files(paths):
        try:
            for where, row in question_rows(path, ledger, columns or {}):
                ledger.count("questions")
                if (question := _question(where, row, ledger)) is not None:
                    yield _shared(question, contexts)
        except (OSError, EOFError, UnicodeDecodeError, zlib.error, csv.Error) as error:
            ledger.problem(str(path), f"cannot be read: {error}")


def _question(where: str, row: Mapping[str, Any], ledger: Ledger) -> Question | None:
    question, context = row.get("question"), row.get("context")
    if not isinstance(question, str) or not question.strip():
        ledger.drop("empty question")
        return None
    if not isinstance(context, str) or not context.strip():
        ledger.drop("empty context")
        return None
    try:
        given = answers_of(row.get("answers"), row.get("answer_start"))
    except ValueError as error:
        ledger.problem(where, str(error))
        return None
    impossible = _truth(row.get("impossible"))
    spans = (
        [] if impossible else [span for text, start in given if (span := _span(where, text, start, context, ledger))]
    )
    if given and not spans and not impossible:
        ledger.drop("no answer matches the context")
        return None
    if not given and impossible is False:
        ledger.drop("said to be possible, without an answer")
        return None
    name = row.get("id")
    return Question(
        id=where if name is None or name == "" else str(name),
        question=question,
        context=context,
        answers=tuple(dict.fromkeys(spans)),
        impossible=not spans,
        title=str(row.get("title") or ""),
    )


def _span(where: str, text: str, start: int | None, context: str, ledger: Ledger) -> AnswerSpan | None:
    """The answer's place in the context; None, counted and listed, if it does not stand there."""
    if start is None:
        found = context.find(text)
        if found >= 0:
            ledger.count("answers found in their context")
            return AnswerSpan(text, found)
        ledger.problem(where, f"the answer {_short(text)} does not stand in the context")
    elif context[start : start + len(text)] == text and start >= 0:
        return AnswerSpan(text, start)
    else:
        there = _short(context[start : start + len(text)]) if 0 <= start < len(context) else "nothing"
        ledger.problem(where, f"the answer {_short(text)} does not stand at {start} of the context, {there} does")
    ledger.count("answers that do not match")
    return None


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")


def _truth(value: Any) -> bool | None:
    """What a cell says, in words or numbers; None where it is empty."""
    if isinstance(value, str):
        return value.strip().lower() in ("true", "1", "yes") if value.strip() else None
    return None if value is None or (isinstance(value, float) and math.isnan(value)) else bool(value)


def _shared(question: Question, contexts: dict[str, str]) -> Question:
    """The same question, its context held once however many questions there are about it."""
    context = contexts.setdefault(question.context, question.context)
    if context is question.context:
        return question
    return Question(question.id, question.question, context, question.answers, question.impossible, question.title)
