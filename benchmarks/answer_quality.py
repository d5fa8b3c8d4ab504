"""How well a model that was trained here points at answers, against what else could be had for the same time.

    python -m benchmarks.answer_quality [--minutes 45] [--work FOLDER]

The data is `answer_data.py`'s; every question has an answer in its text. Both sides start from the same small encoder
(`scripts/small_encoder.py`: four layers of all-MiniLM-L6-v2, which has never been asked for a span), and are trained at
the same time, each on half of the processor's threads, for the same time by the clock: ours with the recipe
`default-answerer`, the peer with stock `BertForQuestionAnswering` in the `Trainer`, batches of windows of like length,
and the same learning rate, batch and window; the rate decays as a cosine here, in a line there. Both are asked through
`LanguageModel.answer`, so that what differs is the training. Against them stands the sentence of the text that is
nearest to the question by TF-IDF. Intervals are over questions, of which several are about one text; that of the
difference between both sides is over texts. A side that was trained is kept in the work folder, under its minutes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.answer_data import split
from benchmarks.common import machine
from benchmarks.peer import timed_trainer
from scripts import small_encoder
from scripts.fetch import cache_folder
from sensorium.data.labelled.questions import Question, read_questions
from sensorium.data.sample import Ledger
from sensorium.data.segment import sentences
from sensorium.files import atomic_folder
from sensorium.objectives.metrics import answer_match
from sensorium.tasks.measures import answer_measures

RECIPE, SEQ_LEN, STRIDE, BATCH = "default-answerer", 256, 128, 10
RATE, WARMUP = 5e-4, 0.1
SIDES = ("ours", "theirs")
SETS = {"disflqa": "paragraphs of Wikipedia (DisflQA)", "narrativeqa": "plots of stories (NarrativeQA)"}


def encoder(work: Path) -> Path:
    """What both sides start from, made if it isn't there."""
    folder = work / "encoder"
    if not (folder / "config.json").is_file():
        small_encoder.cut(folder, layers=4, tokens=6500, texts=small_encoder.text())
    return folder


def trained(work: Path, side: str, minutes: float) -> Path:
    """Where a side's model lies."""
    return work / f"{side}-{minutes:g}"


def ours(work: Path, minutes: float) -> None:
    """Train as a user would."""
    import sensorium as sm

    learned, tested = split(work)
    settings = [f"run.max_minutes={minutes}", "run.epochs=1000", "run.eval_every=1000000", "run.save_every=1000000"]
    sm.train(
        learned,
        recipe=RECIPE,
        init=encoder(work),
        validation=tested,
        out=trained(work, "ours", minutes),
        overrides=settings,
        resume=True,
    )


def theirs(work: Path, minutes: float) -> None:
    """Train stock `transformers` for the same time."""
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer, DataCollatorWithPadding

    out = trained(work, "theirs", minutes)
    if out.is_dir():
        return
    tokenizer = AutoTokenizer.from_pretrained(encoder(work))
    questions = list(read_questions([split(work)[0]], Ledger()))
    model = AutoModelForQuestionAnswering.from_pretrained(encoder(work), attn_implementation="sdpa")
    trainer = timed_trainer(
        model,
        [row for question in questions for row in windows(question, tokenizer)],
        DataCollatorWithPadding(tokenizer),
        folder=work / "peer",
        batch=BATCH,
        minutes=minutes,
        rate=RATE,
        warmup=WARMUP,
        weight_decay=0.01,
    )
    trainer.train()
    with atomic_folder(out, ours=[]) as part:
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)


def windows(question: Question, tokenizer: Any) -> list[dict[str, Any]]:
    """Windows over a context with the tokens where its first answer begins and ends: [CLS] where it is not inside."""
    encoded = tokenizer(
        question.question, question.context, max_length=SEQ_LEN, stride=STRIDE, truncation="only_second",
        return_overflowing_tokens=True, return_offsets_mapping=True,
    )  # fmt: skip
    found = []
    for number, offsets in enumerate(encoded["offset_mapping"]):
        inside = [i for i, part in enumerate(encoded.sequence_ids(number)) if part == 1]
        start = end = 0
        if question.answers:
            answer = question.answers[0]
            first = [i for i in inside if offsets[i][0] <= answer.start < offsets[i][1]]
            last = [i for i in inside if offsets[i][0] < answer.end <= offsets[i][1]]
            if first and last:
                start, end = first[0], last[0]
        found.append(
            {
                "input_ids": encoded["input_ids"][number],
                "token_type_ids": encoded["token_type_ids"][number],
                "attention_mask": encoded["attention_mask"][number],
                "start_positions": start,
                "end_positions": end,
            }
        )
    return found


def nearest_sentences(questions: Sequence[Question]) -> list[str]:
    """Of each question's context, the sentence with the highest TF-IDF cosine."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(stop_words="english").fit(question.context for question in questions)
    found = []
    for question in questions:
        parts = [part.strip() for part in sentences(question.context)]
        scores = vectorizer.transform(parts) @ vectorizer.transform([question.question]).T
        found.append(parts[int(scores.toarray()[:, 0].argmax())])
    return found


def by_set(tested: Path, outputs: Sequence[str]) -> dict[str, tuple[list[str], list[list[str]]]]:
    """Of each set: what was answered, and the right answers."""
    questions = list(read_questions([tested], Ledger()))
    found = {}
    for name in SETS:
        chosen = [place for place, question in enumerate(questions) if question.id.startswith(name)]
        expected = [[answer.text for answer in questions[place].answers] for place in chosen]
        found[name] = [outputs[place] for place in chosen], expected
    return found


def ahead(questions: Sequence[Question], ours: Sequence[str], theirs: Sequence[str]) -> tuple[float, float, float]:
    """By how many points of F1 one side is ahead on the same questions: the mean, and where 95 % of the means lie when
    texts are drawn with all their questions."""
    by_text: dict[str, list[float]] = {}
    for question, one, other in zip(questions, ours, theirs, strict=True):
        right = [answer.text for answer in question.answers]
        by_text.setdefault(question.context, []).append(answer_match(one, right)[1] - answer_match(other, right)[1])
    sums = 100 * np.array([sum(points) for points in by_text.values()])
    counts = np.array([len(points) for points in by_text.values()])
    drawn = np.random.default_rng(0).integers(0, len(sums), (1000, len(sums)))
    low, high = np.percentile(sums[drawn].sum(1) / counts[drawn].sum(1), [2.5, 97.5]).tolist()
    return float(sums.sum() / counts.sum()), low, high


def compare(work: Path, minutes: float) -> None:
    """Both sides at the same time, then the table."""
    import sensorium as sm

    _, tested = split(work)
    encoder(work)
    command = [sys.executable, "-m", "benchmarks.answer_quality", "--work", str(work), "--minutes", str(minutes)]
    missing = [name for name in SIDES if not (trained(work, name, minutes) / "config.json").is_file()]
    running = {name: subprocess.Popen([*command, "--side", name]) for name in missing}
    if failed := [name for name, process in running.items() if process.wait()]:
        sys.exit(f"failed: {', '.join(failed)}")
    questions = list(read_questions([tested], Ledger()))
    systems = {"nearest sentence by TF-IDF": nearest_sentences(questions)}
    for name, title in (("theirs", "stock BERT, `Trainer`"), ("ours", "**Sensorium**")):
        systems[title] = list(sm.evaluate(trained(work, name, minutes), task="qa", data=tested).outputs)
    print(f"### Answers after {minutes:g} minutes of training\n")
    by_system = {system: by_set(tested, outputs) for system, outputs in systems.items()}
    for name, title in SETS.items():
        asked = [question for question in questions if question.id.startswith(name)]
        texts = len({question.context for question in asked})
        print(f"| {len(asked)} questions about {texts} {title} | exact match | F1 |\n|---|---|---|")
        for system, answered in by_system.items():
            cells = [f"{m.value:.1f} ({m.low:.1f}–{m.high:.1f})" for m in answer_measures(*answered[name])]
            print(f"| {system} | {' | '.join(cells)} |")
        print()
    mean, low, high = ahead(questions, *(systems[title] for title in ("**Sensorium**", "stock BERT, `Trainer`")))
    print(
        f"F1 of Sensorium minus stock BERT, all {len(questions)} questions: {mean:+.1f} ({low:+.1f} to {high:+.1f})\n"
    )
    print(f"{machine()}\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=45.0)
    parser.add_argument("--work", type=Path, default=cache_folder() / "benchmarks" / "questions")
    parser.add_argument("--side", choices=SIDES)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    if not given.side:
        compare(given.work, given.minutes)
        return
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 2) // len(SIDES)))
    {"ours": ours, "theirs": theirs}[given.side](given.work, given.minutes)


if __name__ == "__main__":
    main()
