"""How well names find pictures that were aligned here: emoji in five languages.

    python -m benchmarks.align_quality [--minutes 12] [--work FOLDER]

The data is `data_emoji.py`'s. One small CLIP is trained from scratch by `sensorium align` on the names and keywords of
the concepts to learn. Then every name is asked for its picture:

- new concepts: never seen in any language; the pictures to choose from are those of all held-out concepts.
- a new language: concepts that were learned in four languages, asked for in the fifth; the pictures to choose from are
  all that were learned. Beside it, the same concepts asked for in the four.

Against the model stand chance, and what needs no training: the learned text that is nearest by its letters (TF-IDF of 1
to 4 letters), whose picture is the answer; for new concepts, the held-out picture that is nearest to that one's by its
colours. Intervals are a bootstrap over concepts.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.common import machine
from benchmarks.data_emoji import LANGUAGES, Query, Tables, tables
from scripts.fetch import cache_folder
from sensorium.fusion.statistics import bootstrap_mean
from sensorium.objectives.retrieval import best_ranks

SETTINGS = (
    'description="Emoji and their names in English, French, German, Spanish and Chinese, in one space."',
    "run.epochs=1000.0",
    "run.held_out=0.0",
    "run.save_every=500",
    "views=3",
    "image.size=48",
    "image.patch=12",
    "text.context=32",
    "text.layers=2",
    "optim.kind=muon",
)
"""What is other than the recipe's defaults."""
AMONG = (1, 5, 10)


def trained(work: Path, made: Tables, minutes: float) -> Path:
    """The model's folder, trained if it is not there."""
    import sensorium as sm

    out = work / f"align-{minutes:g}"
    if not (out / "config.json").is_file():
        sm.align(made.train, out=out, overrides=[*SETTINGS, f"run.max_minutes={minutes}"], resume=True)
    return out


def ranks_of(folder: Path, queries: Sequence[Query], pictures: Sequence[Path]) -> Tensor:
    """How many wrong pictures the model puts before each query's own."""
    import sensorium as sm

    model = sm.load(folder)
    asked = torch.from_numpy(model.embed([query.text for query in queries]))
    return best_ranks(asked, torch.from_numpy(model.embed(images=list(pictures))), _right(queries, pictures))


def by_letters(made: Tables, queries: Sequence[Query], pictures: Sequence[Path], *, new: bool) -> Tensor:
    """The same without a model: by the letters of what was learned, and where pictures are new by their colours."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts, places = list[str](), list[int]()
    for place, e in enumerate(made.learned):
        for lang in LANGUAGES:
            if made.withheld.get(e.character) != lang:
                texts += [e.names[lang], ", ".join(e.keywords[lang])]
                places += [place, place]
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4)).fit(texts)
    scores = (vectorizer.transform([query.text for query in queries]) @ vectorizer.transform(texts).T).toarray()
    best = np.full((len(queries), len(made.learned)), -1.0)
    np.maximum.at(best, (slice(None), np.array(places)), scores)
    if not new:
        return _ranks(torch.from_numpy(best), _right(queries, pictures))
    known = colours([e.picture for e in made.learned])[best.argmax(1)]
    return _ranks(torch.from_numpy(-np.abs(known[:, None] - colours(pictures)[None]).sum(2)), _right(queries, pictures))


def colours(pictures: Sequence[Path]) -> np.ndarray:
    """Shares of 4 × 4 × 4 colours in each picture, transparent ones left out."""
    found = []
    for path in pictures:
        pixels = np.asarray(Image.open(path).convert("RGBA")).reshape(-1, 4)
        opaque = pixels[pixels[:, 3] > 127, :3] // 64
        counts = np.bincount(opaque @ np.array([16, 4, 1]), minlength=64)
        found.append(counts / max(1, counts.sum()))
    return np.stack(found)


def _right(queries: Sequence[Query], pictures: Sequence[Path]) -> Tensor:
    places = {picture: place for place, picture in enumerate(pictures)}
    right = torch.zeros(len(queries), len(pictures), dtype=torch.bool)
    right[torch.arange(len(queries)), torch.tensor([places[query.picture] for query in queries])] = True
    return right


def _ranks(scores: Tensor, right: Tensor) -> Tensor:
    best = scores.masked_fill(~right, -torch.inf).amax(1, keepdim=True)
    return ((scores >= best) & ~right).sum(1)


def row(title: str, ranks: Tensor, queries: Sequence[Query]) -> str:
    """One line of a table: recall at 1, 5 and 10 and the mean reciprocal rank, with intervals."""
    groups = np.array([query.picture.stem for query in queries])
    scores = [(ranks < among).double().numpy() for among in AMONG] + [(1 / (1 + ranks.double())).numpy()]
    cells = []
    for score in scores:
        found = bootstrap_mean(score, groups=groups)
        cells.append(f"{100 * found.value:.1f} ({100 * found.low:.1f}–{100 * found.high:.1f})")
    return f"| {title} | {' | '.join(cells)} |"


def chance(title: str, pictures: int) -> str:
    """The same line of what is drawn blindly."""
    at = [100 * min(1.0, among / pictures) for among in AMONG] + [
        100 * sum(1 / n for n in range(1, pictures + 1)) / pictures
    ]
    return f"| {title} | {' | '.join(f'{value:.1f}' for value in at)} |"


def measured(made: Tables, folder: Path) -> list[str]:
    """The tables, in Markdown."""
    new, learned = [e.picture for e in made.concepts], [e.picture for e in made.learned]
    head = "| recall@1 | recall@5 | recall@10 | MRR |\n|---|---|---|---|---|"
    lines = [f"| {len(made.of_new_concepts)} names of {len(new)} new concepts, among {len(new)} pictures {head}"]
    queries = made.of_new_concepts
    lines += [
        chance("chance", len(new)),
        row("letters, then colours", by_letters(made, queries, new, new=True), queries),
        row("**Sensorium**, all languages", ranks := ranks_of(folder, queries, new), queries),
    ]
    for lang in LANGUAGES:
        chosen = [place for place, query in enumerate(queries) if query.language == lang]
        lines.append(row(f"… {lang}", ranks[chosen], [queries[place] for place in chosen]))
    queries, others = made.of_new_languages, made.of_learned_languages
    lines += [
        "",
        f"| {len(queries)} names in a language that is new for the concept, among {len(learned)} pictures {head}",
    ]
    lines += [
        chance("chance", len(learned)),
        row("letters", by_letters(made, queries, learned, new=False), queries),
        row("**Sensorium**, all languages", ranks := ranks_of(folder, queries, learned), queries),
    ]
    for lang in LANGUAGES:
        chosen = [place for place, query in enumerate(queries) if query.language == lang]
        lines.append(row(f"… {lang}", ranks[chosen], [queries[place] for place in chosen]))
    lines.append(row("the same concepts in languages that were learned", ranks_of(folder, others, learned), others))
    return lines


def main() -> None:
    """Train, ask, print."""
    parser = argparse.ArgumentParser(description="How well names find pictures.")
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--work", type=Path, default=cache_folder() / "benchmarks" / "emoji")
    given = parser.parse_args()
    made = tables(given.work)
    folder = trained(given.work, made, given.minutes)
    print(f"### Pictures found by their names, after {given.minutes:g} minutes of training\n")
    print("\n".join(measured(made, folder)))
    print(f"\n{machine()}\n", flush=True)


if __name__ == "__main__":
    main()
