"""Glossaries are read from tables and JSON; what is wrong in one is told by its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from sensorium.errors import DataError
from sensorium.tasks.glossary_file import read_glossary


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tsv", "# term\tsaid\nfile\tFichier\n\nsave, as\tsous\n"),
        ("a.csv", '\ufefffile,Fichier\n"save, as",sous\n'),
        ("a.json", '\ufeff{"file": "Fichier", "save, as": "sous"}'),
    ],
)
def test_each_format_says_the_same(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert read_glossary(tmp_path / name) == {"file": "Fichier", "save, as": "sous"}


def test_a_cell_may_be_longer_than_the_standard_library_allows(tmp_path: Path) -> None:
    (tmp_path / "long.csv").write_text(f"file,{'x' * 140_000}\n")
    assert read_glossary(tmp_path / "long.csv") == {"file": "x" * 140_000}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("file\tFichier\nfile\tDossier\n", "line 2: 'file' has two translations"),
        ("file\t\n", "line 1: 'file' has no translation"),
        ("\tFichier\n", "line 1: the translation 'Fichier' has no term"),
        ("file\n", "line 1: has 1 column, where"),
    ],
)
def test_a_line_that_is_no_term_and_translation_is_named(content: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(content)
    with pytest.raises(DataError, match=problem):
        read_glossary(tmp_path / "a.tsv")
