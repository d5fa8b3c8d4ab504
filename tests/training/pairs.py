"""A corpus of pairs whose translation is a rule: numbers in words, told in two invented languages."""

from __future__ import annotations

import itertools
from pathlib import Path

from sensorium.data.corpus import ParallelCorpus
from sensorium.data.parallel.prepare import prepare_parallel

ENGLISH = ["cat", "dog", "bird", "horse", "fish", "mouse", "sheep", "goat"]
FRENCH = ["chat", "chien", "oiseau", "cheval", "poisson", "souris", "mouton", "chèvre"]
VERBS = [("sees", "voit"), ("hears", "entend"), ("follows", "suit"), ("finds", "trouve")]


def rows() -> list[tuple[str, str]]:
    """Every animal with every other."""
    return [
        (f"The {ENGLISH[a]} {verb} the {ENGLISH[b]} today.", f"Le {FRENCH[a]} {verbe} le {FRENCH[b]} ce jour.")
        for (a, b), (verb, verbe) in itertools.product(itertools.permutations(range(8), 2), VERBS)
    ]


def pairs(folder: Path, *, both_ways: bool = False) -> ParallelCorpus:
    """The corpus of `rows`."""
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / "pairs.tsv"
    table.write_text("en\tfr\n" + "".join(f"{a}\t{b}\n" for a, b in rows()), encoding="utf-8")
    return prepare_parallel(
        table, out=folder / "corpus", source="en", target="fr", both_ways=both_ways, tokenizer="bpe:320",
        validation=0.1, show_progress=False,
    )  # fmt: skip
