"""`prepare`: raw files to a corpus, in two passes of bounded memory.

The first pass reads, cleans, filters and deduplicates documents into a staged file and decides each one's split
by its hash. The tokenizer is trained on the staged training documents. The second pass cuts them into sentences
and writes their tokens. The same input and settings give the same bytes, a newly trained Unigram tokenizer aside.
Nothing appears at `out` before all of it is there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import xxhash

from sensorium.data.checks import check_places, check_share, nothing_usable
from sensorium.data.clean import UnicodeForm, clean
from sensorium.data.dedup import ExactDedup
from sensorium.data.language import SCRIPTS, script
from sensorium.data.readers import list_files, read_inputs
from sensorium.data.sample import Ledger, Sample
from sensorium.data.segment import sentences
from sensorium.data.shards import FORMAT, SPLITS, Corpus, ShardWriter
from sensorium.data.stage import Stage
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.data.tokens.train import DEFAULT, given_folder, parse_spec, train_tokenizer
from sensorium.errors import InputError, unknown
from sensorium.files import StrPath, atomic_folder, write_json
from sensorium.progress import progress

_BATCH = 1 << 22
"""Characters that are held and tokenised together: encodings take some hundred bytes a token while they live."""
_LEARNED_FROM = 1 << 26
"""Characters that a tokenizer is trained on at most: beyond, it learns from every second document, or third, ..."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What decides the corpus; stands in its manifest."""

    column: str
    form: UnicodeForm
    languages: tuple[str, ...] | None
    min_characters: int
    validation: float
    seed: int
    tokenizer: str
    strict: bool


def prepare(
    inputs: StrPath | Sequence[StrPath],
    *,
    out: StrPath,
    tokenizer: StrPath | None = None,
    languages: Sequence[str] | None = None,
    column: str = "text",
    form: UnicodeForm = "NFC",
    min_characters: int = 1,
    validation: float = 0.02,
    seed: int = 0,
    strict: bool = False,
    force: bool = False,
    show_progress: bool | None = None,
) -> Corpus:
    """Make a corpus of raw files.

    Args:
        inputs: files and folders: .txt, .md, .jsonl, .csv, .tsv, .parquet, also .gz and .zst; "-" is stdin.
        out: the corpus folder to make.
        tokenizer: "bpe:8000", "wordpiece:N" or "unigram:N" to train one, or a folder that holds one, or the name of a
            bundled model such as "default:translate". The default
            is byte-level BPE with 8,000 tokens, or as many as the text supports.
        languages: keep only documents in the scripts of these languages ("en": Latin, "zh": Han).
        column: the table column or JSON key that holds the text.
        form: Unicode normalisation form.
        min_characters: drop documents shorter than this.
        validation: share of documents held out, chosen by a hash of their text. At least one is, if there are two.
        seed: chooses another share.
        strict: stop at the first file or row that cannot be read, instead of counting it.
        force: replace the corpus that stands at `out`; anything else there is refused.
        show_progress: None shows bars if stderr is a terminal.

    Returns:
        The corpus.

    Raises:
        InputError: an argument is wrong, an input is missing, `out` exists.
        DataError: no usable document, a missing column, a vocabulary larger than the text supports.
        DiskError: the disk is full or may not be written.
    """
    paths = list(inputs) if isinstance(inputs, Sequence) and not isinstance(inputs, str) else [inputs]
    settings = Settings(
        column=column,
        form=form,
        languages=((languages,) if isinstance(languages, str) else tuple(languages)) if languages else None,
        min_characters=min_characters,
        validation=validation,
        seed=seed,
        tokenizer=str(tokenizer or DEFAULT),
        strict=strict,
    )
    _check(settings, paths, Path(out))
    given = given_folder(tokenizer)
    spec = None if given is not None else parse_spec(settings.tokenizer)
    with atomic_folder(out, ours=["manifest.json"], force=force) as part:
        ledger = Ledger(strict=strict)
        stage = _Documents(part / "documents.arrow")
        with progress("reading", _input_bytes(paths), show=show_progress) as advance:
            splits = _first_pass(paths, settings, ledger, stage, advance)
        if given is not None or spec is None:
            trained = Tokenizer.from_folder(given or part)
        else:
            with progress(f"training a {spec} tokenizer", show=show_progress):
                trained = train_tokenizer(lambda: stage.sample(splits), spec, exact=tokenizer is not None)
        trained.save(part)
        writers = {split: ShardWriter(part / split, trained.vocab_size) for split in SPLITS}
        with progress("tokenizing", stage.count, show=show_progress) as advance:
            for batch in _batches(stage.with_splits(splits)):
                _write_batch(batch, trained, writers)
                advance(len(batch), "")
        counted = {split: writer.close() for split, writer in writers.items()}
        stage.remove()
        write_json(part / "manifest.json", _manifest(settings, ledger, counted, trained, stage))
    return Corpus.open(out)


def _check(settings: Settings, inputs: Sequence[StrPath], out: Path) -> None:
    check_share(settings.validation, settings.seed)
    for language in settings.languages or ():
        if language not in SCRIPTS:
            raise InputError(unknown("language", language, SCRIPTS), fix="Leave --languages out to keep all")
    check_places(inputs, out)


def _input_bytes(inputs: Sequence[StrPath]) -> float | None:
    files = list_files(inputs)
    return None if Path("-") in files else float(sum(path.stat().st_size for path in files))


def _first_pass(
    paths: Sequence[StrPath], settings: Settings, ledger: Ledger, stage: _Documents, advance: Any
) -> list[str]:
    """Stage every document that is kept; the split of each, in order."""
    dedup, hashes, seen = ExactDedup(), list[int](), 0
    for sample in read_inputs(paths, ledger, column=settings.column):
        ledger.count("documents")
        text = _keep(sample, settings, ledger, dedup)
        if ledger.counts["bytes"] > seen:
            advance(ledger.counts["bytes"] - seen, "")
            seen = ledger.counts["bytes"]
        if text is None:
            continue
        hashes.append(xxhash.xxh3_64_intdigest(text.encode(), seed=settings.seed))
        stage.add(text)
    stage.close()
    if not hashes:
        raise nothing_usable(ledger, "document", "Give it text files with text in them")
    return _splits(hashes, settings.validation)


def _keep(sample: Sample, settings: Settings, ledger: Ledger, dedup: ExactDedup) -> str | None:
    """The cleaned text of a document, or None and its reason in the ledger."""
    text = clean(sample.text, form=settings.form)
    if len(text) < max(settings.min_characters, 1):
        ledger.drop("too short" if text else "empty")
        return None
    if settings.languages and script(text) not in {SCRIPTS[language] for language in settings.languages}:
        ledger.drop("another script")
        return None
    if not dedup.is_new(text):
        ledger.drop("duplicate")
        return None
    return text


def _splits(hashes: list[int], share: float) -> list[str]:
    limit = int(share * 2**64)
    if len(hashes) == 1:
        return ["train"]
    splits = ["validation" if value < limit else "train" for value in hashes]
    if share:
        # A handful of documents may all fall on one side: then the extreme one changes over.
        if "validation" not in splits:
            splits[hashes.index(min(hashes))] = "validation"
        elif "train" not in splits:
            splits[hashes.index(max(hashes))] = "train"
    return splits


def _batches(documents: Iterator[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    batch, size = list[tuple[str, str]](), 0
    for document in documents:
        batch.append(document)
        size += len(document[0])
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _write_batch(batch: Sequence[tuple[str, str]], tokenizer: Tokenizer, writers: dict[str, ShardWriter]) -> None:
    pieces = [sentences(text) for text, _ in batch]
    ids = iter(tokenizer.encode_raw([piece for document in pieces for piece in document]))
    for (text, split), document in zip(batch, pieces, strict=True):
        writers[split].add([next(ids) for _ in document], len(text.encode()))


def _manifest(
    settings: Settings, ledger: Ledger, counted: dict[str, Any], tokenizer: Tokenizer, stage: _Documents
) -> dict[str, Any]:
    tokens, size = (sum(counted[split][what] for split in SPLITS) for what in ("tokens", "bytes"))
    return {
        "format": FORMAT,
        "kind": "text",
        "settings": asdict(settings),
        "input": {"files": ledger.files, "counts": dict(ledger.counts), "unreadable": ledger.problems},
        "dropped": dict(ledger.dropped),
        "scripts": dict(stage.scripts),
        "splits": counted,
        "tokenizer": {
            "spec": settings.tokenizer,
            "vocab_size": tokenizer.vocab_size,
            "bytes_per_token": round(size / tokens, 4) if tokens else None,
        },
    }


class _Documents:
    """Kept documents between the passes."""

    def __init__(self, path: Path) -> None:
        self._stage = Stage(path, ["text"], held=_BATCH)
        self.scripts: Counter[str] = Counter()
        self.close, self.remove = self._stage.close, self._stage.remove

    @property
    def count(self) -> int:
        return self._stage.count

    def add(self, text: str) -> None:
        self.scripts[script(text)] += 1
        self._stage.add(text)

    def with_splits(self, splits: list[str]) -> Iterator[tuple[str, str]]:
        """Every text with its split."""
        return ((text, split) for (text,), split in zip(self._stage.rows(), splits, strict=True))

    def sample(self, splits: list[str]) -> Iterator[str]:
        """Texts for a tokenizer to learn from: those of the training split, or every so many of them."""
        texts = (text for text, split in self.with_splits(splits) if split == "train")
        return islice(texts, 0, None, 1 + self._stage.characters // _LEARNED_FROM)
