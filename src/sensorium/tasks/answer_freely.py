"""Generative question answering: a model that writes text answers from a prompt with the context in it.

The prompt is `TEMPLATES["causal"]` for a model that continues text, and for an encoder–decoder `TEMPLATES["seq2seq"]`,
the words that T5 learned SQuAD by (Raffel et al. 2020). Of a context that does not fit into the model, the passages
stand in the prompt that the question is likely to be about, in the order of the text. A model that was taught by
`question_pairs` writes a word where the context holds no answer, which becomes the empty answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from sensorium.data.labelled.question_pairs import TEMPLATES, UNANSWERABLE, checked_template, filled
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import InputError
from sensorium.inference.engine import Engine, Seq2SeqEngine
from sensorium.inference.logits import Sampling
from sensorium.results import Answer
from sensorium.tasks.answer import Context, check_contexts, check_questions
from sensorium.tasks.generate import generate_all
from sensorium.tasks.retrieve import PASSAGE, Passages

_LONGEST = 1024
"""Tokens of a prompt where the model sets no limit."""
_SEARCHED = 20
"""Passages that are considered for a prompt."""


def answer_freely(
    engine: Engine,
    questions: Sequence[str],
    contexts: Sequence[Context],
    *,
    template: str | None = None,
    max_new_tokens: int = 32,
) -> list[Answer]:
    """An answer to every question, written greedily and up to the end of the line; an empty one where the model writes
    that there is none.

    Args:
        engine: can `generate`.
        questions: what is asked.
        contexts: one for each question.
        template: a prompt with `{context}` and `{question}` in it.
        max_new_tokens: of an answer.

    Raises:
        InputError: a question or a context is empty, the template has no place for them, or no room is left for a
            context.
        CapabilityError: what finding passages needs is not installed.
    """
    asked = check_questions(questions)
    given = check_contexts(contexts, asked)
    two_stacks = isinstance(engine, Seq2SeqEngine)
    prompt = checked_template(TEMPLATES["seq2seq" if two_stacks else "causal"] if template is None else template)
    limit = (engine.context or _LONGEST) - (0 if two_stacks else max_new_tokens)
    fit = _Fit(engine.tokenizer, prompt, limit)
    prompts = [
        filled(prompt, fit.context(question, context), question) for question, context in zip(asked, given, strict=True)
    ]
    written = generate_all(
        engine, prompts, max_new_tokens=max_new_tokens, sampling=Sampling(temperature=0.0), stop=("\n",)
    )
    found = []
    for one, context in zip(written, given, strict=True):
        answer = one.text.strip()
        answer = "" if answer.casefold() == UNANSWERABLE else answer
        text = context.text if isinstance(context, Passages) else context
        start = text.find(answer) if answer else -1
        score = math.exp(math.fsum(one.logprobs) / len(one.logprobs)) if one.logprobs else 0.0
        stands = start >= 0
        found.append(Answer(answer, score, start if stands else None, start + len(answer) if stands else None))
    return found


class _Fit:
    """As much of a context as fits into a prompt."""

    def __init__(self, tokenizer: Tokenizer, template: str, limit: int) -> None:
        self._tokenizer, self._template, self._limit = tokenizer, template, limit
        self._made: dict[str, Passages] = {}

    def context(self, question: str, context: Context) -> str:
        text = context.text if isinstance(context, Passages) else context
        room = self._limit - len(self._tokenizer.encode(filled(self._template, "", question)))
        if room < 8:
            raise InputError(
                f"{max(room, 0)} of the model's tokens are left for the context", fix="Ask a shorter question"
            )
        # One token is hardly ever more than sixteen characters; what is longer need not be tokenised to be refused.
        if len(text) <= 16 * room and self._fits(question, text):
            return text
        if text not in self._made:
            self._made[text] = Passages(text, characters=min(PASSAGE, 2 * room))
        return self._passages(question, self._made[text])

    def _passages(self, question: str, index: Passages) -> str:
        """The likeliest passages that fit, in the order of the text."""
        order = index.search(question, _SEARCHED)
        kept: list[int] = []
        for number in order:
            more = sorted([*kept, number])
            if self._fits(question, _joined(index, more)):
                kept = more
        if kept:
            return _joined(index, kept)
        best = index[order[0]].text
        while not self._fits(question, best):
            best = best[: len(best) * 3 // 4]
        return best

    def _fits(self, question: str, context: str) -> bool:
        return len(self._tokenizer.encode(filled(self._template, context, question))) <= self._limit


def _joined(index: Passages, numbers: Sequence[int]) -> str:
    return "\n".join(index[number].text.strip() for number in numbers)
