"""Decontamination: training text that holds what models are tested on.

A document that shares an n-gram with an evaluation set is dropped (`Decontaminate`) or marked (`FindContaminated`).
13 words is what GPT-3 (Brown et al. 2020, appendix C) takes; PaLM (Chowdhery et al. 2022, section 8) counts shared
8-grams. Runs over the text of lower-case words without punctuation, so that neither case nor layout hides a copy.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from sensorium.data.dedup.evaluation import Evaluation, read_evaluation
from sensorium.data.dedup.units import units_of
from sensorium.data.stages import TEXT, Mapped, with_column
from sensorium.errors import ConfigError

CONTAMINATED = "contaminated"
_EXCERPT = 120


@dataclass(frozen=True, kw_only=True)
class Against:
    """What both stages are told.

    Args:
        against: evaluation sets: tables (CSV, TSV, JSON Lines, JSON, Parquet), or plain text with a row a line.
        ngram: words of the runs that are looked for.
        characters: characters of them, in rows that are mostly Chinese, Japanese or Thai: a Chinese word has one and
            a half on average, so that 20 are as much as 13 words.
        shortest: words of the shortest evaluation row that is looked for, then as a whole (GPT-3's least); of
            characters, as many in proportion.
        least: how many runs a document must share.
        columns: of tables that are compared; empty means all that hold strings.

    Raises:
        ConfigError: a number is out of range, or no file is named.
    """

    against: tuple[Path, ...]
    ngram: int = 13
    characters: int = 20
    shortest: int = 8
    least: int = 1
    columns: tuple[str, ...] = ()
    name: str = "contamination"

    def __post_init__(self) -> None:
        if not self.against:
            raise ConfigError("no evaluation set is named", where=self.name, fix="Name files in `against`")
        if min(self.ngram, self.characters, self.shortest, self.least) < 1 or self.shortest > self.ngram:
            raise ConfigError(
                f"ngram is {self.ngram}, characters {self.characters}, shortest {self.shortest}, least {self.least}",
                where=self.name,
                fix="All must be at least 1, and shortest at most ngram",
            )

    def _evaluation(self) -> Evaluation:
        return read_evaluation(
            tuple(map(Path, self.against)),
            ngram=self.ngram,
            characters=self.characters,
            shortest=self.shortest,
            columns=self.columns,
        )

    def _found(self, texts: pa.Array) -> list[tuple[str, int, str] | None]:
        """Of each document: the first evaluation row that it shares a run with, how many it shares, the first run."""
        units, evaluation = units_of(texts), self._evaluation()
        hits = evaluation.hits(units)
        found: list[tuple[str, int, str] | None] = [None] * len(texts)
        documents, first, counts = np.unique(hits.documents, return_index=True, return_counts=True)
        for document, at, count in zip(documents.tolist(), first.tolist(), counts.tolist(), strict=True):
            if count >= self.least:
                begin = hits.units[at]
                end = begin + hits.lengths[at] - 1
                run = units.folded[units.starts[begin] : units.ends[end]].tobytes().decode()
                found[document] = evaluation.names[hits.rows[at]], count, " ".join(run.split())[:_EXCERPT]
        return found


@dataclass(frozen=True, kw_only=True)
class Decontaminate(Against):
    """Drops the documents that share runs of words with evaluation sets; the reason names the set, the row, the run.

    The arguments are those of `Against`.
    """

    def judge(self, batch: pa.RecordBatch) -> pa.Array:
        """Which documents share a run, and with what."""
        reasons = [
            None if found is None else f'contaminated: by {found[0]}, runs {found[1]}, the first "{found[2]}"'
            for found in self._found(batch.column(TEXT))
        ]
        return pa.array(reasons, pa.string())


@dataclass(frozen=True, kw_only=True)
class FindContaminated(Against):
    """Marks the documents that share runs of words with evaluation sets, in a column `contaminated`; drops none.

    The arguments are those of `Against`.
    """

    def map(self, batch: pa.RecordBatch) -> Mapped:
        """The batch with the evaluation row that each document shares a run with, or null."""
        names = [found and found[0] for found in self._found(batch.column(TEXT))]
        counts = Counter(f"contaminated by {name.rpartition('#')[0]}" for name in names if name)
        return Mapped(with_column(batch, CONTAMINATED, pa.array(names, pa.string())), dict(counts))
