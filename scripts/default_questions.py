"""Gather the questions that `default:answer` learns from: English, with answers that stand in a text.

    python -m scripts.default_questions OUT.json

DisflQA's, but for those about the paragraphs that `benchmarks/answer_quality.py` tests on, and NarrativeQA's about the
plots of stories, of which a piece around one answer is taken: the answer stands anywhere in it. QuAC is left out: its
questions continue a conversation.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

from benchmarks import answer_quality
from benchmarks.data_qa import narrativeqa
from scripts.fetch import cache_folder
from sensorium.files import write_json

PIECE = 1000
"""Characters of a plot around an answer."""


def gather(out: Path, work: Path | None = None) -> None:
    """Write one SQuAD file."""
    work = work or cache_folder() / "benchmarks" / "answers"
    work.mkdir(parents=True, exist_ok=True)
    learned, _ = answer_quality.data(work)
    articles: list[dict[str, Any]] = json.loads(learned.read_text(encoding="utf-8"))["data"]
    chance = random.Random(0)
    for row in narrativeqa():
        if row["answers"]:
            context, answer = _piece(row["context"], row["answers"][0], chance)
            question = {key: row[key] for key in ("id", "question", "is_impossible")} | {"answers": [answer]}
            articles.append({"title": row["id"], "paragraphs": [{"context": context, "qas": [question]}]})
    write_json(out, {"version": "default", "data": articles})


def _piece(context: str, answer: dict[str, Any], chance: random.Random) -> tuple[str, dict[str, Any]]:
    """A piece of a text with an answer in it, from the beginning of a word to the end of one."""
    start, text = answer["answer_start"], answer["text"]
    first = max(0, start - chance.randrange(PIECE - min(len(text), PIECE - 1)))
    last = min(len(context), max(first + PIECE, start + len(text)))
    while first and not context[first - 1].isspace():
        first -= 1
    while last < len(context) and not context[last].isspace():
        last += 1
    return context[first:last], {"text": text, "answer_start": start - first}


def main() -> None:
    """Gather them into the file that is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    gather(parser.parse_args().out)


if __name__ == "__main__":
    main()
