"""`evaluate`: how good a model is at translating or answering, on data that it has not seen."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from sensorium.data.codes import find_code, language_code, matching
from sensorium.data.corpus import ParallelCorpus
from sensorium.data.labelled.questions import Question, read_questions
from sensorium.data.parallel.columns import Wanted
from sensorium.data.parallel.directions import Directions
from sensorium.data.parallel.readers import find_parallel, read_parallel
from sensorium.data.sample import Ledger
from sensorium.errors import DataError, InputError, require, unknown
from sensorium.files import StrPath, read_errors
from sensorium.inference.engine import Seq2SeqEngine
from sensorium.inference.logits import check_whole
from sensorium.results import Evaluation
from sensorium.tasks.measures import SAMPLES, answer_measures, translation_measures
from sensorium.tasks.model import LanguageModel, load

Task = Literal["translation", "qa"]
TASKS = ("translation", "qa")


def evaluate(
    model: LanguageModel | StrPath | None = None,
    *,
    task: Task,
    data: StrPath | Sequence[StrPath],
    source: str | None = None,
    target: str | None = None,
    columns: Mapping[str, str] | None = None,
    outputs: StrPath | None = None,
    limit: int | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Measure a model on a task.

    Args:
        model: a loaded one, or what `load` opens. Not needed where its outputs are given.
        task: "translation" gives BLEU and chrF++, "qa" exact match and F1. See `tasks.measures`.
        data: files as `prepare_parallel` reads them, or a corpus that it made, of which the validation split is taken;
            for "qa" SQuAD JSON or a table of questions.
        source: translation: the language to translate from, where neither the data nor the model tells it.
        target: translation: the language to translate into, where neither the data nor the model tells it.
        columns: language, or role of a question's table, → column, where its name does not tell.
        outputs: what some system gave, in place of the model: a text file with a translation a line; for "qa" JSON with
            the answers by the questions' ids, as SQuAD's own evaluation takes it.
        limit: use so many rows, the first.
        samples: of the bootstrap that the intervals come from; 0 for none.
        seed: of the bootstrap of "qa"; sacreBLEU has its own.
        options: of `LanguageModel.translate` or `LanguageModel.answer`. Where questions without an answer are in the
            data, `threshold` is 0 unless it is given.

    Returns:
        Measures with intervals, and the outputs.

    Raises:
        InputError: an argument is wrong, the task is not known, or the outputs are not as many as the rows.
        DataError: the data holds nothing to measure on.
        CapabilityError: the model cannot do the task, or `sacrebleu` is not installed.
    """
    if task not in TASKS:
        raise InputError(unknown("task", str(task), TASKS))
    if (model is None) == (outputs is None):
        raise InputError("name either a model or the outputs of one", fix="Give model or outputs, not both")
    check_whole("samples", samples, "0 or more", lambda x: x >= 0)
    check_whole("seed", seed, "0 or more", lambda x: x >= 0)
    if limit is not None:
        check_whole("limit", limit, "1 or more", lambda x: x >= 1)
    if task == "translation":
        require("sacrebleu.metrics", extra="eval", purpose="measuring translations")  # before hours of translating
    paths = list(data) if isinstance(data, Sequence) and not isinstance(data, str) else [data]
    opened = model if isinstance(model, LanguageModel) or model is None else load(model)
    chosen = dict(options or {})
    if task == "qa":
        if source or target:
            raise InputError("source and target are languages of a translation", fix="Leave them out")
        ledger = Ledger()
        questions = list(read_questions(paths, ledger, columns=columns))[:limit]
        if not questions:
            raise _nothing(ledger, "question")
        given = _answers(opened, questions, chosen) if opened else answers_of_file(outputs or "", questions)
        expected = [[answer.text for answer in question.answers] for question in questions]
        measures = answer_measures(given, expected, samples=samples, seed=seed)
        return Evaluation(task, measures, given, _left_out(ledger), tuple(ledger.problems))
    pairs, way, ledger = _pairs(opened, paths, source, target, columns or {})
    pairs = pairs[:limit]
    if not pairs:
        raise _nothing(ledger, "pair")
    given = _translations(opened, pairs, way, chosen) if opened else lines_of_file(outputs or "", len(pairs))
    measures = translation_measures(given, [right for _, right in pairs], language=way[1], samples=samples)
    return Evaluation(task, measures, given, _left_out(ledger), tuple(ledger.problems))


def _pairs(
    model: LanguageModel | None,
    paths: Sequence[StrPath],
    source: str | None,
    target: str | None,
    columns: Mapping[str, str],
) -> tuple[list[tuple[str, str]], tuple[str, str], Ledger]:
    """Pairs in the languages that are named, or that the data tells, or else those of the model."""
    ledger = Ledger()
    try:
        return *read_pairs(paths, source, target, columns, ledger), ledger
    except DataError:
        own = _own_languages(model) if model and not (source or target) else None
        if own is None:
            raise
    ledger = Ledger()
    return *read_pairs(paths, *own, columns, ledger), ledger


def _own_languages(model: LanguageModel) -> tuple[str, str] | None:
    """From which language into which a model translates; None of several directions, or where it does not say."""
    engine = model.engine_for("translate")
    if not isinstance(engine, Seq2SeqEngine) or engine.tokenizer.languages:
        return None
    here, there = (find_code(name or "") for name in engine.facts.languages)
    return (here, there) if here and there and here != there else None


def read_pairs(
    paths: Sequence[StrPath], source: str | None, target: str | None, columns: Mapping[str, str], ledger: Ledger
) -> tuple[list[tuple[str, str]], tuple[str, str]]:
    """Texts with their translations, and the two languages. Pairs with an empty side are left out and counted.

    Raises:
        InputError: nothing is there, or a language is not known.
        DataError: the languages cannot be told, or there are more than two.
    """
    here, there = (language_code(code) if code else None for code in (source, target))
    if len(paths) == 1 and (Path(paths[0]) / "manifest.json").is_file():
        return _of_corpus(ParallelCorpus.open(paths[0]), here, there)
    wanted = Wanted(
        source=here,
        targets=(there,) if there else (),
        columns={language_code(code): str(column) for code, column in columns.items()},
    )
    found = find_parallel(paths, wanted, ledger)
    directions = Directions(wanted, ledger)
    pairs = []
    for row in read_parallel(found, wanted, ledger):
        for _, text, right in directions.pairs(row):
            if text.strip() and right.strip():
                pairs.append((text.strip(), right.strip()))
            else:
                ledger.drop("an empty side")
    return pairs, directions.found[0] if directions.found else (here or "", there or "")


def _of_corpus(
    corpus: ParallelCorpus, source: str | None, target: str | None
) -> tuple[list[tuple[str, str]], tuple[str, str]]:
    """The validation pairs of one direction, as the tokenizer gives their texts back."""
    fits = [
        (number, way)
        for number, way in enumerate(corpus.directions)
        if (source is None or matching(source, [way[0]])) and (target is None or matching(target, [way[1]]))
    ]
    names = ", ".join(f"{here} to {there}" for here, there in corpus.directions)
    if len(fits) != 1:
        problem = "holds several directions" if fits else f"holds no pairs from {source or '?'} to {target or '?'}"
        raise InputError(problem, where=str(corpus.folder), fix=f"Choose one with --from and --to (it holds: {names})")
    number, way = fits[0]
    split, tokenizer = corpus.validation, corpus.tokenizer
    chosen = [i for i in range(len(split)) if split.directions[i] == number]
    pairs = [(tokenizer.decode(text), tokenizer.target.decode(right)) for text, right in map(split.pair, chosen)]
    return [(text.strip(), right.strip()) for text, right in pairs], way


def answers_of_file(path: StrPath, questions: Sequence[Question]) -> tuple[str, ...]:
    """Answers by the ids of questions, from JSON.

    Raises:
        InputError: it is no such file, or a question has no answer in it.
    """
    text = _text(path)
    try:
        given = json.loads(text)
    except ValueError as error:
        raise InputError(f"not valid JSON: {error}", where=str(path), fix='Write {"id": "answer"}') from error
    if not isinstance(given, dict) or not all(isinstance(answer, str) for answer in given.values()):
        raise InputError("is no JSON object of answers", where=str(path), fix='Write {"id": "answer", ...}')
    missing = [question.id for question in questions if question.id not in given]
    if missing:
        raise InputError(
            f"holds no answer to {len(missing)} of {len(questions)} questions, such as {missing[0]!r}",
            where=str(path),
            fix="Give every question an answer; an empty one says that there is none",
        )
    return tuple(given[question.id] for question in questions)


def lines_of_file(path: StrPath, count: int) -> tuple[str, ...]:
    """Translations, one a line.

    Raises:
        InputError: it is no text file, or does not hold so many.
    """
    lines = _text(path).split("\n")
    lines = [line.rstrip("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]
    if len(lines) != count:
        raise InputError(
            f"holds {len(lines)} lines, the data {count} pairs", where=str(path), fix="Give one translation a line"
        )
    return tuple(lines)


def _text(path: StrPath) -> str:
    with read_errors(path):
        if not Path(path).is_file():
            raise InputError("no such file", where=str(path), fix="Check the path")
        try:
            return Path(path).read_bytes().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError("not valid UTF-8", where=str(path), fix="Convert it to UTF-8 first") from error


def _answers(model: LanguageModel, questions: Sequence[Question], options: dict[str, Any]) -> tuple[str, ...]:
    some_impossible = any(question.impossible for question in questions)
    if some_impossible and options.get("method", "extract") == "extract":
        options.setdefault("threshold", 0.0)
    found = model.answer(
        [question.question for question in questions],
        context=[question.context for question in questions],
        **options,
    )
    return tuple(answer.text for answer in found)


def _translations(
    model: LanguageModel, pairs: Sequence[tuple[str, str]], way: tuple[str, str], options: dict[str, Any]
) -> tuple[str, ...]:
    found = model.translate([text for text, _ in pairs], source=way[0], target=way[1], **options)
    return tuple(one.text for one in found)


def _left_out(ledger: Ledger) -> dict[str, int]:
    # An answer that does not match is a problem too; if its question is left out for it, that is counted already.
    count = ledger.counts["problems"] - ledger.counts["answers that do not match"]
    return {**({"could not be read": count} if count else {}), **dict(sorted(ledger.dropped.items()))}


def _nothing(ledger: Ledger, what: str) -> DataError:
    reasons = ", ".join(f"{count} {reason}" for reason, count in _left_out(ledger).items())
    first = f": {ledger.problems[0]['where']}: {ledger.problems[0]['reason']}" if ledger.problems else ""
    return DataError(f"no usable {what} ({reasons or 'the data is empty'}){first}", fix="Check the data")
