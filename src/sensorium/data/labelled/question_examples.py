"""Questions and their contexts as arrays: each context is tokenised once, with the characters of its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensorium.data.labelled.examples import Examples
from sensorium.data.labelled.questions import AnswerSpan, Question
from sensorium.data.ragged import Ragged, fingerprint
from sensorium.data.tokens.tokenizer import Tokenizer

_AT_A_TIME = 200
"""Contexts whose offsets, as the tokenizer gives them, are held at one time."""
NO_SPAN = (-1, -1)


@dataclass(frozen=True, eq=False, kw_only=True)
class QuestionExamples(Examples):
    """Questions, and where in their contexts the answers stand. `sizes` are of question and context together."""

    ids: Ragged
    """Tokens of the questions."""
    context_of: NDArray[np.int64]
    spans: NDArray[np.int64]
    """First and last token of the answer that is learned, in its context; -1 where there is none."""
    expected: tuple[tuple[str, ...], ...]
    """Every answer that counts as right."""
    contexts: tuple[str, ...]
    context_ids: Ragged
    context_characters: Ragged
    """First character and end of every token of a context."""
    left_out: int
    """Questions whose answers are nothing to the tokenizer."""

    @classmethod
    def of(cls, questions: Sequence[Question], tokenizer: Tokenizer) -> QuestionExamples:
        """Tokenise questions and their contexts. The first answer that has tokens is learned; a question of whose
        answers none has any is left out."""
        number: dict[str, int] = {}
        context_of = np.array([number.setdefault(q.context, len(number)) for q in questions], dtype=np.int64)
        contexts = tuple(number)
        ids, characters = list[NDArray[np.int32]](), list[NDArray[np.int32]]()
        for start in range(0, len(contexts), _AT_A_TIME):
            for encoding in tokenizer.encodings_raw(contexts[start : start + _AT_A_TIME]):
                ids.append(np.array(encoding.ids, dtype=np.int32))
                characters.append(np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2))
        found = [
            next((span for answer in q.answers if (span := tokens_of(characters[context], answer)) != NO_SPAN), NO_SPAN)
            for context, q in zip(context_of, questions, strict=True)
        ]
        kept = [i for i, question in enumerate(questions) if found[i] != NO_SPAN or not question.answers]
        encoded = Ragged.of(tokenizer.encode_raw([questions[i].question for i in kept]))
        context_ids, context_of = Ragged.of(ids), context_of[kept]
        n_bytes = np.array([len(text.encode("utf-8", "surrogatepass")) for text in contexts], dtype=np.int64)
        return cls(
            ids=encoded,
            context_of=context_of,
            spans=np.array([found[i] for i in kept], dtype=np.int64).reshape(-1, 2),
            expected=tuple(tuple(answer.text for answer in questions[i].answers) for i in kept),
            contexts=contexts,
            context_ids=context_ids,
            context_characters=Ragged.of(characters, width=2),
            left_out=len(questions) - len(kept),
            sizes=encoded.lengths + context_ids.lengths[context_of],
            sizes_in_bytes=n_bytes[context_of],
        )

    def text(self, question: int, first: int, last: int) -> str:
        """The piece of a question's context from one token to another."""
        context = int(self.context_of[question])
        characters = self.context_characters[context]
        return self.contexts[context][int(characters[first, 0]) : int(characters[last, 1])].strip()

    @property
    def fingerprint(self) -> str:
        """The answers that count as right are a part of it: validation measures by them."""
        arrays = (self.ids, self.context_of, self.spans, self.context_ids, self.context_characters)
        return fingerprint((*arrays, *(text for texts in self.expected for text in (*texts, ""))))


def tokens_of(characters: NDArray[np.int32], answer: AnswerSpan) -> tuple[int, int]:
    """The first and the last token that hold a character of an answer; -1 where none does."""
    inside = np.flatnonzero((characters[:, 1] > answer.start) & (characters[:, 0] < answer.end))
    return (int(inside[0]), int(inside[-1])) if len(inside) else NO_SPAN
