"""How well a translator translates that was trained here, against what else could be had for the same time.

    python -m benchmarks.translation_quality zh --minutes 60 [--work FOLDER]

One model learns both directions, English to a language and back, from strings and help of programs, a game's stories
and a book: texts of up to 120 characters, since minutes are too few for long ones. It is tested on a program that it
has not seen, the mail client Evolution: its strings and its help, short and long, without those of which a side stands
in another package too. Against it stand copying the source, a translation memory (`translation_memory.py`), and stock
`MarianMTModel` of the same size in the `Seq2SeqTrainer`. Both models are trained at the same time, on the same pairs,
each on half of the processor's threads, for the same time by the clock, and translate with beam 4. The peer's settings
are those that Marian is usually trained with: AdamW, linear warm-up and decay, label smoothing, batches of sentences of
like length. A side that was trained is kept in the work folder.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import machine
from benchmarks.data_parallel import SPELLINGS, split
from benchmarks.translation_memory import translations
from scripts.fetch import cache_folder

TESTS = ("evolution-common",)
TESTED = 1000
"""Texts of the test packages that are translated, spread evenly over them."""
RECIPE = "default-translator"
CHARACTERS = 120
"""Longer pairs are not learned from, on either side."""
BEAMS, LONGEST, SEQ_LEN, BATCH = 4, 192, 192, 64
PEER_RATE, PEER_WARMUP = 1e-3, 0.1
SIDES = ("ours", "theirs")
Rows = list[tuple[str, str, str]]
"""Package, English text, translation."""


def read(path: Path) -> Rows:
    """The rows of a table."""
    return [tuple(line.split("\t")) for line in path.read_text(encoding="utf-8").splitlines()[1:]]


def data(language: str, work: Path) -> tuple[Rows, Rows]:
    """What is learned from, also prepared at `work/corpus`, and what is tested on."""
    import sensorium as sm

    learned, tested = split(language, list(TESTS), work)
    if not (work / "corpus").is_dir():
        sm.prepare_parallel(
            learned, out=work / "corpus", source="en", target=language, both_ways=True, validation=0.01,
            max_characters=CHARACTERS,
        )  # fmt: skip
    rows = read(tested)
    return read(learned), rows[:: max(1, len(rows) // TESTED)][:TESTED]


def ours(work: Path, minutes: float) -> Callable[[list[str], str], list[str]]:
    """Train as a user would."""
    import sensorium as sm

    settings = [f"run.max_minutes={minutes}", "run.epochs=1000", "run.eval_every=1000000", "run.save_every=1000"]
    sm.train(work / "corpus", recipe=RECIPE, out=work / "ours", overrides=settings, resume=True)
    lm = sm.load(work / "ours")
    return lambda texts, to: [
        one.text for one in lm.translate(texts, target=to, beam=BEAMS, max_new_tokens=LONGEST, keep_placeholders=False)
    ]


def theirs(work: Path, minutes: float, rate: float = PEER_RATE) -> Callable[[list[str], str], list[str]]:
    """Train stock `transformers` for the same time."""
    import torch
    from transformers import (
        DataCollatorForSeq2Seq,
        MarianMTModel,
    )

    import sensorium as sm
    from benchmarks.peer import timed_trainer
    from benchmarks.train_translate import rows, stock_model, stock_tokenizer
    from sensorium.training.recipe import load_recipe

    corpus = sm.ParallelCorpus.open(work / "corpus")
    tokenizer = stock_tokenizer(corpus.tokenizer)

    if not (work / "theirs").is_dir():
        model = stock_model(load_recipe(RECIPE).fresh, corpus.tokenizer)
        trainer = timed_trainer(
            model,
            rows(work / "corpus", SEQ_LEN),
            DataCollatorForSeq2Seq(tokenizer, model=model),
            folder=work / "peer",
            batch=BATCH,
            minutes=minutes,
            rate=rate,
            warmup=PEER_WARMUP,
            smoothing=0.1,
        )
        trainer.train()
        model.save_pretrained(work / "theirs")
    model = MarianMTModel.from_pretrained(work / "theirs", dtype=torch.float32).eval()

    def translate(texts: list[str], to: str) -> list[str]:
        sign, end = corpus.tokenizer.backend.token_to_id(f">>{to}<<"), corpus.tokenizer.eos_id
        ids = [[sign, *corpus.tokenizer.encode(text, special=False)[: SEQ_LEN - 2], end] for text in texts]
        order, found = sorted(range(len(ids)), key=lambda i: -len(ids[i])), dict[int, str]()
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            padded = tokenizer.pad({"input_ids": [ids[i] for i in chosen]}, return_tensors="pt")
            with torch.inference_mode():
                out = model.generate(**padded, num_beams=BEAMS, max_new_tokens=LONGEST, do_sample=False)
            found.update(zip(chosen, tokenizer.batch_decode(out, skip_special_tokens=True), strict=True))
        return [found[i] for i in range(len(ids))]

    return translate


def run_side(name: str, language: str, work: Path, minutes: float) -> None:
    """Train one side, and write what it makes of the test texts."""
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 2) // len(SIDES)))
    _, tested = data(language, work)
    translate = {"ours": ours, "theirs": theirs}[name](work, minutes)
    for to, texts in (("en", [row[2] for row in tested]), (language, [row[1] for row in tested])):
        (work / f"{name}.{to}.json").write_text(json.dumps(translate(texts, to), ensure_ascii=False), encoding="utf-8")


def compare(language: str, work: Path, minutes: float) -> None:
    """Both sides at the same time, then the table."""
    from sensorium.tasks.measures import translation_measures

    learned, tested = data(language, work)
    command = [sys.executable, "-m", "benchmarks.translation_quality", language, "--work", str(work), "--minutes"]
    missing = [name for name in SIDES if not (work / f"{name}.{language}.json").is_file()]
    running = {name: subprocess.Popen([*command, str(minutes), "--side", name]) for name in missing}
    if failed := [name for name, process in running.items() if process.wait()]:
        sys.exit(f"failed: {', '.join(failed)}")
    print(f"### English ↔ {language} after {minutes:g} minutes of training, {len(tested):,} texts of another program\n")
    print("| | BLEU | chrF++ |\n|---|---|---|")
    signatures = list[str]()
    for source, to, here, there in ((1, 2, "en", language), (2, 1, language, "en")):
        texts, right = [row[source] for row in tested], [row[to] for row in tested]
        systems: dict[str, Sequence[str]] = {
            "copying the source": texts,
            "translation memory": translations(texts, [(row[source], row[to]) for row in learned]),
            "stock Marian, `Seq2SeqTrainer`": json.loads((work / f"theirs.{there}.json").read_text(encoding="utf-8")),
            "**Sensorium**": json.loads((work / f"ours.{there}.json").read_text(encoding="utf-8")),
        }
        for name, outputs in systems.items():
            bleu, chrf = translation_measures(outputs, right, language=there)
            print(f"| {here} → {there}, {name} | {_cell(bleu)} | {_cell(chrf)} |", flush=True)
        signatures += [f"- {here} → {there}: `{one.signature}`" for one in (bleu, chrf)]
    print("\n" + "\n".join(signatures) + f"\n\n{machine()}\n")


def _cell(measure: Any) -> str:
    return f"{measure.value:.1f} ({measure.low:.1f}–{measure.high:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("language", choices=SPELLINGS)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--side", choices=SIDES)
    given = parser.parse_args()
    work = given.work or cache_folder() / "benchmarks" / f"translation-{given.language}"
    work.mkdir(parents=True, exist_ok=True)
    if given.side:
        run_side(given.side, given.language, work, given.minutes)
    else:
        compare(given.language, work, given.minutes)


if __name__ == "__main__":
    main()
