"""The last steps: a tokenizer for the documents that are left, their tokens, and the corpus folder with its report.

corpus/
  manifest.json  tokenizer.json ...  train/  validation/     see `sensorium.data.shards`
  report.json        what each stage took, gave and dropped; statistics of before and after
  timing.json        the seconds that each stage took: the one file that differs from run to run
  dropped.parquet    a sample of what was dropped, by stage and rule, with reasons
  keys/STAGE/        what a later run compares its documents with
  documents/         the documents themselves, if they are kept, a row group for each few megabytes
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sensorium.data.checks import nothing_usable
from sensorium.data.fertility import Fertility
from sensorium.data.prepare import learn
from sensorium.data.prepare.account import StageAccount, add_ledger, summed
from sensorium.data.prepare.arrow import read_arrow
from sensorium.data.prepare.build import KEYS, folder_of
from sensorium.data.prepare.dropped import DroppedSample
from sensorium.data.prepare.engine import Engine
from sensorium.data.prepare.executor import Processes
from sensorium.data.prepare.learn import Staged, shares_within, sizes, texts
from sensorium.data.prepare.segment import Segment
from sensorium.data.prepare.settings import Settings
from sensorium.data.prepare.split import splitter
from sensorium.data.prepare.tokens import Tokenise
from sensorium.data.sample import Ledger
from sensorium.data.shards import FORMAT, SPLITS, ShardWriter
from sensorium.data.statistics import Statistics
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.data.tokens.train import TokenizerSpec, train_tokenizer
from sensorium.files import file_hash, write_json
from sensorium.progress import progress


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The tokenizer that is wanted.

    Args:
        given: a folder that holds it.
        spec: or what to train.
        exact: raise if the text supports fewer tokens.
    """

    given: Path | None
    spec: TokenizerSpec | None
    exact: bool


@dataclass(frozen=True, kw_only=True)
class Left:
    """What the segments left.

    Args:
        accounts: of each stage.
        units: number of each unit with documents left, and what its last segment says.
        staged: the documents.
        last: the name of the last segment.
    """

    accounts: Sequence[StageAccount]
    units: Sequence[tuple[int, dict[str, Any]]]
    staged: Staged
    last: str


def collect(engine: Engine, segments: Sequence[Segment], validation: float, ledger: Ledger) -> Left:
    """Add up what all units say.

    Args:
        engine: of the run.
        segments: all of them, finished.
        validation: share of the documents that are held out.
        ledger: receives what happened to the input and how many documents were dropped.

    Raises:
        DataError: nothing is left.
    """
    results = [told for segment in segments for _, told in engine.told(segment)]
    for told in results:
        add_ledger(ledger, told["ledger"])
    steps = (step for segment in segments for step in (segment.before, *segment.stages, segment.after) if step)
    accounts = {account.name: account for account in summed(dict.fromkeys(step.name for step in steps), results)}
    for segment in segments:
        if segment.after is not None:
            accounts[segment.after.name].counts.update(engine.decided(segment).get("counts", {}))
    for account in accounts.values():
        ledger.dropped.update(account.dropped)
    last = segments[-1].name
    left = [(unit.number, told) for unit, told in engine.told(segments[-1]) if told["documents"]]
    if not left:
        raise nothing_usable(ledger, "document", "Give it text files with text in them")
    files = [(number, engine.work.folder / last / f"{number:05}.arrow") for number, _ in left]
    staged = Staged(files, splitter(validation, left))
    return Left(accounts=list(accounts.values()), units=left, staged=staged, last=last)


def tokenised(engine: Engine, left: Left, wanted: Wanted, *, strict: bool, keep_text: bool) -> Tokenise:
    """Train the tokenizer, or take the one that is given, and turn all documents into tokens.

    Args:
        engine: of the run.
        left: the documents.
        wanted: the tokenizer.
        strict: whether a unit that must be left out ends the run.
        keep_text: whether the documents themselves are written too.

    Raises:
        DataError: the text supports no such tokenizer.
    """
    folder, part = engine.work.folder / "tokenizer", engine.work.folder / "learning"
    if not folder.is_dir():
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        _tokenizer(engine, left.staged, wanted, part).save(part)
        part.rename(folder)
    step = Tokenise(
        folder=str(engine.work.folder),
        staged=left.last,
        tokenizer=str(folder),
        version=file_hash(folder / "tokenizer.json"),
        splitter=left.staged.splitter,
        strict=strict,
        keep_text=keep_text,
    )
    numbers = {number for number, _ in left.units}
    engine.each(step, [unit for unit in engine.units if unit.number in numbers], "tokenizing")
    return step


def _tokenizer(engine: Engine, staged: Staged, wanted: Wanted, empty: Path) -> Tokenizer:
    if wanted.spec is None:
        return Tokenizer.from_folder(wanted.given or empty)
    if isinstance(engine.executor, Processes):
        engine.executor.close()  # others need not hold memory while this process alone works
    with progress(f"training a {wanted.spec} tokenizer", show=engine.show_progress):
        of_languages = shares_within(sizes(staged), learn.LEARNED_FROM)
        return train_tokenizer(lambda: texts(staged, of_languages), wanted.spec, exact=wanted.exact)


def finish(engine: Engine, segments: Sequence[Segment], settings: Settings, wanted: Wanted, ledger: Ledger) -> None:
    """Make the corpus of what the segments left.

    Args:
        engine: of the run.
        segments: all of them, finished.
        settings: for the manifest.
        wanted: the tokenizer.
        ledger: what was met while the inputs were listed.

    Raises:
        DataError: nothing is left, or the text supports no such tokenizer.
    """
    left = collect(engine, segments, settings.validation, ledger)
    step = tokenised(engine, left, wanted, strict=settings.strict, keep_text=settings.keep_text)
    told = [told for _, told in engine.told(step)]
    for of_unit in told:
        add_ledger(ledger, of_unit["ledger"])
    part = engine.work.folder / "corpus"
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(step.tokenizer, part)
    tokenizer = Tokenizer.from_folder(part)
    numbers = [number for number, _ in left.units]
    with progress("putting together", show=engine.show_progress):
        counted = _shards(part, tokenizer.vocab_size, [step.path(number, ".arrow") for number in numbers])
        report = _report(engine, segments, left.accounts, ledger, told)
        _dropped(engine, segments, part / "dropped.parquet")
        if settings.keep_keys:
            _keep_keys(engine, segments, part / KEYS)
        if settings.keep_text:
            _keep_documents(step, numbers, part / "documents")
    scripts = Counter[str]()
    for _, of_unit in left.units:
        scripts.update(of_unit["split"]["scripts"])
    manifest = _manifest(settings, ledger, counted, tokenizer, scripts)
    write_json(part / "report.json", {**report, "tokenizer": {**manifest["tokenizer"], **report["tokenizer"]}})
    write_json(part / "timing.json", seconds(engine, segments[0], left, step))
    write_json(part / "manifest.json", manifest)
    engine.work.publish(part)


def seconds(engine: Engine, first: Segment, left: Left, step: Tokenise) -> dict[str, float]:
    """What each stage took, over all processes."""
    took = {"reading": sum(told["reading"] for _, told in engine.told(first))}
    took |= {account.name: account.seconds for account in left.accounts}
    took["tokenizing"] = sum(told["seconds"] for _, told in engine.told(step))
    return {name: round(time, 3) for name, time in took.items()}


def _shards(part: Path, vocab_size: int, units: Iterable[Path]) -> dict[str, Any]:
    """Put the units' tokens together."""
    writers = {split: ShardWriter(part / split, vocab_size) for split in SPLITS}
    for path in units:
        for batch in read_arrow(path) if path.exists() else ():  # all of a unit may have been left out
            tokens, pieces = batch.column("tokens"), batch.column("sentences")
            documents, counts = (np.diff(lists.offsets.to_numpy()) for lists in (tokens, pieces))
            flat, lengths = tokens.values.to_numpy(), pieces.values.to_numpy()
            n_bytes, held = batch.column("bytes").to_numpy(), batch.column("held_out").to_numpy(zero_copy_only=False)
            for split, chosen in (("train", ~held), ("validation", held)):
                if chosen.all():
                    writers[split].extend(flat, documents, lengths, counts, n_bytes)
                elif chosen.any():
                    writers[split].extend(
                        flat[np.repeat(chosen, documents)],
                        documents[chosen],
                        lengths[np.repeat(chosen, counts)],
                        counts[chosen],
                        n_bytes[chosen],
                    )
    return {split: writer.close() for split, writer in writers.items()}


def _report(
    engine: Engine,
    segments: Sequence[Segment],
    accounts: Sequence[StageAccount],
    ledger: Ledger,
    tokenised: Iterable[Mapping[str, Any]],
) -> dict[str, Any]:
    stages = [account.to_dict() for account in accounts]
    for stage in stages:
        del stage["seconds"]
    after = _statistics(engine, segments[-1], "after")
    languages, fits = _languages(tokenised, after["languages"]["counts"])
    return {
        "stages": stages,
        "before": _statistics(engine, segments[0], "before"),
        "after": after,
        "languages": languages,
        "tokenizer": {"fertility": fits},
        "clusters": [cluster for segment in segments for cluster in engine.decided(segment).get("clusters", ())],
        "inputs": ledger.files,
        "problems": ledger.problems,
    }


def _languages(
    tokenised: Iterable[Mapping[str, Any]], counted: Mapping[str, Mapping[str, int]]
) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, Any]]]:
    """How much there is in each language, and how the tokenizer fits it.

    Args:
        tokenised: what the units say of their tokens.
        counted: what the statistics say of each language.
    """
    totals: dict[str, Counter[str]] = {}
    for told in tokenised:
        for language, counts in told["languages"].items():
            totals.setdefault(language, Counter()).update(counts)
    languages, fits = {}, {}
    for language, total in sorted(totals.items()):
        words = counted.get(language, {}).get("words", 0)
        languages[language] = {name: total[name] for name in ("documents", "bytes", "characters", "tokens")}
        sizes = {name: total[name] for name in ("characters", "bytes", "tokens", "unknown", "fragments")}
        fits[language] = Fertility(words=words, **sizes).to_dict()
        if words:
            languages[language]["words"] = words
        else:
            del fits[language]["tokens_per_word"]
    return languages, fits


def _statistics(engine: Engine, segment: Segment, when: str) -> dict[str, Any]:
    total: Statistics | None = None
    for unit in engine.units:
        path = segment.path(unit, f".{when}")
        if path.exists():
            one = Statistics.from_dict(json.loads(path.read_bytes()))
            total = one if total is None else total.merge(one)
    return (total or Statistics()).summary()


def _dropped(engine: Engine, segments: Sequence[Segment], path: Path) -> None:
    import pyarrow as pa

    sample = DroppedSample()
    for segment in segments:
        for place in (segment.path(unit, ".dropped.arrow") for unit in engine.units):
            for batch in read_arrow(place) if place.exists() else ():  # most drop nothing
                sample.add_table(pa.table(batch))
    sample.write(path)


def _keep_keys(engine: Engine, segments: Sequence[Segment], folder: Path) -> None:
    for segment in segments:
        if segment.after is None:
            continue
        place = folder / folder_of(segment.after.name)
        place.mkdir(parents=True)
        for unit in engine.units:
            keys = segment.path(unit, ".keys.arrow")
            if keys.exists():
                _link(keys, place / f"{unit.number:05}.arrow")


def _keep_documents(step: Tokenise, numbers: Iterable[int], folder: Path) -> None:
    folder.mkdir()
    for number in numbers:
        _link(step.path(number, ".parquet"), folder / f"{number:05}.parquet")


def _link(source: Path, target: Path) -> None:
    """The same file under another name where the file system can, so that the run may still be cut off here."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def _manifest(
    settings: Settings, ledger: Ledger, counted: Mapping[str, Any], tokenizer: Tokenizer, scripts: Mapping[str, int]
) -> dict[str, Any]:
    tokens, size = (sum(counted[split][what] for split in SPLITS) for what in ("tokens", "bytes"))
    return {
        "format": FORMAT,
        "kind": "text",
        "settings": asdict(settings),
        "input": {"files": ledger.files, "counts": dict(ledger.counts), "unreadable": ledger.problems},
        "dropped": dict(ledger.dropped),
        "scripts": dict(scripts),
        "splits": dict(counted),
        "tokenizer": {
            "spec": settings.tokenizer,
            "vocab_size": tokenizer.vocab_size,
            "bytes_per_token": round(size / tokens, 4) if tokens else None,
        },
    }
