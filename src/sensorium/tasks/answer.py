"""Extractive question answering: the span of a context that answers a question (Devlin et al. 2019).

A context that is longer than the model is read in windows that overlap by half; a span's score is the sum of the logits
of its first and its last token. A context that is longer than a few windows is not read whole: the passages are found
that the question is likely to be about, and they alone are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from sensorium.data.tokens.frame import Frame
from sensorium.errors import CapabilityError, InputError
from sensorium.inference.engine import Engine, HeadEngine, by_length
from sensorium.inference.logits import check_whole
from sensorium.objectives.spans import LONGEST_ANSWER, LONGEST_QUESTION, best_spans
from sensorium.results import Answer
from sensorium.tasks.retrieve import Passage, Passages
from sensorium.tasks.texts import checked, place

Context = str | Passages
"""A text, or one that was made ready to be searched, for more than one call."""
LONG = 20_000
"""Characters of a context that is read whole, at most."""
_N_BEST = 20
"""Spans of a question that are kept, and that share the probability."""
_BUDGET = 4096
"""Tokens a batch."""
_LONGEST = 512
"""Tokens of a window where the model sets no limit."""
_AT_A_TIME = 256
"""Questions whose windows are held at one time."""

Ids = NDArray[np.int64]


def answer_all(
    engine: Engine,
    questions: Sequence[str],
    contexts: Sequence[Context],
    *,
    top_k: int = 1,
    threshold: float | None = None,
    passages: int | None = 10,
    rerank: bool = False,
    max_answer_tokens: int = LONGEST_ANSWER,
) -> list[list[Answer]]:
    """The best spans for every question, best first.

    Args:
        engine: can `answer`.
        questions: what is asked; 64 tokens of each are read.
        contexts: one for each question.
        top_k: spans a question. They may overlap.
        threshold: no answer is given, and stands first, where its logits exceed the best span's by more than this.
            None always answers.
        passages: of a context of more than 20,000 characters, so many passages are read; None reads it whole.
        rerank: rank passages by the model's own vectors too.
        max_answer_tokens: of the longest span.

    Raises:
        InputError: a question or a context is empty, a number is out of range.
        CapabilityError: the model has no answers, or what finding passages needs is not installed.
    """
    if not isinstance(engine, HeadEngine):
        raise CapabilityError("the model has no answers", where=engine.source)
    check_whole("top_k", top_k, "1 or more", lambda x: x >= 1)
    check_whole("max_answer_tokens", max_answer_tokens, "1 or more", lambda x: x >= 1)
    if passages is not None:
        check_whole("passages", passages, "1 or more, or None", lambda x: x >= 1)
    asked = check_questions(questions)
    chosen = choose(asked, check_contexts(contexts, asked), passages, engine if rerank else None)
    found: list[list[Answer]] = []
    for start in range(0, len(asked), _AT_A_TIME):
        part = slice(start, start + _AT_A_TIME)
        reader = _Reader(engine, max_answer_tokens, max(top_k, _N_BEST))
        candidates = reader.read(engine, asked[part], chosen[part])
        found += [one.answers(read, top_k, threshold) for one, read in zip(candidates, chosen[part], strict=True)]
    return found


def check_questions(questions: object) -> list[str]:
    """The questions, none of them empty.

    Raises:
        InputError: one is.
    """
    asked = checked(questions, "question")
    for number, question in enumerate(asked):
        if not question.strip():
            raise InputError("the question is empty", where=place(number, asked, "question"), fix="Ask something")
    return asked


def check_contexts(contexts: Sequence[Context], questions: Sequence[str]) -> list[Context]:
    """The contexts, as many as questions and none of them empty.

    Raises:
        InputError: they are not.
    """
    if len(contexts) != len(questions):
        raise InputError(
            f"{len(questions)} questions are asked of {len(contexts)} contexts",
            fix="Give one context for all, or one for each question",
        )
    for number, context in enumerate(contexts):
        text = context.text if isinstance(context, Passages) else checked([context], "context")[0]
        if not text.strip():
            raise InputError(
                "the context is empty", where=place(number, contexts, "context"), fix="Give the text to answer from"
            )
    return list(contexts)


def choose(
    questions: Sequence[str], contexts: Sequence[Context], passages: int | None, rerank: Engine | None
) -> list[list[Passage]]:
    """What is read for every question: the whole context, or its likeliest passages."""
    made: dict[str, Passages] = {}
    chosen = []
    for question, context in zip(questions, contexts, strict=True):
        text = context.text if isinstance(context, Passages) else context
        if passages is None or len(text) <= LONG:
            chosen.append([Passage(text, 0)])
            continue
        index = context if isinstance(context, Passages) else made.get(text)
        if index is None:
            index = made[text] = Passages(text)
        chosen.append([index[i] for i in index.search(question, passages, rerank=rerank)])
    return chosen


@dataclass(frozen=True, slots=True)
class _Span:
    score: float
    start: int
    end: int
    passage: int


@dataclass
class _Candidates:
    """The best spans of a question in what was read so far."""

    n_best: int
    null: float = np.inf
    spans: dict[tuple[int, int], _Span] = field(default_factory=dict)
    """By their place, so that windows that overlap give a span once."""

    def add(self, span: _Span) -> None:
        known = self.spans.get((span.start, span.end))
        if known is None or known.score < span.score:
            self.spans[span.start, span.end] = span

    def answers(self, read: Sequence[Passage], top_k: int, threshold: float | None) -> list[Answer]:
        """The best of them, as answers."""
        best = sorted(self.spans.values(), key=lambda span: (-span.score, span.start, span.end))[: self.n_best]
        scores = torch.tensor([span.score for span in best] + ([] if threshold is None else [self.null]))
        if not best:
            return [Answer("", 1.0, None, None)]
        shares = scores.double().softmax(0).tolist()
        found = []
        for span, share in zip(best, shares, strict=False):
            passage = read[span.passage]
            text = passage.text[span.start - passage.start : span.end - passage.start]
            found.append(Answer(text, share, span.start, span.end, passage.text, span.score - self.null))
        if threshold is not None and self.null - best[0].score > threshold:
            found.insert(0, Answer("", shares[-1], None, None, "", best[0].score - self.null))
        return found[:top_k]


@dataclass(frozen=True, slots=True)
class _Window:
    question: int
    passage: int
    ids: Ids
    types: Ids
    place: int
    """Where in `ids` the context begins."""
    characters: NDArray[np.int64]
    """First character and end of its tokens, in the passage."""


class _Reader:
    """Reads questions with their passages, window by window."""

    def __init__(self, engine: Engine, longest: int, n_best: int) -> None:
        self._tokenizer = engine.tokenizer
        self._frame = Frame.pair(engine.tokenizer)
        self._room = (engine.context or _LONGEST) - self._frame.size
        if self._room < 4:
            raise CapabilityError("the model's context has no room for a question and a text", where=engine.source)
        self._longest, self._n_best = longest, n_best

    def read(
        self, engine: HeadEngine, questions: Sequence[str], chosen: Sequence[Sequence[Passage]]
    ) -> list[_Candidates]:
        """The best spans for every question."""
        windows = list(self._windows(questions, chosen))
        found = [_Candidates(self._n_best) for _ in questions]
        for batch in by_length([len(window.ids) for window in windows], budget=_BUDGET):
            logits = engine.span_logits(
                [windows[i].ids.tolist() for i in batch], [windows[i].types.tolist() for i in batch]
            )
            for i, rows in zip(batch, logits, strict=True):
                window = windows[i]
                candidates = found[window.question]
                candidates.null = min(candidates.null, float(rows[0].sum()))
                for span in self._spans(window, rows, chosen[window.question][window.passage]):
                    candidates.add(span)
        return found

    def _windows(self, questions: Sequence[str], chosen: Sequence[Sequence[Passage]]) -> Iterator[_Window]:
        texts = list(dict.fromkeys(passage.text for passages in chosen for passage in passages))
        encodings = dict(zip(texts, self._tokenizer.encodings_raw(texts), strict=True))
        arrays = {
            text: (np.array(one.ids, dtype=np.int64), np.array(one.offsets, dtype=np.int64).reshape(-1, 2))
            for text, one in encodings.items()
        }
        asked = self._tokenizer.encode_raw(list(questions))
        for number, (ids, passages) in enumerate(zip(asked, chosen, strict=True)):
            question = np.array(ids[: min(LONGEST_QUESTION, self._room // 2)], dtype=np.int64)
            room = self._room - len(question)
            at = self._frame.first + len(question) + len(self._frame.special[1])
            for which, passage in enumerate(passages):
                tokens, characters = arrays[passage.text]
                for start in range(0, max(1, len(tokens) - room + max(1, room // 2)), max(1, room // 2)):
                    sequence, types = self._frame.around(question, tokens[start : start + room])
                    yield _Window(number, which, sequence, types, at, characters[start : start + room])

    def _spans(self, window: _Window, logits: Float[Tensor, "tokens 2"], passage: Passage) -> list[_Span]:
        """The window's best spans: as many as are kept, of places that differ."""
        part = logits[window.place : window.place + len(window.characters)]
        count = self._n_best
        while True:
            spans = best_spans(part, self._longest, count)
            found: dict[tuple[int, int], _Span] = {}
            for score, first, last in spans:
                place = _stripped(passage.text, int(window.characters[first, 0]), int(window.characters[last, 1]))
                if place[0] < place[1]:
                    start, end = (passage.start + at for at in place)
                    found.setdefault(place, _Span(score, start, end, window.passage))
            if len(found) >= self._n_best or len(spans) < count:
                return list(found.values())
            # Several tokens of one character, and spans that differ in their spaces, are one place.
            count *= 4


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """The same place without the spaces at its ends."""
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())
