"""What a run learns from: a prepared corpus, opened by its kind."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from sensorium.data.corpus import ParallelCorpus, open_corpus
from sensorium.data.shards import MADE_BY, Corpus
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import DataError, InputError
from sensorium.files import StrPath
from sensorium.objectives.objective import Split
from sensorium.training.mixture import Mixed, open_mixture
from sensorium.training.recipe import Recipe
from sensorium.training.special import with_sentinels

_LEAST_TOKENS = 64
"""Below this no batch is small enough to be worth naming."""
_KIND = {"seq2seq": "parallel"}
"""The corpus that an objective learns from, where it is not one of texts."""


@runtime_checkable
class Source(Protocol):
    """What is asked of all data to train on."""

    folder: Path
    manifest: dict[str, Any]
    """With `splits`, `tokenizer` and `input`, as in a corpus's manifest.json."""
    tokenizer: Tokenizer

    @property
    def train(self) -> Split:
        """What is learned from."""

    @property
    def validation(self) -> Split:
        """What was held out; may be empty."""

    @property
    def fingerprint(self) -> str:
        """Tells data apart: a run goes on with the same only."""


Weights = Mapping[str, float] | Mapping[Path, float]
"""Corpora and the share of each."""
Data = Source | StrPath | Weights | Sequence[StrPath]


def open_source(data: Data, recipe: Recipe) -> Source:
    """Open what a recipe is to learn from.

    Raises:
        InputError: there is nothing, another kind of data than the objective learns from, or corpora that do not go
            together.
        ConfigError: a corpus of several has no positive weight.
        DataError: it is incomplete.
    """
    if isinstance(data, Mapping | Sequence) and not isinstance(data, str):
        opened: Any = open_mixture(data)
    else:
        opened = open_corpus(data) if isinstance(data, str | PathLike) else data
    wanted = _KIND.get(recipe.objective.kind, "text")
    texts = isinstance(opened, Corpus | Mixed)
    if opened is None:
        raise InputError("no corpus is given", fix="Give what `prepare` made, or its folder")
    found = "parallel" if isinstance(opened, ParallelCorpus) else "text" if texts else wanted
    if found != wanted:
        raise InputError(
            f"objective.kind={recipe.objective.kind!r} learns from a corpus of kind {wanted!r}, this one is of "
            f"kind {found!r}",
            where=str(opened.folder),
            fix=f"Make one with: {MADE_BY[wanted]}",
        )
    if recipe.objective.kind == "span_corruption":
        opened = copy.copy(opened)
        opened.tokenizer = with_sentinels(opened.tokenizer)
    source: Source = opened
    return source


def check_enough(recipe: Recipe, source: Source) -> None:
    """Refuse data that does not fill a batch.

    Raises:
        DataError: there is too little.
    """
    tokens, wanted = source.train.n_tokens, recipe.batch.tokens
    if isinstance(source, ParallelCorpus):  # a batch holds both sides
        tokens += source.train.source.n_tokens
    if tokens < wanted:
        smaller = (
            f", or try --set batch.tokens={tokens // 4} --set batch.seq_len={min(recipe.batch.seq_len, tokens // 4)}"
        )
        raise DataError(
            f"the training text has {tokens} tokens, one batch takes {wanted}",
            where=str(source.folder),
            fix=f"Prepare more text{smaller if tokens >= _LEAST_TOKENS else ''}",
        )
    if recipe.objective.pairs == "next" and len(source.train) < 2:
        raise DataError(
            "next-sentence pairs need at least two documents, the training text has one",
            where=str(source.folder),
            fix="Prepare more documents, or use --set objective.pairs=order",
        )
