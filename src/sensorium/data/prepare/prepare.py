"""`prepare`: raw files to a corpus, by a list of stages, on as many processes as there are.

The list is cut behind each stage that must see all documents (a `Comparer`), and each piece of the input goes through
one segment after another, so that memory stays bounded whatever there is to read. What is left is split by a hash of
each text; a tokenizer is trained on a sample of the training documents; then every piece is tokenised, and the pieces
are put together in their order. The same input and settings give the same bytes, whatever the number of processes and
however often the run was cut off (a newly trained Unigram tokenizer aside). Nothing appears at `out` before all of it
is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from sensorium import __version__
from sensorium.data.checks import check_places, check_share
from sensorium.data.cleaning.text import UnicodeForm
from sensorium.data.prepare.build import Choices, after, built
from sensorium.data.prepare.chain import named
from sensorium.data.prepare.describe import describe
from sensorium.data.prepare.engine import Engine
from sensorium.data.prepare.executor import Executor, hired
from sensorium.data.prepare.finish import Wanted, finish
from sensorium.data.prepare.reading import Reading, parts_of
from sensorium.data.prepare.settings import Settings
from sensorium.data.prepare.units import in_units
from sensorium.data.prepare.work import working
from sensorium.data.sample import Ledger
from sensorium.data.shards import Corpus
from sensorium.data.stages import Stage
from sensorium.data.tokens.train import DEFAULT, given_folder, parse_spec
from sensorium.errors import InputError
from sensorium.files import StrPath


def prepare(
    inputs: StrPath | Sequence[StrPath],
    *,
    out: StrPath,
    tokenizer: StrPath | None = None,
    stages: Sequence[Stage] | None = None,
    languages: Sequence[str] | None = None,
    identify: bool = False,
    quality: Sequence[str] = (),
    mask: Sequence[str] = (),
    tidy: Sequence[str] = (),
    chinese: str | None = None,
    paragraphs: bool = False,
    near: bool = False,
    decontaminate: Sequence[StrPath] = (),
    stop_words: bool = False,
    against: StrPath | Sequence[StrPath] = (),
    column: str = "text",
    encoding: str | None = None,
    form: UnicodeForm = "NFC",
    min_characters: int = 1,
    validation: float = 0.02,
    seed: int = 0,
    keep_text: bool = False,
    keep_keys: bool = True,
    workers: int = 1,
    executor: Executor | None = None,
    strict: bool = False,
    force: bool = False,
    show_progress: bool | None = None,
) -> Corpus:
    """Make a corpus of raw files.

    A run that was cut off goes on when the same call is made again: what is finished stands in a folder beside `out`.

    Args:
        inputs: files and folders, of the kinds that `sensorium.data.reading` knows; "-" is stdin.
        out: the corpus folder to make.
        tokenizer: "bpe:8000", "wordpiece:N" or "unigram:N" to train one, or a folder that holds one, or the name of a
            bundled model such as "default:translate". The default
            is byte-level BPE with 8,000 tokens, or as many as the text supports.
        stages: what is done to the documents, in this order, instead of what the next arguments ask for.
        languages: keep only documents in the scripts of these languages ("en": Latin, "zh": Han), or with `identify`
            those in these languages.
        identify: tell each document's language by a model.
        quality: published sets of rules to filter by, of "gopher", "c4" and "fineweb".
        mask: kinds of private data to mask, such as "email" and "phone".
        tidy: what else texts are tidied of: "entities" (of HTML), "width" (full-width letters), "repeats" (lines that
            stand there again), "boilerplate" (menus and notices of web pages).
        chinese: the script that Chinese is brought to: "simplified", "traditional", "taiwan" or "hongkong".
        paragraphs: take out paragraphs that occurred before.
        near: drop near-duplicates, not only equal documents.
        decontaminate: evaluation sets; documents that share 13-grams with them are dropped.
        stop_words: write each text without its stop words into another column, which `keep_text` keeps.
        against: corpora that `prepare` made, whose documents count as seen before.
        column: the table column or JSON key that holds the text.
        encoding: of all text, such as "gb18030"; left out, it is found out for each file.
        form: Unicode normalisation form.
        min_characters: drop documents shorter than this.
        validation: share of documents held out, chosen by a hash of their text. At least one is, if there are two.
        seed: chooses another share.
        keep_text: keep the documents too, as Parquet.
        keep_keys: keep what a later run `against` this corpus compares with.
        workers: processes that share the work.
        executor: who works instead, such as a cluster.
        strict: stop at the first file or row that cannot be read, instead of counting it.
        force: replace the corpus that stands at `out`; anything else there is refused. Begin anew where another run was
            cut off.
        show_progress: None shows bars if stderr is a terminal.

    Returns:
        The corpus.

    Raises:
        InputError: an argument is wrong, an input is missing, `out` exists, another run was cut off there.
        DataError: no usable document, a missing column, a vocabulary larger than the text supports.
        StageError: a stage of the user's failed.
        DiskError: the disk is full or may not be written.
    """
    paths = list(inputs) if isinstance(inputs, Sequence) and not isinstance(inputs, str) else [inputs]
    earlier = list(against) if isinstance(against, Sequence) and not isinstance(against, str) else [against]
    choices = Choices(
        form=form,
        min_characters=min_characters,
        languages=((languages,) if isinstance(languages, str) else tuple(languages)) if languages else None,
        identify=identify,
        quality=_names(quality),
        mask=_names(mask),
        tidy=_names(tidy),
        chinese=chinese,
        paragraphs=paragraphs,
        near=near,
        decontaminate=tuple(map(str, [decontaminate] if isinstance(decontaminate, str | Path) else decontaminate)),
        stop_words=stop_words,
    )
    check_share(validation, seed)
    if workers < 1:
        raise InputError(f"workers={workers} is not a number from 1", fix="Try 1, or as many as there are cores")
    others = [*earlier, *choices.decontaminate, *([] if tokenizer is None else [tokenizer])]
    check_places([*paths, *others], Path(out))
    if stop_words and not keep_text:
        raise InputError("the column without stop words would be thrown away", fix="Add --keep-text (keep_text=True)")
    pipeline = after(built(choices) if stages is None else list(stages), earlier)
    named(pipeline)  # what is no stage is told here
    settings = Settings(
        column=column,
        encoding=encoding,
        form=form,
        languages=choices.languages,
        min_characters=min_characters,
        validation=validation,
        seed=seed,
        tokenizer=str(tokenizer or DEFAULT),
        strict=strict,
        stages=tuple(map(describe, pipeline)),
        keep_text=keep_text,
        keep_keys=keep_keys,
    )
    given = given_folder(tokenizer)
    wanted = Wanted(
        given=given,
        spec=None if given is not None else parse_spec(settings.tokenizer),
        exact=tokenizer is not None,
    )
    ledger = Ledger(strict=strict)
    units = in_units(parts_of(paths, ledger))
    run = {
        "version": __version__,
        "settings": asdict(settings),
        "read by stages": [describe(stage, stamped=True) for stage in pipeline],
        "tokenizer": [describe(path, stamped=True) for path in sorted(given.glob("*token*"))] if given else None,
        "inputs": [[part.path, part.stamp, part.size] for unit in units for part in unit.parts],
    }
    streamed = any(unit.streamed for unit in units)
    with (
        hired(executor, workers, len(units), pipeline) as workforce,
        working(out, run, force=force, again=not streamed) as work,
    ):
        engine = Engine(work=work, units=units, executor=workforce, strict=strict, show_progress=show_progress)
        segments = engine.segments(pipeline, Reading(column, strict, encoding=encoding), seed)
        engine.run(segments)
        finish(engine, segments, settings, wanted, ledger)
    return Corpus.open(out)


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    """One name, or several."""
    return (given,) if isinstance(given, str) else tuple(given)
