"""Files of questions to rows: SQuAD's nested JSON, and tables (JSON, JSON Lines, CSV, TSV, Parquet)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sensorium.data.reading.listing import hidden
from sensorium.data.rows import KNOWN, Row, kind_of, named_rows
from sensorium.data.sample import Ledger
from sensorium.errors import DataError, InputError, unknown
from sensorium.files import StrPath

COLUMNS: dict[str, tuple[str, ...]] = {
    "id": ("id", "qas_id", "question_id", "idx"),
    "title": ("title",),
    "question": ("question", "query"),
    "context": ("context", "passage", "paragraph"),
    "answers": ("answers", "answer", "answer_text", "text"),
    "answer_start": ("answer_start", "answer_starts", "start"),
    "impossible": ("is_impossible", "impossible"),
}
"""What a question is made of → what tables call it."""
_NEEDED = ("question", "context", "answers")


def question_files(paths: Sequence[StrPath]) -> list[Path]:
    """Every file that the inputs name, folders with all the tables in them.

    Raises:
        InputError: nothing given, or a path does not exist.
        DataError: a folder holds none.
    """
    if not paths:
        raise InputError("no input given", fix="Name files of questions")
    found = list[Path]()
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if kind_of(p) in KNOWN and not hidden(p, path))
            if not inside:
                raise DataError("the folder holds no table", where=str(path), fix=f"Readable: {', '.join(KNOWN)}")
            found += inside
        else:
            found.append(path)
    return found


def question_rows(path: Path, ledger: Ledger, columns: Mapping[str, str]) -> Iterator[tuple[str, Row]]:
    """The questions of a file as rows with the keys of `COLUMNS`, and their places.

    Raises:
        InputError: there is no such file.
        DataError: it is no table, or none of questions.
    """
    names: dict[str, str] | None = None
    for where, row in named_rows(path, ledger):
        if "paragraphs" in row:
            yield from _article(row, where, path, ledger)
            continue
        names = names or _names(where, row, columns)
        yield where, {role: row.get(name) for role, name in names.items()}


def _article(article: Row, where: str, path: Path, ledger: Ledger) -> Iterator[tuple[str, Row]]:
    """The questions of one of SQuAD's articles."""
    for paragraph in _objects(article["paragraphs"], f"{where}: paragraphs", ledger):
        for qa in _objects(paragraph.get("qas"), f"{where}: qas", ledger):
            yield (
                f"{path}, question {qa.get('id')}",
                {
                    "id": qa.get("id"),
                    "title": article.get("title"),
                    "question": qa.get("question"),
                    "context": paragraph.get("context"),
                    "answers": qa.get("answers"),
                    "impossible": qa.get("is_impossible"),
                },
            )


def _objects(value: Any, where: str, ledger: Ledger) -> list[Row]:
    """The objects of a list; what is none is a problem."""
    if not isinstance(value, list):
        ledger.problem(where, f"holds {type(value).__name__}, not a list")
        return []
    for item in value:
        if not isinstance(item, dict):
            ledger.problem(where, f"holds {type(item).__name__}, not an object")
    return [item for item in value if isinstance(item, dict)]


def _names(where: str, row: Row, columns: Mapping[str, str]) -> dict[str, str]:
    """Which column plays which role."""
    names = dict[str, str]()
    present = ", ".join(map(str, row))
    for role in columns:
        if role not in COLUMNS:
            raise InputError(unknown("column", role, COLUMNS), fix="Say for example context=passage,answers=span")
    for role, usual in COLUMNS.items():
        name = columns.get(role) or next((word for word in usual if word in row), None)
        if name is None and role in _NEEDED:
            raise DataError(f"no column holds the {role} of a question", where=where, fix=f"Present: {present}")
        if name is not None and name not in row:
            raise DataError(f"no column {name!r}", where=where, fix=f"Present: {present}")
        if name is not None:
            names[role] = name
    return names
