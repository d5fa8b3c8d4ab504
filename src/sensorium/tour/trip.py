"""What the chapters of a tour share: where they write, what earlier ones made, the numbers that it is all about."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensorium.data.language import script
from sensorium.data.shards import Corpus
from sensorium.errors import SensoriumError
from sensorium.reports.blocks import Block, Text
from sensorium.reports.numbers import Number
from sensorium.tasks.model import LanguageModel, load
from sensorium.tour.ngrams import NGrams
from sensorium.tour.plan import Plan

LANGUAGES = {"latin": "English", "han": "Chinese", "other": "Other"}
"""What the bundled text's scripts stand for."""
Documents = dict[str, list[NDArray[np.int64]]]


class Trip:
    """A tour under way. What chapters make lies in `folder`; they find each other's by its name.

    Args:
        folder: where everything goes.
        plan: the settings.
        show_progress: None shows bars if stderr is a terminal.
    """

    def __init__(self, folder: Path, plan: Plan, *, show_progress: bool | None = None) -> None:
        self.folder = folder
        self.plan = plan
        self.show_progress = show_progress
        self.numbers: dict[str, Number] = {}
        """The tour's results by name: for the top of the page, for the terminal, for programs."""

    @cached_property
    def corpus(self) -> Corpus:
        return Corpus.open(self.folder / "corpus")

    @cached_property
    def encoder(self) -> LanguageModel:
        return load(self.folder / "encoder")

    @cached_property
    def decoder(self) -> LanguageModel:
        return load(self.folder / "decoder")

    @cached_property
    def ngrams(self) -> NGrams:
        """The baselines, counted on the training text."""
        return NGrams(self.corpus.train, self.corpus.tokenizer.vocab_size)

    @cached_property
    def held_out(self) -> Documents:
        """Token ids of the documents that no model has seen, by language."""
        documents: Documents = {}
        for index in range(len(self.corpus.validation)):
            ids = self.corpus.validation.document(index).astype(np.int64)
            language = LANGUAGES[script(self.corpus.tokenizer.decode(ids))]
            documents.setdefault(language, []).append(ids)
        return dict(sorted(documents.items(), key=lambda item: list(LANGUAGES.values()).index(item[0])))


class Chapter(NamedTuple):
    """One stop of the tour: does something and says in blocks what came of it."""

    title: str
    run: Callable[[Trip], Sequence[Block]]


def left_out(error: SensoriumError) -> list[Block]:
    """What a chapter says where this installation lacks something that it needs."""
    fix = f" {error.fix}." if error.fix else ""
    return [Text(f"This chapter is left out: {error.problem}.{fix}")]
