"""What a model with a head learns from: questions, labelled texts, tagged sentences, and what is held out of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from sensorium.data.labelled.classes import read_labelled
from sensorium.data.labelled.examples import ClassExamples, Examples, TagExamples
from sensorium.data.labelled.question_examples import QuestionExamples
from sensorium.data.labelled.questions import read_questions
from sensorium.data.labelled.split import held_out
from sensorium.data.labelled.tags import read_tagged
from sensorium.data.ragged import fingerprint
from sensorium.data.sample import Ledger
from sensorium.data.tokens.frame import Frame
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import DataError, InputError
from sensorium.families.heads import Kind, Task
from sensorium.files import StrPath
from sensorium.training.recipe import Recipe

Columns = Mapping[str, str] | None
_SPLIT = re.compile(r"(?:(train)|validation|valid|val|dev)(?![a-z])")
"""How the names of a folder's files begin."""


@dataclass(frozen=True)
class _Records:
    """How the records of one kind are read, held out, labelled and tokenised."""

    what: str
    read: Callable[[Path, Ledger, Columns], list[Any]]
    key: Callable[[Any], str]
    """What records that are held out have in common with none that are learned from."""
    labels: Callable[[Any], Sequence[str]]
    encode: Callable[[list[Any], Tokenizer, Sequence[str]], Examples]


_KINDS: dict[Kind, _Records] = {
    "spans": _Records(
        what="questions",
        read=lambda path, ledger, columns: list(read_questions(path, ledger, columns=columns)),
        key=lambda question: question.context,
        labels=lambda question: (),
        encode=lambda records, tokenizer, labels: QuestionExamples.of(records, tokenizer),
    ),
    "classes": _Records(
        what="texts",
        read=lambda path, ledger, columns: read_labelled(path, ledger, columns=columns),
        key=lambda row: row.text,
        labels=lambda row: (row.label,),
        encode=ClassExamples.of,
    ),
    "tags": _Records(
        what="sentences",
        read=lambda path, ledger, columns: read_tagged(path, ledger, columns=columns),
        key=lambda sentence: " ".join(sentence.words),
        labels=lambda sentence: sentence.tags,
        encode=TagExamples.of,
    ),
}


@dataclass(eq=False)
class LabelledSource:
    """Examples to learn from, and examples held out."""

    folder: Path
    """The file or the folder."""
    tokenizer: Tokenizer
    train: Examples
    validation: Examples
    task: Task
    manifest: dict[str, Any]
    """Counts, files with their hashes, and what was left out and why."""
    fingerprint: str
    notes: tuple[str, ...]
    """What a reader should know of the data."""


def open_labelled(
    data: object,
    recipe: Recipe,
    tokenizer: Tokenizer,
    *,
    validation: StrPath | None = None,
    columns: Columns = None,
) -> LabelledSource:
    """Read and tokenise what a recipe's objective learns from.

    Args:
        data: a file; or a folder with files whose names begin with `train`, and perhaps with `validation` or `dev`.
        recipe: its objective says what the files hold.
        tokenizer: the given model's.
        validation: a file to measure by; without one a share of the data is held out.
        columns: names of the columns, where they are not the usual ones.

    Raises:
        InputError: there is no such file, or no such column.
        DataError: nothing in it can be used, or there are fewer than two labels.
    """
    kind = recipe.objective.kind
    if kind not in ("spans", "classes", "tags"):
        raise InputError(f"objective.kind={kind!r} does not learn from labelled examples", fix="Give a corpus")
    if not isinstance(data, str | PathLike):
        raise InputError(f"objective.kind={kind!r} learns from a file, not from a corpus", fix="Name a file")
    how, path, ledger = _KINDS[kind], Path(data), Ledger()
    own, measured = _files(path, validation)
    records = _read(how, own, ledger, columns)
    names = _in_order({label for record in records for label in how.labels(record)})
    if measured:
        kept, apart = records, _read(how, measured, ledger, columns)
    else:
        held = held_out([how.key(record) for record in records], recipe.run.held_out)
        kept = [record for record, out in zip(records, held, strict=True) if not out]
        apart = [record for record, out in zip(records, held, strict=True) if out]
    if kind != "spans" and len(names) < 2:
        raise DataError(
            f"every label is {names[0]!r}: there is nothing to tell apart",
            where=str(path),
            fix="Give examples of others",
        )
    train, validated = (how.encode(part, tokenizer, names) for part in (kept, apart))
    if not len(train):
        raise DataError(f"holds no {how.what} that can be learned from", where=str(path), fix="Give more")
    return LabelledSource(
        folder=path,
        tokenizer=tokenizer,
        train=train,
        validation=validated,
        task=Task(kind=kind, labels=names, problem="single_label_classification" if kind == "classes" else None),
        manifest={
            "examples": how.what,
            "held_out": {"by": "file"} if measured else {"by": "hash", "share": recipe.run.held_out},
            **_manifest(train, validated, tokenizer, ledger, names),
        },
        fingerprint=fingerprint((train.fingerprint, validated.fingerprint, *names)),
        notes=(
            *_notes(how.what, ledger, validated, held_out=not measured),
            *_not_read(train, recipe.batch.seq_len, tokenizer),
        ),
    )


def _files(path: Path, validation: StrPath | None) -> tuple[list[Path], list[Path]]:
    """Files to learn from, and files to measure by."""
    measured = [] if validation is None else [Path(validation)]
    if not path.is_dir():
        return [path], measured
    if (path / "manifest.json").is_file():
        raise InputError(
            "is a corpus of plain text, and labelled examples are needed", where=str(path), fix="Name a file of them"
        )
    named = [(file, _SPLIT.match(file.name.lower())) for file in sorted(path.iterdir()) if file.is_file()]
    own = [file for file, match in named if match and match.group(1)]
    if not own:
        raise DataError("holds no file whose name begins with train", where=str(path), fix="Name the file itself")
    return own, measured or [file for file, match in named if match and not match.group(1)]


def _read(how: _Records, paths: Sequence[Path], ledger: Ledger, columns: Columns) -> list[Any]:
    found = [record for path in paths for record in how.read(path, ledger, columns)]
    if not found:
        reasons = [f"{problem['where']}: {problem['reason']}" for problem in ledger.problems[:1]]
        reasons += [f"{count} left out: {reason}" for reason, count in ledger.dropped.most_common(1)]
        raise DataError(
            f"holds no {how.what} that can be used ({'; '.join(reasons) or 'nothing in it'})",
            where=str(paths[0]),
            fix="Mend the file",
        )
    return found


def _in_order(labels: set[str]) -> tuple[str, ...]:
    """By number, if all are numbers."""
    numbers = all(re.fullmatch(r"-?\d+", label) for label in labels)
    return tuple(sorted(labels, key=lambda label: (int(label) if numbers else 0, label)))


def _manifest(
    train: Examples, validation: Examples, tokenizer: Tokenizer, ledger: Ledger, labels: Sequence[str]
) -> dict[str, Any]:
    """In the form of a corpus's."""
    counts = {
        split: {"documents": len(part), "tokens": part.n_tokens, "bytes": part.n_bytes, "xxh3_128": part.fingerprint}
        for split, part in (("train", train), ("validation", validation))
    }
    return {
        "splits": counts,
        "labels": list(labels),
        "tokenizer": {"vocab_size": tokenizer.vocab_size},
        "dropped": dict(ledger.dropped),
        "input": {"files": ledger.files, "counts": dict(ledger.counts), "unreadable": ledger.problems},
    }


def _notes(what: str, ledger: Ledger, validation: Examples, *, held_out: bool) -> tuple[str, ...]:
    notes = []
    if held_out:
        notes.append(f"{len(validation):,} {what} are held out for validation, chosen by hash")
    if problems := ledger.counts["problems"]:
        first = ledger.problems[0]
        notes.append(f"{problems:,} could not be used, the first of them {first['where']}: {first['reason']}")
    notes += [f"left out of the {what}: {count:,} ({reason})" for reason, count in ledger.dropped.items()]
    return tuple(notes)


def _not_read(train: Examples, seq_len: int, tokenizer: Tokenizer) -> tuple[str, ...]:
    """What of the examples is not learned from."""
    if isinstance(train, ClassExamples):
        frame = Frame.single(tokenizer) if len(train.texts) == 1 else Frame.pair(tokenizer)
        long = int((train.sizes > seq_len - frame.size).sum())
        return (f"{long:,} of {len(train):,} texts are longer than {seq_len} tokens, and are cut",) if long else ()
    if isinstance(train, TagExamples) and train.untagged:
        return (f"left out of the words: {train.untagged:,} (nothing to the tokenizer)",)
    if isinstance(train, QuestionExamples) and train.left_out:
        return (f"left out of the questions: {train.left_out:,} (answers that are nothing to the tokenizer)",)
    return ()
