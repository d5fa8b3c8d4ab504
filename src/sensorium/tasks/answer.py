"""Extractive question answering: the span of a context that answers a question (Devlin et al. 2019).

A context that is longer than the model is read in windows that overlap by half; a span's score is the sum of the logits
of its first and its last token. A context that is longer than a few windows is not read whole: the passages are found
that the question is likely to be about, and they alone are read. Where all of it is to be read, it comes in parts that
overlap, so that a text of any length takes little memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from sensorium.data.tokens.frame import Frame
from sensorium.errors import CapabilityError, InputError
from sensorium.inference.engine import Engine, HeadEngine, by_length
from sensorium.inference.logits import check_number, check_whole
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
"""Questions that are read at one time."""
_WINDOWS = 4096
"""Windows that are held at one time."""
_PART = 200_000
"""Characters of a context that are one passage, at most, and are tokenised at one time, more or less."""
_OVERLAP = 2_000
"""Characters that two parts of a context have in common: about a window."""

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
        passages: of a context of more than 20,000 characters, so many passages are read; None reads all of it, in
            parts of 200,000 characters that overlap.
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
    if threshold is not None:
        check_number("threshold", threshold, "a number, or None", lambda x: not math.isnan(x))
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
    """What is read for every question: the whole context in its parts, or its likeliest passages."""
    made: dict[str, Passages] = {}
    whole: dict[str, list[Passage]] = {}
    chosen = []
    for question, context in zip(questions, contexts, strict=True):
        text = context.text if isinstance(context, Passages) else context
        if passages is None or len(text) <= LONG:
            if text not in whole:
                whole[text] = _parts(text)
            chosen.append(whole[text])
            continue
        index = context if isinstance(context, Passages) else made.get(text)
        if index is None:
            index = made[text] = Passages(text)
        chosen.append([index[i] for i in index.search(question, passages, rerank=rerank)])
    return chosen


def _parts(text: str) -> list[Passage]:
    """All of a text: in one piece, or in parts that overlap, cut after a space where there is one."""
    found, start = list[Passage](), 0
    while start + _PART < len(text):
        end = _after_space(text, start + _PART - _OVERLAP // 2, start + _PART)
        found.append(Passage(text[start:end], start))
        start = _after_space(text, end - _OVERLAP - _OVERLAP // 2, end - _OVERLAP)
    return [*found, Passage(text[start:], start)]


def _after_space(text: str, low: int, high: int) -> int:
    """The last place between two that follows on a space; the higher one, if none does."""
    last = max(text.rfind(space, low, high) for space in " \n")
    return high if last < 0 else last + 1


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

    def best(self) -> list[_Span]:
        """The best of them, best first."""
        return sorted(self.spans.values(), key=lambda span: (-span.score, span.start, span.end))[: self.n_best]

    def forget(self) -> None:
        """Keep the best alone: the others of a long text would fill the memory."""
        self.spans = {(span.start, span.end): span for span in self.best()}

    def answers(self, read: Sequence[Passage], top_k: int, threshold: float | None) -> list[Answer]:
        """The best of them, as answers."""
        best = self.best()
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
        found = [_Candidates(self._n_best) for _ in questions]
        every = self._windows(questions, chosen)
        while windows := list(islice(every, _WINDOWS)):
            self._add(engine, windows, chosen, found)
            for number in {window.question for window in windows}:
                found[number].forget()
        return found

    def _add(
        self,
        engine: HeadEngine,
        windows: Sequence[_Window],
        chosen: Sequence[Sequence[Passage]],
        found: Sequence[_Candidates],
    ) -> None:
        """Read some windows, and add their best spans to those of their questions."""
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

    def _windows(self, questions: Sequence[str], chosen: Sequence[Sequence[Passage]]) -> Iterator[_Window]:
        """The windows of all questions; a text that several read is tokenised once."""
        places = dict[str, list[tuple[int, int]]]()
        for number, passages in enumerate(chosen):
            for which, passage in enumerate(passages):
                places.setdefault(passage.text, []).append((number, which))
        asked = self._tokenizer.encode_raw(list(questions))
        for texts in _portions(places):
            for text, one in zip(texts, self._tokenizer.encodings_raw(texts), strict=True):
                tokens = np.array(one.ids, dtype=np.int64)
                characters = np.array(one.offsets, dtype=np.int64).reshape(-1, 2)
                for number, which in places[text]:
                    yield from self._of_passage(number, which, asked[number], tokens, characters)

    def _of_passage(
        self, number: int, which: int, asked: Sequence[int], tokens: Ids, characters: NDArray[np.int64]
    ) -> Iterator[_Window]:
        question = np.array(asked[: min(LONGEST_QUESTION, self._room // 2)], dtype=np.int64)
        room = self._room - len(question)
        at = self._frame.first + len(question) + len(self._frame.special[1])
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


def _portions(texts: Iterable[str]) -> Iterator[list[str]]:
    """Texts that are tokenised together."""
    portion, characters = list[str](), 0
    for text in texts:
        portion.append(text)
        characters += len(text)
        if characters >= _PART:
            yield portion
            portion, characters = [], 0
    if portion:
        yield portion


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """The same place without the spaces at its ends."""
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), end - len(piece) + len(piece.rstrip())
