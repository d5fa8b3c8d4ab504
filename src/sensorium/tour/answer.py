"""Questions to a whole book: which passages are found, what the bundled model takes for the answer, how sure it is.

Where the model or `bm25s`, which finds the passages, is not there, the chapter says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sensorium.data.reading.inputs import read_inputs
from sensorium.data.sample import Ledger
from sensorium.errors import CapabilityError, CheckpointError
from sensorium.objectives.metrics import answer_match
from sensorium.reports.blocks import Block, Table, Text
from sensorium.results import Answer
from sensorium.tasks.model import load
from sensorium.tasks.retrieve import Passages
from sensorium.tour.trip import Trip, left_out

_AROUND = 140
"""Characters that are shown on each side of an answer."""


def answer(trip: Trip) -> Sequence[Block]:
    """Every question with its answer and the passage that it was found in."""
    plan = trip.plan
    try:
        lm = load(plan.answerer)
        book = Passages(whole(plan.book))
    except (CheckpointError, CapabilityError) as error:
        return left_out(error)
    found = lm.answer([question for question, _ in plan.questions], context=book)
    right = [answer_match(one.text, [wanted])[0] > 0 for one, (_, wanted) in zip(found, plan.questions, strict=True)]
    rows = [
        [question, one.text, f"{one.score:.0%}", "yes" if is_right else wanted, around(one, book.text)]
        for (question, wanted), one, is_right in zip(plan.questions, found, right, strict=True)
    ]
    trip.numbers["answers_right"] = sum(right) / len(right)
    return [
        Text(
            f"`sensorium answer {plan.answerer}` is asked about all of `{plan.book.name}`: {len(book.text):,} "
            f"characters in {len(book):,} passages. BM25 finds the passages that share most words with a question, and "
            "the model reads them and points at what it takes for the answer. It has not read the book before. It is "
            f"small and always answers: {sum(right)} of these {len(right)} answers are right. The questions were "
            "picked to show both kinds, and those that it gets right use the book's own words: of others it gets most "
            "wrong. The score is the answer's share among the best 20."
        ),
        Table(["question", "answer", "score", "right", "where it was found"], rows, numeric=[2]),
    ]


def whole(path: Path) -> str:
    """All documents of a file as one text."""
    return "\n\n".join(sample.text for sample in read_inputs([path], Ledger(strict=True)))


def around(one: Answer, text: str) -> str:
    """The passage of an answer, cut to what stands near it."""
    if one.start is None or one.end is None:
        return ""
    at = max(text.find(one.passage, max(one.start - len(one.passage), 0), one.end + len(one.passage)), 0)
    first, last = max(at, one.start - _AROUND), min(at + len(one.passage), one.end + _AROUND)
    said = " ".join(text[first:last].split())
    return f"{'… ' if first > at else ''}{said}{' …' if last < at + len(one.passage) else ''}"
