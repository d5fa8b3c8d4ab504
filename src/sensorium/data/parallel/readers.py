"""Files of translations to rows: tables (TSV, CSV, JSON Lines, Parquet), aligned text files, TMX, gettext catalogues.

A row is one text in two or more languages. A file that cannot be read is listed in the ledger and skipped, as is a row;
but text files that are not aligned are refused, for no line of theirs can be trusted.
"""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sensorium.data.codes import find_code, matching
from sensorium.data.parallel.aligned import aligned_lines, text_sets
from sensorium.data.parallel.columns import Wanted, language_in_name
from sensorium.data.parallel.po import CatalogueError, read_mo, read_po
from sensorium.data.parallel.tables import json_translations, parquet_translations, table_rows
from sensorium.data.parallel.tmx import TmxError, read_tmx
from sensorium.data.reading.listing import hidden
from sensorium.data.reading.noted import note_file, text_encoding
from sensorium.data.reading.packed import open_packed
from sensorium.data.sample import Ledger, Translations
from sensorium.errors import DataError, InputError
from sensorium.files import StrPath

_TABLES = {".tsv", ".csv", ".jsonl", ".ndjson", ".parquet"}
_CATALOGUES = {".po", ".mo"}
_KNOWN = ", ".join(sorted(_TABLES | _CATALOGUES | {".tmx"}))
_READABLE = f"Readable: {_KNOWN}, and text files that have as many lines, such as a.en and a.zh"


@dataclass(frozen=True)
class Found:
    """What the inputs name."""

    files: list[Path]
    sets: list[dict[str, Path]]
    """Text files that are aligned, by language."""

    @property
    def bytes(self) -> int:
        paths = [*self.files, *(path for aligned in self.sets for path in aligned.values())]
        return sum(path.stat().st_size for path in paths)


def find_parallel(inputs: Sequence[StrPath], wanted: Wanted, ledger: Ledger) -> Found:
    """Every file that the inputs name, folders with all that is in them.

    Raises:
        InputError: nothing given, a path does not exist, or a file's format is not known.
        DataError: a folder holds nothing readable, a text file has no other that it is aligned with.
    """
    if not inputs:
        raise InputError("no input given", fix="Name files or folders of translations")
    files, texts = list[Path](), list[Path]()
    for path in map(Path, inputs):
        if path.is_dir():
            present = [p for p in sorted(path.rglob("*")) if p.is_file() and not hidden(p, path)]
            inside = [p for p in present if _kind(p)]
            with_language = [p for p in present if not _kind(p) and language_in_name(p)]
            if len(with_language) + len(inside) < len(present):
                ledger.count("files of other kinds", len(present) - len(with_language) - len(inside))
            if not inside and len(with_language) < 2:
                raise DataError("the folder holds no translations", where=str(path), fix=_READABLE)
            files += inside
            texts += with_language
        elif path == Path("-") or not path.exists():
            problem = "translations are not read from standard input" if path == Path("-") else "no such file or folder"
            raise InputError(problem, where=str(path), fix="Check the path")
        elif _kind(path):
            files.append(path)
        elif _plain(path):
            texts.append(path)
        else:
            raise InputError(f"files of the kind {path.suffix!r} hold no pairs", where=str(path), fix=_READABLE)
    return Found(files, text_sets(texts, wanted))


def read_parallel(found: Found, wanted: Wanted, ledger: Ledger) -> Iterator[Translations]:
    """Every row of every file.

    Args:
        found: the files.
        wanted: what the user says of languages and columns.
        ledger: receives counts, files with their hashes, and problems.

    Raises:
        DataError: aligned files differ in length; a table does not say its languages; in strict mode, any unusable
            file or row.
        InputError: a table has no such column.
    """
    for path in found.files:
        try:
            yield from _read_file(path, wanted, ledger)
        except (OSError, EOFError, UnicodeDecodeError, zlib.error, csv.Error) as error:
            ledger.problem(str(path), f"cannot be read: {error}")
    for aligned in found.sets:
        yield from aligned_lines(aligned, ledger)


def _kind(path: Path) -> str | None:
    """The suffix that tells the format, for all formats but text."""
    suffix = _last_suffix(path)
    packed = path.suffix.lower() in {".gz", ".zst"}
    known = _TABLES - {".parquet"} | {".tmx"} if packed else _TABLES | _CATALOGUES | {".tmx"}
    return suffix if suffix in known else None


def _plain(path: Path) -> bool:
    return _last_suffix(path) in {".txt", ".text", ""} or language_in_name(path) is not None


def _last_suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in {".gz", ".zst"}:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _read_file(path: Path, wanted: Wanted, ledger: Ledger) -> Iterator[Translations]:
    kind = _kind(path)
    if kind in _CATALOGUES and _of_another_language(language_in_folder(path), wanted):
        ledger.count("catalogues in other languages")
        return
    if not note_file(path, ledger):
        return
    if kind in _CATALOGUES:
        yield from _catalogue(path, wanted, ledger)
    elif kind == ".tmx":
        yield from _memory(path, ledger)
    elif kind == ".parquet":
        yield from parquet_translations(path, wanted, ledger)
    elif encoding := text_encoding(path, ledger):
        newline = "" if kind == ".csv" else "\n"
        with open_packed(path) as raw, io.TextIOWrapper(raw, encoding=encoding, newline=newline) as text:
            if kind in {".jsonl", ".ndjson"}:
                yield from json_translations(text, path, wanted, ledger)
            else:
                yield from table_rows(text, path, wanted, ledger, quoted=kind == ".csv")


def _memory(path: Path, ledger: Ledger) -> Iterator[Translations]:
    try:
        with open_packed(path) as file:
            for unit in read_tmx(iter(partial(file.read, 1 << 16), b"")):
                texts = dict[str, str]()
                for word, text in unit.texts.items():
                    if code := find_code(word):
                        texts.setdefault(code, text)
                    else:
                        ledger.drop("segment in a language that is not known")
                yield Translations(texts, f"{path}:{unit.line}")
    except TmxError as error:
        ledger.problem(f"{path}:{error.line}" if error.line else str(path), str(error))


def _catalogue(path: Path, wanted: Wanted, ledger: Ledger) -> Iterator[Translations]:
    try:
        catalogue = (read_mo if _kind(path) == ".mo" else read_po)(path.read_bytes())
    except CatalogueError as error:
        ledger.problem(f"{path}:{error.line}" if error.line else str(path), str(error))
        return
    for reason, count in catalogue.left_out.items():
        ledger.dropped[reason] += count
    language = _said_by(catalogue.language) or language_in_folder(path)
    if language is None and len(wanted.targets) == 1:
        language = wanted.targets[0]
    if language is None:
        ledger.problem(str(path), "does not say its language, nor does its path", fix="Name it with --to")
        return
    if _of_another_language(language, wanted):
        ledger.count("catalogues in other languages")
        return
    of_messages = _said_by(catalogue.source_language) or _language_of_messages(language, wanted)
    for entry in catalogue.entries:
        yield Translations({of_messages: entry.source, language: entry.target}, f"{path}:{entry.place}")


def language_in_folder(path: Path) -> str | None:
    """The language of a catalogue by its place: `zh_CN/LC_MESSAGES/app.mo`, `po/zh_CN.po`."""
    if path.parent.name == "LC_MESSAGES":
        return find_code(path.parent.parent.name)
    return language_in_name(path)


def _said_by(header: str | None) -> str | None:
    return find_code(header) if header else None


def _of_another_language(language: str | None, wanted: Wanted) -> bool:
    """Whether a catalogue's language is none that is wanted, where the user says which are."""
    return bool(language and wanted.targets) and matching(str(language), wanted.all) is None


def _language_of_messages(language: str, wanted: Wanted) -> str:
    """gettext takes messages for English, unless the user wants a pair of which one language is not."""
    others = [code for code in wanted.all if not matching(code, [language])]
    return others[0] if len(others) == 1 else "en"
