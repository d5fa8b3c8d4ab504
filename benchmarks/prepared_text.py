"""What each stage takes out of real text, and what a small model gains or loses by it.

    python -m benchmarks.prepared_text

The text is as it lies about (`data_text.py`): HTML of documentation, in English and Chinese, and mails with their
headers, spam among them; nothing is planted. First each corpus alone goes through everything that `prepare` can do, and
the table says what share of its bytes each stage takes out. Then three models of the same size see the same number of
tokens of the same files: of their source as it stands, of the text that the readers take from it, and of what all
stages leave. All are measured on clean text that none has seen: passages of Wikipedia, and a handbook. One tokenizer
serves all three. Which files there are is drawn by a seed.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.common import machine
from benchmarks.data_text import CHINESE_PAGES, MAILS, PAGES, PASSAGES, mail_paths, page_texts, passage_texts
from benchmarks.tokenise import tokenizer
from scripts.fetch import FetchError
from sensorium.data.prepare.build import QUALITY
from sensorium.errors import DataError

HELD_OUT = "Debian handbook"
"""The corpus that no model learns from."""
VOCABULARY, BATCH, CONTEXT = 8000, 4096, 256
ARMS = {
    "source": "the files as they stand",
    "read": "the text that is read from them",
    "prepared": "what all stages leave of it",
}


def prepared(paths: Sequence[Path], out: Path, *, language: str, folder: Path, workers: int) -> None:
    """Everything that `prepare` does of itself for a language model."""
    import sensorium as sm

    sm.prepare(
        paths,
        out=out,
        tokenizer=folder,
        identify=True,
        languages=(language,),
        quality=QUALITY,
        mask=("email", "phone"),
        paragraphs=True,
        near=True,
        keep_keys=False,
        workers=workers,
        show_progress=False,
    )


def removed(work: Path, folder: Path, workers: int, share: float) -> None:
    """Print what each stage takes out of each corpus."""
    corpora = {name: ("en", pages.paths) for name, pages in PAGES.items()} | {MAILS: ("en", mail_paths())}
    corpora |= {name: ("zh", pages.paths) for name, pages in CHINESE_PAGES.items()}
    header: list[str] = []
    for number, (name, (language, paths)) in enumerate(corpora.items()):
        out = work / f"corpus-{number}"
        chosen = drawn(paths, share)
        try:
            prepared(chosen, out, language=language, folder=folder, workers=workers)
        except DataError as error:
            print(f"| {name} | {len(chosen):,} | {error.problem} |")
            continue
        stages = json.loads((out / "report.json").read_text(encoding="utf-8"))["stages"]
        if not header:
            header = [stage["name"] for stage in stages]
            print(f"| corpus | documents | MB read | {' | '.join(header)} | documents left | MB left |")
            print(f"|---|---|---|{'---|' * len(header)}---|---|")
        size = stages[0]["bytes_in"]
        cells = [f"{(stage['bytes_in'] - stage['bytes_out']) / size:.1%}" for stage in stages]
        first, last = stages[0], stages[-1]
        print(
            f"| {name} | {first['documents_in']:,} | {size / 1e6:.1f} | {' | '.join(cells)} "
            f"| {last['documents_out']:,} | {last['bytes_out'] / 1e6:.2f} |",
            flush=True,
        )
        most = sorted(((count, rule) for stage in stages for rule, count in stage["dropped"].items()), reverse=True)
        REASONS[name] = ", ".join(f"{rule} {count:,}" for count, rule in most[:4])


REASONS: dict[str, str] = {}
"""Of each corpus, the rules that drop most of its documents."""


def drawn(paths: Sequence[Path], share: float) -> list[Path]:
    """Some of the files, in their order."""
    chosen = set(random.Random(0).sample(range(len(paths)), max(1, round(share * len(paths)))))
    return [path for place, path in enumerate(paths) if place in chosen]


def corpora_of_arms(work: Path, folder: Path, workers: int, share: float) -> dict[str, Path]:
    """The corpus that each model learns from: of the same files."""
    import sensorium as sm

    paths = [path for name, pages in PAGES.items() if name != HELD_OUT for path in drawn(pages.paths, share)]
    paths += drawn(mail_paths(), share)
    source = work / "source.jsonl"
    with source.open("w", encoding="utf-8") as file:
        for path in paths:
            file.write(json.dumps({"text": path.read_bytes().decode("utf-8", "replace")}) + "\n")
    found = {arm: work / arm for arm in ARMS}
    for arm, inputs in (("source", [source]), ("read", paths)):
        sm.prepare(
            inputs, out=found[arm], tokenizer=folder, stages=[], keep_keys=False, workers=workers, show_progress=False
        )
    prepared(paths, found["prepared"], language="en", folder=folder, workers=workers)
    return found


def trained(corpus: Path, out: Path, tokens: int, seed: int) -> None:
    """A small Llama after so many tokens."""
    import sensorium as sm
    from sensorium.training.recipe import recipe_from_dict

    recipe = recipe_from_dict(
        {
            "description": "benchmark of prepared text",
            "model": {
                "family": "llama", "dim": 192, "layers": 4, "heads": 4, "feedforward": 512, "context": CONTEXT,
            },
            "objective": {"kind": "causal"},
            "optim": {"lr": 1e-3},
            "batch": {"seq_len": CONTEXT, "tokens": BATCH},
            "run": {"steps": max(1, tokens // BATCH), "eval_every": 10**6, "eval_tokens": 10_000, "seed": seed},
        }
    )  # fmt: skip
    sm.train(corpus, recipe=recipe, out=out, show_progress=False)


def held_out_texts(kilobytes: float) -> dict[str, list[str]]:
    """Clean text that no model has seen."""
    chance, chosen = random.Random(1), dict[str, list[str]]()
    # Passages, and pages cut at blank lines: short pieces, so that the beginnings of texts weigh alike.
    pages = [piece for page in page_texts(PAGES[HELD_OUT]) for piece in page.split("\n\n") if len(piece) > 300]
    for name, texts in ((PASSAGES, sorted(passage_texts())), (HELD_OUT, sorted(set(pages)))):
        chance.shuffle(texts)
        left, chosen[name] = kilobytes * 1000, []
        for text in texts:
            if left <= 0:
                break
            chosen[name].append(text)
            left -= len(text.encode())
    return chosen


def bits(model: Path, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Bits and bytes of each text."""
    import sensorium as sm

    scores = sm.load(model).score(list(texts))
    return np.array([one.nats / math.log(2) for one in scores]), np.array([one.n_bytes for one in scores])


def gained(found: Mapping[str, Sequence[tuple[np.ndarray, np.ndarray]]], arm: str) -> str:
    """By how much a model's bits per byte are below those of the text as it is read: the mean of the seeds, and where
    95 % of the means lie when texts are drawn anew."""
    chance = np.random.default_rng(0)
    size = found["read"][0][1]
    saved = np.mean([a[0] - b[0] for a, b in zip(found["read"], found[arm], strict=True)], axis=0)
    rows = chance.integers(0, len(size), (1000, len(size)))
    low, high = np.percentile(saved[rows].sum(1) / size[rows].sum(1), [2.5, 97.5])
    return f"{saved.sum() / size.sum():+.4f} ({low:+.4f} to {high:+.4f})"


def compared(work: Path, folder: Path, given: argparse.Namespace) -> None:
    """Train on each, and print bits per byte."""
    import sensorium as sm

    corpora = corpora_of_arms(work, folder, given.workers, given.share)
    texts = held_out_texts(given.held_out)
    found: dict[str, dict[str, list[tuple[np.ndarray, np.ndarray]]]] = {
        name: {arm: [] for arm in ARMS} for name in texts
    }
    for seed in range(given.seeds):
        for arm, corpus in corpora.items():
            trained(corpus, work / f"model-{arm}-{seed}", given.tokens, seed)
            for name, held in texts.items():
                found[name][arm].append(bits(work / f"model-{arm}-{seed}", held))
    print(f"| learned from | MB | tokens there | seen | {' | '.join(f'{name} | saved' for name in texts)} |")
    print(f"|---|---|---|---|{'---|---|' * len(texts)}")
    for arm, name in ARMS.items():
        train = sm.Corpus.open(corpora[arm]).train
        cells = [f"{train.n_bytes / 1e6:.1f}", f"{train.n_tokens:,}", f"{given.tokens / train.n_tokens:.2f} times"]
        for by_arm in found.values():
            means = [float(one.sum() / size.sum()) for one, size in by_arm[arm]]
            spread = f" ({min(means):.4f}–{max(means):.4f})" if len(means) > 1 else ""
            cells += [f"{np.mean(means):.4f}{spread}", "" if arm == "read" else gained(by_arm, arm)]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=1_000_000, help="that each model sees")
    parser.add_argument("--seeds", type=int, default=1, help="of models, of each kind of text")
    parser.add_argument("--share", type=float, default=0.5, help="of the files")
    parser.add_argument("--held-out", type=float, default=150.0, help="kilobytes of each clean text")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", choices=("removed", "compared"))
    given = parser.parse_args()
    folder = tokenizer(VOCABULARY)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        if given.only != "compared":
            print(f"### Share of the bytes that each stage takes out, {given.share:.0%} of the files\n")
            removed(work, folder, given.workers, given.share)
            print()
            for corpus, reasons in REASONS.items():
                print(f"- {corpus}: {reasons}")
            print()
        if given.only != "removed":
            print(f"### Bits per byte of clean text after {given.tokens:,} tokens, 4 × 192, {given.seeds} seed(s)\n")
            compared(work, folder, given)
            print(f"\n- saved: bits per byte below those of the model that learned from {ARMS['read']}; more is better")
    print(f"\n{machine()}\n", flush=True)


if __name__ == "__main__":
    try:
        main()
    except FetchError as error:
        sys.exit(f"error: {error}")
