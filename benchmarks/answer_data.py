"""What models for answers learn from and are tested on: English questions whose answers stand in a text.

    python -m benchmarks.answer_data                # learned.json and tested.json in the cache
    python -m benchmarks.answer_data --out data

Asked by people: DisflQA's questions (about paragraphs of Wikipedia, with slips of the tongue) and NarrativeQA's (about
the plots of stories, by readers of the plot alone), by `data_qa.py`: those that have an answer in the text. Three
tenths of the paragraphs and plots are held out to test on. Learned from are the questions about the others, six times,
each time with a piece of the text around the answer that is drawn anew; and questions that `made_questions.py` makes of
BoolQ's passages, but for passages that share eight words in a row with a tested text.

QuAC is left out, as its questions continue a conversation; so are questions without an answer: after so short a
training no model tells them from others.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.data_qa import disflqa, narrativeqa, rows
from benchmarks.made_questions import made
from scripts.fetch import FetchError, cache_folder
from sensorium.data.labelled.split import held_out
from sensorium.files import write_json

HELD_OUT = 0.3
REPEATS = 6
PIECE = 1000
"""Characters of a text around an answer."""
RUN = 8
"""Words in a row that no passage of which questions are made shares with a text to test on."""

Row = dict[str, Any]


def split(folder: Path) -> tuple[Path, Path]:
    """SQuAD files to learn from and to test on."""
    learned, tested = folder / "learned.json", folder / "tested.json"
    if not (learned.exists() and tested.exists()):
        folder.mkdir(parents=True, exist_ok=True)
        asked = [row for rows in (disflqa(), narrativeqa()) for row in rows if row["answers"]]
        held = held_out([row["context"] for row in asked], HELD_OUT)
        tests = [row for row, test in zip(asked, held, strict=True) if test]
        others = [row for row, test in zip(asked, held, strict=True) if not test]
        write_json(tested, {"version": "tested", "data": _articles(tests)})
        chance = random.Random(0)
        pieces = (_piece(row, chance) for row in others for _ in range(REPEATS))
        write_json(learned, {"version": "learned", "data": [*_articles(pieces), *made(_passages(tests))]})
    return learned, tested


def _passages(tests: Iterable[Row]) -> list[str]:
    """BoolQ's passages without their headings, each once."""
    seen = {run for row in tests for run in _runs(row["context"])}
    found = dict.fromkeys(row["passage"].split(" -- ", 1)[-1] for row in rows("BoolQ/combined.jsonl"))
    return [passage for passage in found if seen.isdisjoint(_runs(passage))]


def _runs(text: str) -> set[str]:
    words = re.findall(r"\w+", text.lower())
    return {" ".join(words[first : first + RUN]) for first in range(len(words) - RUN + 1)}


def _articles(asked: Iterable[Row]) -> list[Row]:
    """SQuAD's form: questions about the same text together."""
    by_context: dict[str, list[Row]] = {}
    for row in asked:
        by_context.setdefault(row["context"], []).append({key: row[key] for key in ("id", "question", "answers")})
    return [
        {"title": questions[0]["id"], "paragraphs": [{"context": context, "qas": questions}]}
        for context, questions in by_context.items()
    ]


def _piece(row: Row, chance: random.Random) -> Row:
    """A question with a piece of its text around the first answer, from the beginning of a word to the end of one."""
    context, answer = row["context"], row["answers"][0]
    start, text = answer["answer_start"], answer["text"]
    first = max(0, start - chance.randrange(PIECE - min(len(text), PIECE - 1)))
    last = min(len(context), max(first + PIECE, start + len(text)))
    while first and not context[first - 1].isspace():
        first -= 1
    while last < len(context) and not context[last].isspace():
        last += 1
    return row | {"context": context[first:last], "answers": [{"text": text, "answer_start": start - first}]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=cache_folder() / "benchmarks" / "questions")
    for path in split(parser.parse_args().out):
        articles = json.loads(path.read_text(encoding="utf-8"))["data"]
        count = sum(len(article["paragraphs"][0]["qas"]) for article in articles)
        print(f"{path}: {count:,} questions about {len(articles):,} texts")


if __name__ == "__main__":
    try:
        main()
    except FetchError as error:
        sys.exit(f"error: {error}")
