"""What is known of a prepared corpus: its manifest, what became of its documents, samples of those dropped.

    corpus/
      manifest.json      counts, hashes, every setting
      report.json        what each stage took in, gave out and dropped; statistics before and after
      timing.json        how long each stage took
      dropped.parquet    of each stage and rule some documents that it dropped

The last three are of newer corpora; of others, and of translations, the manifest tells what it can.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from sensorium.data.shards import SPLITS, kind_of, open_manifest
from sensorium.data.statistics import Lengths
from sensorium.errors import DataError, InputError, unknown
from sensorium.files import StrPath, read_errors

REPORT, TIMING, DROPPED = "report.json", "timing.json", "dropped.parquet"
_AGAIN = "Prepare it again"
_BLOCK = 1 << 20
"""Documents whose lengths are looked at together."""
Kind = TypeVar("Kind", int, float)


@dataclass(frozen=True, kw_only=True)
class SplitCounts:
    """How much there is in a split."""

    name: str
    documents: int
    """Or pairs."""
    tokens: tuple[int, ...]
    """Of pairs: of the sources and of the targets."""
    bytes: tuple[int, ...]
    """Likewise, of UTF-8."""


@dataclass(frozen=True, kw_only=True)
class StageFlow:
    """What became of the documents in one stage."""

    name: str
    documents_in: int
    documents_out: int
    bytes_in: int
    bytes_out: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Documents by the rule that dropped them."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """What else was done how often."""


@dataclass(frozen=True, kw_only=True)
class DroppedDocument:
    """A document that is not in the corpus."""

    stage: str
    rule: str
    reason: str
    """The rule, and what it measured."""
    source: str
    characters: int
    """Of the whole document."""
    excerpt: str


@dataclass(frozen=True, kw_only=True)
class CorpusReport:
    """All that is known of a corpus. What an older corpus does not tell is empty."""

    folder: Path
    manifest: Mapping[str, Any]
    splits: Sequence[SplitCounts]
    vocab_size: int
    bytes_per_token: float
    """0 where there is no text."""
    token_lengths: Lengths
    """Of all documents, in tokens; of pairs, of their sources."""
    stages: Sequence[StageFlow] = ()
    before: Mapping[str, Any] = field(default_factory=dict)
    """`Statistics.summary` of what was read; empty where they were not gathered."""
    after: Mapping[str, Any] = field(default_factory=dict)
    """`Statistics.summary` of what is in the corpus."""
    languages: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """By code: documents, bytes, tokens, words, characters."""
    inputs: Sequence[Mapping[str, Any]] = ()
    """Of each file: path, bytes, and what is known of documents, licence, encoding."""
    problems: Sequence[Mapping[str, str]] = ()
    """What could not be read: where, reason."""
    fertility: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By code: `tokens_per_word`, `tokens_per_character`, `bytes_per_token`, and `coverage` where it was measured."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """By stage, over all processes; and of reading and tokenising."""
    clusters: Sequence[Mapping[str, Any]] = ()
    """Of near-duplicates: size, kept, examples."""

    @classmethod
    def open(cls, folder: StrPath) -> CorpusReport:
        """Read what is known of a corpus.

        Raises:
            InputError: the folder is not there, is no corpus, or cannot be read.
            DataError: it is one, but damaged.
        """
        folder = Path(folder)
        return open_manifest(folder, None, lambda manifest: cls._of(folder, manifest))

    @classmethod
    def _of(cls, folder: Path, manifest: Mapping[str, Any]) -> CorpusReport:
        side = "source" if kind_of(dict(manifest)) == "parallel" else ""
        lengths = [_token_lengths(folder / split / side / "documents.npy") for split in SPLITS]
        known, took = _json(folder / REPORT), _json(folder / TIMING)
        with _told(folder / TIMING):
            seconds = {name: float(value) for name, value in took.items()}
        with _told(folder / "manifest.json"):
            splits = [_split(name, manifest["splits"][name]) for name in SPLITS]
            tokenizer, files, problems = (
                manifest["tokenizer"],
                manifest["input"]["files"],
                manifest["input"]["unreadable"],
            )
            vocab_size, per_token = int(tokenizer["vocab_size"]), float(tokenizer.get("bytes_per_token") or 0)
        with _told(folder / REPORT):
            languages = _languages(known)
            return cls(
                folder=folder,
                manifest=manifest,
                splits=splits,
                vocab_size=vocab_size,
                bytes_per_token=per_token,
                token_lengths=lengths[0].merge(lengths[1]),
                stages=[_flow(stage) for stage in known.get("stages") or ()],
                before=dict(known.get("before") or {}),
                after=dict(known.get("after") or {}),
                languages=languages,
                inputs=[dict(file) for file in known.get("inputs") or files],
                problems=[dict(one) for one in known.get("problems") or problems],
                fertility=_fertility((known.get("tokenizer") or {}).get("fertility"), languages),
                seconds=seconds,
                clusters=[dict(cluster) for cluster in known.get("clusters") or ()],
            )

    @property
    def kind(self) -> str:
        """`text`, or `parallel` for pairs."""
        return kind_of(dict(self.manifest))

    @property
    def reasons(self) -> list[tuple[str, str, int]]:
        """Stage, rule, and how many documents it dropped, most first. Of an older corpus, the stage is empty."""
        if self.stages:
            counted = [(stage.name, rule, count) for stage in self.stages for rule, count in stage.dropped.items()]
        else:
            counted = [("", rule, int(count)) for rule, count in self.manifest.get("dropped", {}).items()]
        return sorted(counted, key=lambda one: (-one[2], one[0], one[1]))

    def dropped(
        self, *, stage: str | None = None, rule: str | None = None, sample: int | None = None
    ) -> list[DroppedDocument]:
        """Some of the documents that were dropped, each rule in its turn: always the same.

        Args:
            stage: only those that this stage dropped.
            rule: only those that this rule dropped.
            sample: so many at most; None for all that were kept for this.

        Raises:
            InputError: no such stage, or rule; the corpus holds no sample of what was dropped.
            DataError: the sample cannot be read.
        """
        held = _dropped(self.folder / DROPPED)
        stages = {flow.name for flow in self.stages} | {one.stage for one in held}
        rules = {name for of, name, _ in self.reasons if stage in (None, of)} | {
            one.rule for one in held if stage in (None, one.stage)
        }
        _refuse_unknown("stage", stage, stages)
        _refuse_unknown("rule", rule, rules)
        by_rule: dict[tuple[str, str], list[DroppedDocument]] = {}
        for one in held:
            if stage in (None, one.stage) and rule in (None, one.rule):
                by_rule.setdefault((one.stage, one.rule), []).append(one)
        turns = [one for turn in zip_longest(*by_rule.values()) for one in turn if one is not None]
        return turns[:sample]

    @property
    def has_samples(self) -> bool:
        """Whether `dropped` has anything to tell from."""
        return (self.folder / DROPPED).is_file()

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON; what serves only to add statistics up is left out."""
        known = _json(self.folder / REPORT)
        for name in ("before", "after"):
            if isinstance(known.get(name), dict):
                known[name].pop("sample", None)
        return {
            "folder": str(self.folder),
            "kind": self.kind,
            "manifest": dict(self.manifest),
            "report": known or None,
            "token_lengths": self.token_lengths.to_dict(),
        }


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Tell that a file does not hold what it should.

    Raises:
        DataError: it does not.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"cannot be read: {error!r}", where=str(path), fix=_AGAIN) from error


def _flow(stage: Mapping[str, Any]) -> StageFlow:
    counted = {name: int(stage[name]) for name in ("documents_in", "documents_out", "bytes_in", "bytes_out")}
    return StageFlow(
        name=str(stage["name"]),
        **counted,
        dropped={rule: int(count) for rule, count in (stage.get("dropped") or {}).items()},
        counts={what: int(count) for what, count in (stage.get("counts") or {}).items()},
    )


def _split(name: str, counts: Mapping[str, Any]) -> SplitCounts:
    sides = [counts["source"], counts["target"]] if "pairs" in counts else [counts]
    tokens, size = (tuple(int(side[what]) for side in sides) for what in ("tokens", "bytes"))
    return SplitCounts(
        name=name, documents=int(counts.get("pairs", counts.get("documents"))), tokens=tokens, bytes=size
    )


def _languages(known: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """What is told of each language, and what its statistics say besides."""
    gathered = ((known.get("after") or {}).get("languages") or {}).get("counts")
    told, measured = _numbers(known.get("languages"), int), _numbers(gathered, int)
    return {code: {**measured.get(code, {}), **told.get(code, {})} for code in sorted({*told, *measured})}


def _fertility(
    measured: Mapping[str, Mapping[str, Any]] | None, languages: Mapping[str, Mapping[str, int]]
) -> dict[str, dict[str, float]]:
    """How the tokenizer fits each language: as it was measured, or by what the corpus has of it."""
    ratios = {"tokens_per_word": ("tokens", "words"), "tokens_per_character": ("tokens", "characters"),
              "bytes_per_token": ("bytes", "tokens")}  # fmt: skip
    found = {
        code: {
            name: counts[over] / counts[under] for name, (over, under) in ratios.items() if _both(counts, over, under)
        }
        for code, counts in languages.items()
    }
    found |= _numbers(measured, float)
    return {code: fits for code, fits in found.items() if fits}


def _both(counts: Mapping[str, int], *names: str) -> bool:
    return all(counts.get(name) for name in names)


def _numbers(held: Mapping[str, Mapping[str, Any]] | None, kind: type[Kind]) -> dict[str, dict[str, Kind]]:
    """Numbers by name, by code."""
    return {code: {name: kind(value) for name, value in values.items()} for code, values in (held or {}).items()}


def _json(path: Path) -> dict[str, Any]:
    """A file's object; empty where there is no such file."""
    if not path.is_file():
        return {}
    with read_errors(path):
        content = path.read_bytes()
    try:
        value = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"not valid JSON: {error}", where=str(path), fix=_AGAIN) from error
    if not isinstance(value, dict):
        raise DataError("not a JSON object", where=str(path), fix=_AGAIN)
    return value


def _token_lengths(path: Path) -> Lengths:
    try:
        offsets = np.load(path, mmap_mode="r")
        parts = (offsets[place : place + _BLOCK + 1] for place in range(0, len(offsets), _BLOCK))
        return reduce(Lengths.merge, (Lengths.of(np.diff(part)) for part in parts), Lengths())
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"the corpus cannot be read: {error}", where=str(path), fix=_AGAIN) from error


def _dropped(path: Path) -> list[DroppedDocument]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise InputError(
            f"holds no {DROPPED}: nothing that it dropped was kept", where=str(path.parent), fix="Prepare it anew"
        )
    try:
        with read_errors(path):
            rows = pq.read_table(path).to_pylist()
        return [DroppedDocument(**row) for row in rows]
    except (pa.ArrowException, TypeError) as error:
        raise DataError(f"cannot be read: {error}", where=str(path), fix=_AGAIN) from error


def _refuse_unknown(kind: str, name: str | None, known: set[str]) -> None:
    if name is None or name in known:
        return
    if not known:
        raise InputError(f"no {kind} dropped anything", fix=f"Leave --{kind} out")
    raise InputError(unknown(kind, name, known))
