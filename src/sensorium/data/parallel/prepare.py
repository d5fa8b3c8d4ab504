"""`prepare_parallel`: files of translations to a corpus of pairs, in two passes of bounded memory.

The first pass reads, cleans, filters and deduplicates pairs into a staged file. Then it is decided what is held out;
the tokenizer is trained on both sides of the training pairs together; the second pass writes their tokens. The same
input and settings give the same bytes, a newly trained Unigram tokenizer aside. Nothing appears at `out` before all of
it is there.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorium.data.checks import check_places, check_share, nothing_usable
from sensorium.data.cleaning.text import UnicodeForm
from sensorium.data.codes import find_code, language_code, matching
from sensorium.data.corpus import Direction, ParallelCorpus, asked_tokens, language_token
from sensorium.data.parallel.columns import Wanted
from sensorium.data.parallel.directions import Directions
from sensorium.data.parallel.holdout import HELD_OUT, LEAKED, TRAIN, HoldOut
from sensorium.data.parallel.pairs import PairFilter, PairRules
from sensorium.data.parallel.readers import Found, find_parallel, read_parallel
from sensorium.data.prepare.held_rows import HeldRows
from sensorium.data.sample import Ledger
from sensorium.data.shards import FORMAT, SPLITS, ShardWriter
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.data.tokens.train import DEFAULT, given_folder, parse_spec, train_tokenizer
from sensorium.errors import DataError, InputError
from sensorium.files import StrPath, atomic_folder, read_json, write_json
from sensorium.progress import progress

_BATCH = 1 << 14
"""Pairs that are tokenised together."""
_LEARNED_FROM = 1 << 26
"""Characters that a tokenizer is trained on at most: beyond, it learns from every second pair, or third, ..."""


@dataclass(frozen=True, kw_only=True)
class ParallelSettings:
    """What decides the corpus; stands in its manifest."""

    both_ways: bool
    columns: dict[str, str]
    group: str | None
    hold_out: tuple[str, ...]
    form: UnicodeForm
    max_characters: int
    max_ratio: float
    validation: float
    seed: int
    tokenizer: str
    strict: bool


def prepare_parallel(
    inputs: StrPath | Sequence[StrPath],
    *,
    out: StrPath,
    source: str | None = None,
    target: str | Sequence[str] | None = None,
    both_ways: bool = False,
    columns: Mapping[str, str] | None = None,
    group: str | None = None,
    hold_out: Sequence[str] = (),
    tokenizer: StrPath | None = None,
    form: UnicodeForm = "NFC",
    max_characters: int = 1000,
    max_ratio: float = 3.0,
    validation: float = 0.02,
    seed: int = 0,
    strict: bool = False,
    force: bool = False,
    show_progress: bool | None = None,
) -> ParallelCorpus:
    """Make a corpus of pairs: texts and their translations.

    Args:
        inputs: files and folders: .tsv, .csv, .jsonl, .parquet, .tmx, .po, .mo, or text files that have as many lines
            (`train.en`, `train.zh`); tables, TMX and text also as .gz and .zst.
        out: the corpus folder to make.
        source: the language to translate from, a code such as "en" or "zh-CN". Left out, the files must tell it.
        target: the language to translate into, or several. Left out, the files must tell it.
        both_ways: pairs are learned in both directions.
        columns: language → column of a table, by name or number from 1, where no header tells.
        group: the column that names a row's document or package. A column called group, document, doc, package,
            domain, source or file is taken for it where none is named.
        hold_out: the groups to hold out for validation, instead of a share.
        tokenizer: "bpe:8000", "wordpiece:N" or "unigram:N" to train one, or a folder that holds one, or the name of a
            bundled model such as "default:translate". The default
            is byte-level BPE with 8,000 tokens, or as many as the text supports.
        form: Unicode normalisation form.
        max_characters: drop pairs of which a side is longer.
        max_ratio: drop pairs whose lengths differ more than this, a Chinese character counting as three letters.
        validation: share of pairs held out: whole groups where there are two or more, else by a hash of the source
            text. A held-out pair of which a text also stands in training is dropped.
        seed: chooses another share.
        strict: stop at the first file or row that cannot be read, instead of counting it.
        force: replace the corpus that stands at `out`; anything else there is refused.
        show_progress: None shows bars if stderr is a terminal.

    Returns:
        The corpus. With several directions, or the tokenizer of a model of several languages, each source begins with
        the token of its target's language (`>>zh<<`).

    Raises:
        InputError: an argument is wrong, a language is not known, an input is missing, `out` exists.
        CheckpointError: the bundled model is not part of this installation.
        DataError: no usable pair, aligned files of unequal length, no telling which columns hold the pair.
        DiskError: the disk is full or may not be written.
    """
    paths = list(inputs) if isinstance(inputs, Sequence) and not isinstance(inputs, str) else [inputs]
    settings = ParallelSettings(
        both_ways=both_ways,
        columns={language_code(code): str(column) for code, column in (columns or {}).items()},
        group=group,
        hold_out=(hold_out,) if isinstance(hold_out, str) else tuple(hold_out),
        form=form,
        max_characters=max_characters,
        max_ratio=max_ratio,
        validation=validation,
        seed=seed,
        tokenizer=str(tokenizer or DEFAULT),
        strict=strict,
    )
    wanted = _wanted(source, target, settings)
    _check(settings, wanted, paths, Path(out))
    given = given_folder(tokenizer)
    spec = None if given is not None else parse_spec(settings.tokenizer)
    with atomic_folder(out, ours=["manifest.json"], force=force) as part:
        ledger = Ledger(strict=strict)
        found = find_parallel(paths, wanted, ledger)
        kept = _Kept(part / "pairs.arrow", settings)
        with progress("reading", float(found.bytes), show=show_progress) as advance:
            directions = _first_pass(found, wanted, settings, ledger, kept, advance)
        fates, groups = kept.hold_out.decide()
        if leaked := int((fates == LEAKED).sum()):
            ledger.dropped["held out, but also in training"] = leaked
        if both_ways:
            directions += [(there, here) for here, there in directions]
        tokens = [language_token(code) for code in dict.fromkeys(there for _, there in directions)]
        extra = tokens if len(directions) > 1 else []
        if spec is None:
            trained = _given(given or part, directions)
        else:
            with progress(f"training a {spec} tokenizer", show=show_progress):
                trained = train_tokenizer(lambda: kept.sample(fates), spec, exact=tokenizer is not None, extra=extra)
        trained.save(part)
        asked = _asked_for(trained, directions, where=settings.tokenizer)
        writers = {split: _PairWriter(part / split, trained, asked) for split in SPLITS}
        with progress("tokenizing", len(fates), show=show_progress) as advance:
            for batch in _batches(kept.rows(fates)):
                for split in SPLITS:
                    wanted_fate = TRAIN if split == "train" else HELD_OUT
                    rows = [(a, b, way) for a, b, way, fate in batch if fate == wanted_fate]
                    writers[split].add(rows, both_ways=both_ways)
                advance(len(batch), "")
        counted = {split: writer.close() for split, writer in writers.items()}
        kept.stage.remove()
        write_json(part / "manifest.json", _manifest(settings, directions, groups, ledger, counted, trained))
    return ParallelCorpus.open(out)


def _wanted(source: str | None, target: str | Sequence[str] | None, settings: ParallelSettings) -> Wanted:
    targets = [target] if isinstance(target, str) else list(target or ())
    wanted = Wanted(
        source=language_code(source) if source else None,
        targets=tuple(dict.fromkeys(map(language_code, targets))),
        columns=settings.columns,
        group=settings.group,
    )
    if wanted.source in wanted.targets:
        raise InputError(f"{wanted.source!r} is both source and target", fix="Name two languages")
    return wanted


def _check(settings: ParallelSettings, wanted: Wanted, inputs: Sequence[StrPath], out: Path) -> None:
    check_share(settings.validation, settings.seed)
    if settings.max_characters < 1:
        raise InputError(f"max_characters={settings.max_characters} leaves no text", fix="Try 1000")
    if not settings.max_ratio >= 1:
        raise InputError(f"max_ratio={settings.max_ratio} is below 1", fix="Try 3")
    if settings.columns and not (len(settings.columns) > 1 and wanted.covered(list(settings.columns))):
        missing = [code for code in wanted.all if not matching(code, settings.columns)] or ["a second language"]
        raise InputError(f"no column is given for {missing[0]}", fix="Write for example: --columns en=1,zh=2")
    check_places(inputs, out)


def _first_pass(
    found: Found, wanted: Wanted, settings: ParallelSettings, ledger: Ledger, kept: _Kept, advance: Any
) -> list[Direction]:
    """Stage every pair that is kept; the directions that they go, those alone of which there is a pair."""
    chooser = Directions(wanted, ledger)
    rules = PairRules(form=settings.form, max_characters=settings.max_characters, max_ratio=settings.max_ratio)
    pairs = PairFilter(rules, ledger)
    seen = 0
    for row in read_parallel(found, wanted, ledger):
        if ledger.counts["bytes"] > seen:
            advance(ledger.counts["bytes"] - seen, "")
            seen = ledger.counts["bytes"]
        for way, source, target in chooser.pairs(row):
            ledger.count("pairs")
            for a, b in pairs.keep(source, target, chooser.found[way]):
                kept.add(a, b, row.group, way)
    kept.stage.close()
    if not len(kept.hold_out):
        raise nothing_usable(ledger, "pair", "Give it texts with their translations, or check --from and --to")
    missing = [way for way in range(len(chooser.found)) if way not in set(kept.ways)]
    if missing:
        here, there = chooser.found[missing[0]]
        raise DataError(
            f"no usable pair from {here} to {there}", fix=f"Leave {there} out of --to, or add files with it"
        )
    return list(chooser.found)


class _Kept:
    """The pairs that are kept, between the passes."""

    def __init__(self, path: Path, settings: ParallelSettings) -> None:
        self.stage = HeldRows(path, ["source", "target"])
        self.hold_out = HoldOut(settings.validation, settings.seed, settings.hold_out)
        self.ways = array("B")

    def add(self, source: str, target: str, group: str | None, way: int) -> None:
        self.stage.add(source, target)
        self.hold_out.add(source, target, group)
        self.ways.append(way)

    def rows(self, fates: NDArray[np.int8]) -> Iterator[tuple[str, str, int, int]]:
        """Both texts of every pair, its direction, its fate."""
        for (source, target), way, fate in zip(self.stage.rows(), self.ways, fates.tolist(), strict=True):
            yield source, target, way, fate

    def sample(self, fates: NDArray[np.int8]) -> Iterator[str]:
        """Texts of both sides for a tokenizer to learn from: of all training pairs, or every so many of them."""
        pairs = ((source, target) for source, target, _, fate in self.rows(fates) if fate == TRAIN)
        for pair in islice(pairs, 0, None, 1 + self.stage.characters // _LEARNED_FROM):
            yield from pair


class _PairWriter:
    """Writes one split; call `close` at the end."""

    def __init__(self, folder: Path, tokenizer: Tokenizer, asked: Sequence[list[int]]) -> None:
        self._folder, self._tokenizer, self._asked, self._ahead = folder, tokenizer, asked, len(asked) // 2
        self._source = ShardWriter(folder / "source", tokenizer.vocab_size)
        self._target = ShardWriter(folder / "target", tokenizer.target.vocab_size)
        self._ways = array("B")

    def add(self, rows: Sequence[tuple[str, str, int]], *, both_ways: bool) -> None:
        """Append pairs, each followed by its reverse if that is learned too."""
        sources = self._tokenizer.encode_raw([a for a, _, _ in rows])
        targets = self._tokenizer.target.encode_raw([b for _, b, _ in rows])
        for (a, b, way), one, other in zip(rows, sources, targets, strict=True):
            self._write(one, other, len(a.encode()), len(b.encode()), way)
            if both_ways:
                self._write(other, one, len(b.encode()), len(a.encode()), way + self._ahead)

    def _write(self, source: list[int], target: list[int], n_source: int, n_target: int, way: int) -> None:
        self._source.add([[*self._asked[way], *source]], n_source)
        self._target.add([target], n_target)
        self._ways.append(way)

    def close(self) -> dict[str, Any]:
        """Write the rest; return the split's counts and hashes for the manifest."""
        np.save(self._folder / "directions.npy", np.asarray(self._ways, dtype=np.uint8))
        return {"pairs": len(self._ways), "source": self._source.close(), "target": self._target.close()}


def _batches(rows: Iterable[tuple[str, str, int, int]]) -> Iterator[list[tuple[str, str, int, int]]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, _BATCH)):
        yield batch


def _given(folder: Path, directions: Sequence[Direction]) -> Tokenizer:
    """The tokenizer of a folder as it is, if each language is on the side where it stands."""
    tokenizer = Tokenizer.from_folder(folder)
    if tokenizer.target is not tokenizer:
        _check_sides(folder, directions)
    return tokenizer


def _asked_for(tokenizer: Tokenizer, directions: Sequence[Direction], *, where: str) -> list[list[int]]:
    """Before the sources of each direction: the token that asks for its target's language, where there are such.

    Raises:
        InputError: the tokenizer has no token for a language, or one for two.
    """
    asked = asked_tokens(tokenizer, directions)
    if missing := [language_token(there) for there, token in asked.items() if token is None]:
        known = ", ".join(tokenizer.languages)
        choice = f"choose among {known}" if known else "prepare one direction"
        raise InputError(
            f"the tokenizer has no token {' or '.join(missing)}, which its model is asked for a language with",
            where=where,
            fix=f"Leave --tokenizer out to train one, or {choice}",
        )
    if len(set(asked.values())) < len(asked):
        raise InputError(
            f"the tokenizer has one token for two of {', '.join(asked)}, so that its model cannot tell them apart",
            where=where,
            fix="Leave --tokenizer out to train one, or prepare one of them",
        )
    return [[token] if (token := asked.get(there)) is not None else [] for _, there in directions]


def _check_sides(folder: Path, directions: Sequence[Direction]) -> None:
    """Refuse what would put a language on both sides of a tokenizer that has one side for sources and one for targets:
    both ways, or the reverse of the direction that the folder names."""
    path = folder / "tokenizer_config.json"
    said = read_json(path) if path.is_file() else {}
    read, written = [here for here, _ in directions], [there for _, there in directions]
    read += [code] if (code := find_code(str(said.get("source_lang")))) else []
    written += [code] if (code := find_code(str(said.get("target_lang")))) else []
    if both := next((code for code in read if matching(code, written)), None):
        raise InputError(
            f"the tokenizer has one part for sources and one for targets, and {both} would be on both sides",
            where=str(folder),
            fix="Prepare the direction that it is of alone, or leave --tokenizer out to train one for both sides",
        )


def _manifest(
    settings: ParallelSettings,
    directions: Sequence[Direction],
    groups: Sequence[str],
    ledger: Ledger,
    counted: dict[str, Any],
    tokenizer: Tokenizer,
) -> dict[str, Any]:
    sides = [counted[split][side] for split in SPLITS for side in ("source", "target")]
    tokens, size = (sum(side[what] for side in sides) for what in ("tokens", "bytes"))
    return {
        "format": FORMAT,
        "kind": "parallel",
        "languages": {"source": directions[0][0], "target": directions[0][1]},
        "directions": [list(direction) for direction in directions],
        "settings": asdict(settings),
        "input": {"files": ledger.files, "counts": dict(ledger.counts), "unreadable": ledger.problems},
        "dropped": dict(ledger.dropped),
        "held_out": {"by": "group" if groups else "source text", "groups": list(groups)},
        "splits": counted,
        "tokenizer": {
            "spec": settings.tokenizer,
            "vocab_size": tokenizer.vocab_size,
            "target_vocab_size": tokenizer.target.vocab_size,
            "bytes_per_token": round(size / tokens, 4) if tokens else None,
        },
    }
