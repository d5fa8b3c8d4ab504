"""The texts that a tokenizer is trained on: of the training documents all, or a share that no language fills.

Where they weigh more than `LEARNED_FROM` characters, each language gets a part of them in proportion to its own number
of characters to the power of 0.7, as mT5 samples (Xue et al. 2021, section 3.1: 0.3 there, for a hundred languages;
Lample & Conneau 2019 take 0.5), so that a small one weighs more than its share; what a language has too little of goes
to the others. A document is taken if a hash of it falls below its language's share, so that the choice depends on
neither order nor number of processes. Without a stage that tells languages, scripts stand for them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sensorium.data.prepare.arrow import read_arrow
from sensorium.data.prepare.segment import HASH, SCRIPT, language_of
from sensorium.data.prepare.split import Splitter
from sensorium.data.stages import TEXT

if TYPE_CHECKING:
    import pyarrow as pa

LEARNED_FROM = 1 << 25
"""English characters, or what weighs as much, that a tokenizer is trained on at most."""
FLATTENING = 0.7
EFFORT = {"latin": 1, "other": 3, "han": 8}
"""What a character of a script weighs: trainers hold each distinct stretch between spaces, and where there are no
spaces nearly every one is distinct. 34 million English characters, or 4 million Chinese ones, take half a gigabyte."""
_MIX = np.uint64(0x9E3779B97F4A7C15)
"""Odd; a product with it makes the hash that chooses independent of the one that splits (Knuth, TAOCP 6.4)."""


@dataclass(frozen=True)
class Staged:
    """The documents that are left, unit by unit.

    Args:
        units: number and file of each that has any.
        splitter: tells which are held out.
    """

    units: Sequence[tuple[int, Path]]
    splitter: Splitter

    def training(self) -> Iterator[pa.RecordBatch]:
        """The training documents."""
        import pyarrow as pa

        for unit, path in self.units:
            first = 0
            for batch in read_arrow(path):
                held = self.splitter.held_out(batch, unit, first)
                first += batch.num_rows
                yield batch.filter(pa.array(~held))


@dataclass(frozen=True)
class Sizes:
    """How much there is of each language.

    Args:
        characters: of its training documents.
        efforts: the same, but each character weighs what it costs a trainer.
    """

    characters: Mapping[str, int]
    efforts: Mapping[str, int]


def sizes(staged: Staged) -> Sizes:
    """Measure the training documents."""
    import pyarrow.compute as pc

    characters, efforts = Counter[str](), Counter[str]()
    for batch in staged.training():
        lengths = pc.utf8_length(batch.column(TEXT)).to_pylist()
        scripts = batch.column(SCRIPT).to_pylist()
        for language, length, script in zip(language_of(batch), lengths, scripts, strict=True):
            characters[language] += length
            efforts[language] += length * EFFORT[script]
    return Sizes(characters, efforts)


def shares_within(sizes: Sizes, limit: int) -> dict[str, float]:
    """What share of each language's documents is taken, so that all together weigh no more than a limit."""
    if sum(sizes.efforts.values()) <= limit:
        return dict.fromkeys(sizes.characters, 1.0)
    low, high = 0.0, float(sum(sizes.characters.values()))
    for _ in range(40):
        middle = (low + high) / 2
        taken = shares(sizes.characters, middle)
        if sum(sizes.efforts[language] * share for language, share in taken.items()) <= limit:
            low = middle
        else:
            high = middle
    return shares(sizes.characters, low)


def shares(sizes: Mapping[str, int], limit: float) -> dict[str, float]:
    """What share of each language's documents is taken.

    Args:
        sizes: characters of each language.
        limit: characters to take of all together.
    """
    taken: dict[str, float] = {}
    left, budget = dict(sizes), float(limit)
    while left:
        weights = {language: size**FLATTENING for language, size in left.items()}
        scale = budget / sum(weights.values()) if sum(weights.values()) else 0.0
        small = [language for language, size in left.items() if weights[language] * scale >= size]
        if not small:
            return taken | {language: weights[language] * scale / left[language] for language in left}
        for language in small:
            taken[language] = 1.0
            budget -= left.pop(language)
    return taken


def texts(staged: Staged, shares: Mapping[str, float]) -> Iterator[str]:
    """The texts to learn from, in the order of the documents."""
    import pyarrow as pa

    whole = min(shares.values(), default=1.0) >= 1
    for batch in staged.training():
        limits = 1.0 if whole else np.array([shares[language] for language in language_of(batch)])
        chosen = batch if whole else batch.filter(pa.array(_unit_interval(batch) < limits))
        yield from chosen.column(TEXT).to_pylist()


def _unit_interval(batch: pa.RecordBatch) -> NDArray[np.float64]:
    mixed = batch.column(HASH).to_numpy() * _MIX
    return np.asarray((mixed ^ (mixed >> np.uint64(32))) * _MIX, np.float64) / 2.0**64
