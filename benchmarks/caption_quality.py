"""How well a language model that was given eyes captions pictures that it has not seen.

    python -m benchmarks.caption_quality --minutes 60 --align-minutes 25 [--vision FOLDER] [--work FOLDER]

SmolLM2-135M gets eyes by `sensorium give-eyes` from emoji, people, stamps and clip art (`data_captions.py`): a tower
of pictures that `sensorium align` made of the same training pictures and captions (or one that is given), frozen, and
a projector (LLaVA-1.5), with LoRA in the language model. Against it stand the caption of the training
picture that is nearest by the tower's own vector (what the tower knows, without a language model), and the training
caption of the most usual words. No caption of the test was learned from. Scores of a caption are chrF (Popović 2015)
and CIDEr; intervals are of a paired bootstrap over pictures. What was trained is kept in the work folder.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.caption_measures import cider
from benchmarks.common import machine
from benchmarks.data import smollm2
from benchmarks.data_captions import table
from scripts.fetch import cache_folder

ALIGN = [
    "image.size=64", "image.patch=16", "image.dim=256", "image.layers=4", "image.heads=4", "image.feedforward=1024",
    "text.dim=192", "text.layers=2", "text.heads=3", "text.feedforward=768", "width=192", "text.vocab=3000",
    "text.context=24", "augment=light", "batch.rows=256", "run.epochs=1000", "run.held_out=0.03",
]  # fmt: skip
EYES = [
    "eyes.language=lora", "eyes.rank=16", "eyes.alpha=32",
    "batch.tokens=768", "batch.seq_len=48", "optim.lr=1e-3", "run.epochs=1000", "run.held_out=0.03",
    "run.eval_every=100", "run.save_every=200",
]  # fmt: skip
Scores = NDArray[np.float64]


def rows(split: str) -> tuple[list[Path], list[str]]:
    """Pictures and captions."""
    path = table(split)
    with path.open(encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    return [path.parent / row["image"] for row in found], [row["caption"] for row in found]


def tower(work: Path, minutes: float) -> Path:
    """The folder of a tower that was aligned with the training captions."""
    from sensorium.training.align import align

    out = work / "tower"
    if not (out / "config.json").is_file():
        align(
            table("train"), out=out, columns={"image": "image", "caption": "text"}, resume=True,
            overrides=[*ALIGN, f"run.max_minutes={minutes}"],
        )  # fmt: skip
    return out


def eyes(work: Path, vision: Path, minutes: float) -> Path:
    """The folder of the language model with eyes."""
    from sensorium.training.caption import give_eyes

    out = work / "eyes"
    if not (out / "config.json").is_file():
        give_eyes(
            smollm2(), table("train"), out=out, vision=vision, columns={"image": "image", "caption": "caption"},
            overrides=[*EYES, f"run.max_minutes={minutes}"], resume=True,
        )  # fmt: skip
    return out


def nearest(vision: Path) -> list[str]:
    """For each test picture, the caption of the training picture that the tower finds most like it."""
    from sensorium.core.tower import Aligned
    from sensorium.families.senses import read_senses
    from sensorium.modalities.pixels import ImageSpec, image_batch

    loaded = read_senses(vision)
    spec = ImageSpec.from_dict(loaded.preprocessor or {})
    one = loaded.model.towers["image"] if isinstance(loaded.model, Aligned) else loaded.encoder.tower

    @torch.no_grad()
    def vectors(pictures: Sequence[Path]) -> torch.Tensor:
        parts = [one(image_batch(pictures[i : i + 64], spec)) for i in range(0, len(pictures), 64)]
        return torch.nn.functional.normalize(torch.cat(parts), dim=-1)

    (learned, captions), (tested, _) = rows("train"), rows("test")
    best = (vectors(tested) @ vectors(learned).T).argmax(1)
    return [captions[i] for i in best.tolist()]


def chrf(captions: Sequence[str], references: Sequence[Sequence[str]]) -> Scores:
    """chrF of each caption, 0 to 100."""
    from sacrebleu.metrics import CHRF

    measure = CHRF()
    return np.array([measure.sentence_score(a, list(b)).score for a, b in zip(captions, references, strict=True)])


MEASURES: dict[str, Callable[[Sequence[str], Sequence[Sequence[str]]], Scores]] = {"chrF": chrf, "CIDEr": cider}


def main() -> None:
    """Train what is not there yet, caption the test pictures, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0, help="of giving eyes")
    parser.add_argument("--align-minutes", type=float, default=5.0, help="of aligning the tower")
    parser.add_argument("--vision", type=Path, help="a tower that is there already")
    parser.add_argument("--work", type=Path, default=cache_folder() / "benchmarks" / "caption-quality")
    parser.add_argument("--beams", type=int, default=3)
    parser.add_argument("--tested", type=int, help="only so many pictures")
    given = parser.parse_args()

    import sensorium as sm

    given.work.mkdir(parents=True, exist_ok=True)
    vision = given.vision or tower(given.work, given.align_minutes)
    folder = eyes(given.work, vision, given.minutes)
    pictures, captions = (part[: given.tested] for part in rows("test"))
    references = [[caption] for caption in captions]
    found = sm.load(folder).caption(pictures, max_new_tokens=20, beams=given.beams)
    usual = max(rows("train")[1], key=_commonness())
    systems = {
        "SmolLM2-135M with eyes": [one.text for one in found],
        "caption of the nearest training picture": nearest(vision)[: given.tested],
        "the most usual words": [usual] * len(pictures),
    }
    scores = {name: {key: f(texts, references) for key, f in MEASURES.items()} for name, texts in systems.items()}
    people = np.array([path.name.startswith("person-") for path in pictures])
    for title, chosen in (("people, whose names are put together", people), ("all else, named anew", ~people)):
        if chosen.sum() > 1:
            _table(title, {name: {key: one[key][chosen] for key in one} for name, one in scores.items()})
    for i in range(0, len(pictures), max(1, len(pictures) // 20)):
        said = [f"“{texts[i]}”" for texts in systems.values()]
        print(f"- {captions[i]}: ours {said[0]}, nearest {said[1]}")
    told = json.loads((folder / "sensorium.json").read_text())
    print(f"- eyes: {told['run']['steps']} steps, {told['run']['seconds'] / 60:.1f} minutes; {told['metrics']}")
    print(f"\n{machine()}\n", flush=True)


def _table(title: str, scores: dict[str, dict[str, Scores]]) -> None:
    from sensorium.fusion.statistics import bootstrap_difference, bootstrap_mean

    ours = next(iter(scores.values()))
    print(f"### Captions of {len(ours['chrF']):,} pictures that were held out: {title}\n")
    print("| | " + " | ".join(f"{key} | ours ahead by" for key in MEASURES) + " |")
    print("|---" * (1 + 2 * len(MEASURES)) + "|")
    for name, one in scores.items():
        cells = []
        for key in MEASURES:
            mean, ahead = bootstrap_mean(one[key]), bootstrap_difference(ours[key], one[key])
            cells.append(f"{mean.value:.2f} ({mean.low:.2f}–{mean.high:.2f})")
            cells.append("" if one is ours else f"**{ahead.value:+.2f}** ({ahead.low:+.2f} to {ahead.high:+.2f})")
        print(f"| {name} | " + " | ".join(cells) + " |")
    print()


def _commonness() -> Callable[[str], float]:
    """How usual a caption's words are among those that are learned."""
    from collections import Counter

    counts = Counter(word for caption in rows("train")[1] for word in set(caption.split()))
    return lambda caption: sum(counts[word] for word in set(caption.split())) / (1 + len(caption.split()))


if __name__ == "__main__":
    main()
