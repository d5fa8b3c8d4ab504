"""Several prepared corpora to train on as one, each with its share of the tokens.

They must share a tokenizer. Validation is on the texts that each held out, by the same shares.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sensorium.data.corpus import ParallelCorpus, open_corpus
from sensorium.data.loading.mixing import Mixture, normalised
from sensorium.data.shards import SPLITS, Corpus
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import InputError
from sensorium.files import StrPath, text_hash

_COUNTS = ("documents", "sentences", "tokens", "bytes")


class Mixed:
    """Corpora of texts, and the share of each.

    Args:
        corpora: by name; all of one tokenizer.
        weights: as many, that sum to 1.
    """

    folder: Path
    """Of the first."""
    manifest: dict[str, Any]
    """What the corpora's say together, and of each its weight (`mixture`)."""
    tokenizer: Tokenizer
    train: Mixture
    validation: Mixture

    def __init__(self, corpora: Mapping[str, Corpus], weights: Sequence[float]) -> None:
        all_ = list(corpora.values())
        names, shares = tuple(corpora), tuple(weights)
        self.folder, self.tokenizer = all_[0].folder, all_[0].tokenizer
        self.train = Mixture(tuple(corpus.train for corpus in all_), shares, names)
        self.validation = Mixture(tuple(corpus.validation for corpus in all_), shares, names)
        self.manifest = {
            "kind": "text",
            "input": {"files": [file for corpus in all_ for file in corpus.manifest["input"]["files"]]},
            "splits": {split: _together([corpus.manifest["splits"][split] for corpus in all_]) for split in SPLITS},
            "tokenizer": all_[0].manifest["tokenizer"],
            "mixture": [
                {"corpus": name, "weight": weight, "fingerprint": corpus.fingerprint}
                for name, weight, corpus in zip(names, shares, all_, strict=True)
            ],
        }

    @property
    def fingerprint(self) -> str:
        """Tells data apart: by all corpora and their weights."""
        parts = (f"{part['weight']!r} {part['fingerprint']}" for part in self.manifest["mixture"])
        return text_hash("\n".join(parts))

    def tell(self, epochs: Sequence[float], tokens: Sequence[int]) -> tuple[str, ...]:
        """Note in the manifest how much of each was learned from; the same in words.

        Args:
            epochs: of each.
            tokens: of each.
        """
        total = max(sum(tokens), 1)
        for part, passed, count in zip(self.manifest["mixture"], epochs, tokens, strict=True):
            part |= {"epochs": round(passed, 4), "tokens": count}
        return tuple(
            f"{part['corpus']}: {part['epochs']:.2f} epochs, {part['tokens']:,} tokens ({part['tokens'] / total:.1%})"
            for part in self.manifest["mixture"]
        )


def open_mixture(data: Mapping[str, float] | Mapping[Path, float] | Sequence[StrPath]) -> Mixed:
    """Open several corpora.

    Args:
        data: their folders; with the weight of each, or without, which weighs each by its tokens.

    Raises:
        InputError: there is none, one cannot be opened, or they do not go together.
        ConfigError: a weight is not above 0.
        DataError: one is incomplete.
    """
    paths = [Path(path) for path in data]
    if not paths:
        raise InputError("no corpus is given", fix="Give one or more folders that `prepare` made")
    weights = normalised([float(weight) for weight in data.values()]) if isinstance(data, Mapping) else None
    corpora = dict[str, Corpus]()
    seen = dict[str, Path]()
    for path in paths:
        opened = open_corpus(path)
        if isinstance(opened, ParallelCorpus):
            raise InputError(
                "corpora of pairs are not mixed",
                where=str(path),
                fix="Prepare all pairs together: sensorium prepare --parallel FILES --out CORPUS",
            )
        real = os.path.realpath(path)
        if real in seen:
            raise InputError(f"is given twice, first as {seen[real]}", where=str(path), fix="Give it once")
        seen[real] = path
        _check_tokens(opened, next(iter(corpora.values()), opened))
        corpora[str(path)] = opened
    if weights is None:
        weights = normalised([float(max(corpus.train.n_tokens, 1)) for corpus in corpora.values()])
    return Mixed(corpora, weights)


def _check_tokens(corpus: Corpus, first: Corpus) -> None:
    """Refuse another tokenizer than the first corpus's."""
    one, two = (
        (it.tokenizer.backend.get_vocab(with_added_tokens=True), it.tokenizer.special) for it in (first, corpus)
    )
    if one != two:
        raise InputError(
            f"has another tokenizer than {first.folder}",
            where=str(corpus.folder),
            fix=f"Prepare it again, by `sensorium prepare` with --tokenizer {first.folder}",
        )


def _together(splits: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Counts of all."""
    counts = {key: sum(int(split[key]) for split in splits) for key in _COUNTS}
    return {**counts, "xxh3_128": text_hash("-".join(str(split["xxh3_128"]) for split in splits))}
