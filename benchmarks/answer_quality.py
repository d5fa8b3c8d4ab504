"""How well a model that was trained here points at answers, against what else could be had for the same time.

    python -m benchmarks.answer_quality [--minutes 15] [--work FOLDER]

The data is DisflQA (`data_qa.py`): questions about paragraphs of Wikipedia, asked with slips of the tongue; three in
ten have no answer. Three tenths of the paragraphs are held out. Both sides start from all-MiniLM-L6-v2, which has never
been asked for a span, and are trained at the same time, each on half of the processor's threads, for the same time by
the clock: ours with the recipe `answer-small`, the peer with stock `BertForQuestionAnswering` in the `Trainer`, batches
of windows of like length, and the same learning rate and decay. Both are asked through `LanguageModel.answer`, so that
what differs is the training. Against them stand never answering, and the sentence of the context that is nearest to the
question by TF-IDF. A side that was trained is kept in the work folder.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import machine
from benchmarks.data_qa import squad
from benchmarks.peer import timed_trainer
from scripts.fetch import cache_folder
from scripts.small_encoder import minilm
from sensorium.data.labelled.questions import Question, read_questions
from sensorium.data.labelled.split import held_out
from sensorium.data.sample import Ledger
from sensorium.data.segment import sentences

RECIPE, SEQ_LEN, STRIDE, BATCH = "answer-small", 256, 128, 16
RATE, WARMUP = 3e-4, 0.1
HELD_OUT = 0.3
SIDES = ("ours", "theirs")


def data(work: Path) -> tuple[Path, Path]:
    """SQuAD files to learn from and to test on: no paragraph is in both."""
    paths = work / "train.json", work / "test.json"
    if not all(path.exists() for path in paths):
        content = json.loads(squad("disflqa", work).read_text(encoding="utf-8"))
        contexts = [article["paragraphs"][0]["context"] for article in content["data"]]
        test = held_out(contexts, HELD_OUT)
        for path, wanted in zip(paths, (False, True), strict=True):
            chosen = [article for article, held in zip(content["data"], test, strict=True) if bool(held) is wanted]
            path.write_text(json.dumps({**content, "data": chosen}, ensure_ascii=False), encoding="utf-8")
    return paths


def ours(work: Path, minutes: float) -> None:
    """Train as a user would."""
    import sensorium as sm

    learned, tested = data(work)
    settings = [
        f"run.max_minutes={minutes}", "run.epochs=1000", "run.eval_every=1000000", "run.save_every=1000000",
        f"optim.lr={RATE}", f"schedule.warmup={WARMUP}", f"batch.seq_len={SEQ_LEN}",
    ]  # fmt: skip
    sm.train(
        learned, recipe=RECIPE, init=minilm(), validation=tested, out=work / "ours", overrides=settings, resume=True
    )


def theirs(work: Path, minutes: float) -> None:
    """Train stock `transformers` for the same time."""
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer, DataCollatorWithPadding

    if (work / "theirs").is_dir():
        return
    tokenizer = AutoTokenizer.from_pretrained(minilm())
    questions = list(read_questions([data(work)[0]], Ledger()))
    model = AutoModelForQuestionAnswering.from_pretrained(minilm(), attn_implementation="sdpa")
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
    model.save_pretrained(work / "theirs")
    tokenizer.save_pretrained(work / "theirs")


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


def compare(work: Path, minutes: float) -> None:
    """Both sides at the same time, then the table."""
    import sensorium as sm
    from sensorium.tasks.measures import answer_measures

    _, tested = data(work)
    command = [sys.executable, "-m", "benchmarks.answer_quality", "--work", str(work), "--minutes", str(minutes)]
    missing = [name for name in SIDES if not (work / name / "config.json").is_file()]
    running = {name: subprocess.Popen([*command, "--side", name]) for name in missing}
    if failed := [name for name, process in running.items() if process.wait()]:
        sys.exit(f"failed: {', '.join(failed)}")
    questions = list(read_questions([tested], Ledger()))
    expected = [[answer.text for answer in question.answers] for question in questions]
    systems = {"never an answer": [""] * len(questions), "nearest sentence by TF-IDF": nearest_sentences(questions)}
    for name, title in (("theirs", "stock BERT, `Trainer`"), ("ours", "**Sensorium**")):
        systems[title] = list(sm.evaluate(work / name, task="qa", data=tested).outputs)
    print(f"### Answers after {minutes:g} minutes of training, {len(questions)} questions of other paragraphs\n")
    table = {name: answer_measures(outputs, expected) for name, outputs in systems.items()}
    names = [measure.name for measure in next(iter(table.values()))]
    print(f"| | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}")
    for name, measures in table.items():
        cells = [f"{measure.value:.1f} ({measure.low:.1f}–{measure.high:.1f})" for measure in measures]
        print(f"| {name} | {' | '.join(cells)} |")
    print(f"\n{machine()}\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--work", type=Path, default=cache_folder() / "benchmarks" / "answers")
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
