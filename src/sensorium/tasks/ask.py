"""Questions put to a loaded model: checked, and handed to the method that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypedDict, Unpack

from sensorium.errors import InputError, unknown
from sensorium.inference.engine import Capability, Engine
from sensorium.inference.logits import check_whole
from sensorium.objectives.spans import LONGEST_ANSWER
from sensorium.results import Answer
from sensorium.tasks.answer import Context, answer_all
from sensorium.tasks.answer_freely import answer_freely
from sensorium.tasks.retrieve import Passages

_PASSAGES = 10


class AnswerOptions(TypedDict, total=False):
    """The options of `LanguageModel.answer`."""

    method: Literal["extract", "generate"]
    """extract, the default, finds the span that answers; generate lets a model that writes text write the answer."""
    threshold: float | None
    """extract: no answer is given where its logits exceed the best span's by more than this. None, the default, always
    answers."""
    passages: int | None
    """extract: of a context of more than 20,000 characters, so many passages are found and read: 10 by default. None
    reads it whole."""
    rerank: bool
    """extract: rank the passages by the encoder's own vectors too, not by their words alone."""
    max_answer_tokens: int
    """extract: of the longest span, 30 by default. generate: of the answer."""
    template: str | None
    """generate: the prompt, with `{context}` and `{question}` in it; by default one of `question_pairs.TEMPLATES`."""


_ELSEWHERE = {"extract": ("template",), "generate": ("threshold", "passages", "rerank")}
"""What a method has no use for."""


def ask(
    engine_for: Callable[[Capability], Engine],
    questions: Sequence[str],
    context: Context | Sequence[Context],
    top_k: int | None,
    **options: Unpack[AnswerOptions],
) -> list[list[Answer]]:
    """Answers to every question, best first.

    Args:
        engine_for: gives the engine that does a task.
        questions: what is asked.
        context: one for all questions, or one for each.
        top_k: answers a question; None: one.
        options: see `AnswerOptions`.

    Raises:
        InputError: a question or a context is empty, an option is out of range or is of the other method.
        CapabilityError: the model cannot answer that way, or what finding passages needs is not installed.
    """
    method = options.get("method", "extract")
    if method not in _ELSEWHERE:
        raise InputError(unknown("method", str(method), tuple(_ELSEWHERE)))
    given = {name for name, value in options.items() if value is not None and value is not False}
    useless = [name for name in _ELSEWHERE[method] if name in given]
    if method == "generate" and top_k is not None and top_k != 1:
        useless.insert(0, "top_k")
    if useless:
        raise InputError(f"{useless[0]} does nothing with method={method!r}", fix="Leave it out")
    contexts = [context] * len(questions) if isinstance(context, str | Passages) else context
    longest = options.get("max_answer_tokens", LONGEST_ANSWER)
    check_whole("max_answer_tokens", longest, "1 or more", lambda x: x >= 1)
    if method == "generate":
        engine = engine_for("generate")
        template = options.get("template")
        written = answer_freely(engine, questions, contexts, template=template, max_new_tokens=longest)
        return [[one] for one in written]
    return answer_all(
        engine_for("answer"),
        questions,
        contexts,
        top_k=1 if top_k is None else top_k,
        threshold=options.get("threshold"),
        passages=options.get("passages", _PASSAGES),
        rerank=options.get("rerank", False),
        max_answer_tokens=longest,
    )
