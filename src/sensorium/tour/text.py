"""The text of a tour: prepare it, and say where it comes from and under which licence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sensorium.data.prepare.prepare import prepare
from sensorium.errors import InputError
from sensorium.reports.blocks import Block, Fact, Facts, Table, Text
from sensorium.tour.trip import Trip

_FILE = re.compile(r"`([^`]+)`")


class Sources(NamedTuple):
    """The table of a SOURCES.md, whose first column names the files."""

    head: list[str]
    rows: list[list[str]]
    files: list[Path]


def read_sources(folder: Path) -> Sources:
    """Which files a folder of text holds and where they come from.

    Raises:
        InputError: there is no SOURCES.md, it has no table, or a file that it names is missing.
    """
    path = folder / "SOURCES.md"
    if not path.is_file():
        raise InputError("no such file", where=str(path), fix="List the files with their licences in a table there")
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    rows = [row for row in cells[2:] if _FILE.match(row[0])]
    if not rows:
        raise InputError("holds no table of files", where=str(path), fix="Give each file a row: | `name` | ... |")
    files = [folder / _FILE.findall(row[0])[0] for row in rows]
    for file in files:
        if not file.is_file():
            raise InputError(f"names {file.name}, which is not there", where=str(path), fix="Install the package anew")
    return Sources(cells[0], rows, files)


def prepare_text(trip: Trip) -> Sequence[Block]:
    """Raw files to a corpus of tokens."""
    sources = read_sources(trip.plan.corpus)
    prepare(
        sources.files,
        out=trip.folder / "corpus",
        tokenizer=trip.plan.tokenizer,
        validation=trip.plan.validation,
        show_progress=trip.show_progress,
    )
    manifest = trip.corpus.manifest
    splits, tokens = manifest["splits"], manifest["tokenizer"]
    trip.numbers["train_tokens"] = splits["train"]["tokens"]
    return [
        Text(
            "`sensorium prepare` repaired and normalised the text, dropped repeated documents, trained a tokenizer on "
            "it (byte-level BPE), cut it into sentences and wrote the tokens to memory-mapped files. A hash of each "
            "document decides whether it is trained on or held out; everything measured below is measured on the "
            "held-out documents."
        ),
        Facts(
            [
                Fact(
                    "trained on",
                    f"{splits['train']['tokens']:,}",
                    f"tokens in {splits['train']['documents']:,} documents",
                ),
                Fact(
                    "held out",
                    f"{splits['validation']['tokens']:,}",
                    f"tokens in {splits['validation']['documents']:,} documents",
                ),
                Fact(
                    "vocabulary",
                    f"{tokens['vocab_size']:,}",
                    f"tokens of {tokens['bytes_per_token']:.2f} bytes on average",
                ),
            ]
        ),
        Table(sources.head, sources.rows, caption="Sources and licences"),
    ]
