"""Text files that are translations of each other line by line: `train.en` and `train.zh`."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import zip_longest
from pathlib import Path

from sensorium.data.codes import matching
from sensorium.data.parallel.columns import Wanted, language_in_name
from sensorium.data.reading.noted import note_file, text_encoding
from sensorium.data.reading.packed import open_packed
from sensorium.data.reading.tables import MAX_ROW, bounded_lines
from sensorium.data.sample import Ledger, Translations
from sensorium.errors import DataError

_END = "\0end"
"""Stands where a file has no more lines; no line holds a null, for then a file is not text."""


def text_sets(files: Sequence[Path], wanted: Wanted) -> list[dict[str, Path]]:
    """Which text files belong together, by language.

    Two files do, in the order given if their names tell no languages. Of more, those do whose names differ in the
    language alone.

    Raises:
        DataError: a file belongs to none, or nothing tells its language.
    """
    if not files:
        return []
    named = [(language_in_name(path), path) for path in files]
    codes = [code for code, _ in named if code]
    if len(files) == 2:
        if len(codes) == 2 and wanted.covered(codes):
            return [{code: path for code, path in named if code}]
        if wanted.pair:
            return [dict(zip(wanted.pair, files, strict=True))]
        raise DataError(
            f"neither its name nor that of {files[1].name} tells the language",
            where=str(files[0]),
            fix="Add --from and --to",
        )
    sets = dict[Path, dict[str, Path]]()
    for code, path in named:
        if code is None:
            raise DataError("its name tells no language", where=str(path), fix="Call it, for example, train.en")
        sets.setdefault(path.with_name(_without_language(path.name, code)), {})[code] = path
    for aligned in sets.values():
        if len(aligned) < 2:
            raise DataError(
                "there is no other text file that it is aligned with",
                where=str(next(iter(aligned.values()))),
                fix="Name two, such as train.en and train.zh",
            )
    return [chosen for aligned in sets.values() if len(chosen := _chosen(aligned, wanted)) > 1]


def aligned_lines(files: dict[str, Path], ledger: Ledger) -> Iterator[Translations]:
    """The lines of files, side by side.

    Raises:
        DataError: a file is not text, or ends before another.
    """
    with ExitStack() as stack:
        sides = dict[str, Iterator[str | None]]()
        for code, path in files.items():
            encoding = text_encoding(path, ledger) if note_file(path, ledger) else None
            if encoding is None:
                reason = ledger.problems[-1]["reason"] if ledger.problems else "it cannot be read"
                raise DataError(reason, where=str(path), fix="Aligned files are of use only together")
            raw = stack.enter_context(open_packed(path))
            text = stack.enter_context(io.TextIOWrapper(raw, encoding=encoding, newline="\n"))
            sides[code] = bounded_lines(text)
        first = next(iter(files.values()))
        for number, lines in enumerate(zip_longest(*sides.values(), fillvalue=_END), 1):
            if _END in lines:
                raise _unequal(files, sides, lines, number)
            if None in lines:
                ledger.problem(f"{first}:{number}", f"a line of more than {MAX_ROW} characters")
                continue
            texts = {code: line.rstrip("\r\n") for code, line in zip(sides, lines, strict=True) if line is not None}
            yield Translations(texts, f"{first}:{number}")


def _unequal(
    files: dict[str, Path], sides: dict[str, Iterator[str | None]], lines: Sequence[str | None], number: int
) -> DataError:
    """Says how many lines each file has."""
    counts = {
        files[code]: number - 1 if line == _END else number + sum(1 for _ in sides[code])
        for code, line in zip(sides, lines, strict=True)
    }
    short = min(counts, key=lambda path: counts[path])
    others = " and ".join(f"{path} has {count}" for path, count in counts.items() if count != counts[short])
    return DataError(
        f"ends after line {counts[short]}, but {others}",
        where=str(short),
        fix="Aligned files have as many lines; find where they part",
    )


def _chosen(aligned: dict[str, Path], wanted: Wanted) -> dict[str, Path]:
    """Those of a set that are wanted."""
    if not wanted.all or not wanted.covered(list(aligned)):
        return aligned
    if not (wanted.source and wanted.targets):
        return aligned
    codes = [matching(code, aligned) for code in wanted.all]
    return {code: aligned[code] for code in codes if code}


def _without_language(name: str, code: str) -> str:
    """A file's name with its language taken out, to be compared with another's."""
    parts = name.replace("_", "-").split(".")
    kept = [part for part in parts if language_in_name(Path(part)) != code]
    cut = [part.lower().removesuffix(f"-{code.lower()}") for part in kept]
    return ".".join(cut) or "."
