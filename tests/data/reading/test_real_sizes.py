"""`sensorium prepare` on inputs that are large in the one way that hurts: documents of 200 MB, a million empty ones.

Each run is a command of its own, with two processes. What all of them hold in memory is sampled while it runs, and must
stay below the 2 GB that preparation promises whatever its input.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.prepare_memory import ASKED, resident
from sensorium.data.reading.documents import MAX_DOCUMENT
from sensorium.data.reading.html import MAX_PAGE
from sensorium.data.reading.tables import MAX_ROW

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SIZE = 200_000_000
OWL = "The owl number {} sat in the old oak and sang about the river until it was day again. "
SHORT = [f"A short text, number {number}, which stays as it is whatever stands beside it." for number in range(300)]


def write_long(path: Path, before: str = "", after: str = "", sentence: str = OWL) -> int:
    """A document of 200 MB without a line break; how many sentences it has."""
    size = count = 0
    with path.open("a", encoding="utf-8") as file:
        file.write(before)
        while size < SIZE:
            block = "".join(sentence.format(number) for number in range(count, count + 10_000))
            size += len(block.encode())
            count += 10_000
            file.write(block)
        file.write(after)
    return count


def rows(texts: list[str]) -> str:
    return "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)


class Run:
    """`sensorium prepare`, and the most memory that its processes had together."""

    def __init__(self, source: Path, *options: str) -> None:
        out, self.peak = source.with_name("corpus"), 0
        command = [sys.executable, "-m", "sensorium.cli.app", "prepare", str(source), "--out", str(out)]
        command += ["--workers", "2", "--tokenizer", "bpe:263", *options]
        with source.with_name("said").open("w+") as said:
            process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
            try:
                while True:
                    self.peak = max(self.peak, sum(resident(process.pid)))
                    try:
                        self.status = process.wait(0.05)
                        break
                    except subprocess.TimeoutExpired:
                        continue
            finally:
                process.kill()
            said.seek(0)
            self.said = said.read()
        print(f"{source.name} {options}: {self.peak / 1e6:.0f} MB\n{self.said}")
        assert self.peak < ASKED, self.said
        self.manifest: dict[str, Any] = json.loads((out / "manifest.json").read_text()) if not self.status else {}

    @property
    def kept(self) -> int:
        """Documents in the corpus."""
        return sum(split["documents"] for split in self.manifest["splits"].values())

    @property
    def unreadable(self) -> list[tuple[str, str]]:
        """File names, with rows, and what is wrong with them."""
        listed = self.manifest["input"]["unreadable"]
        assert self.manifest["input"]["counts"].get("problems", 0) == len(listed)
        return [(Path(problem["where"]).name, problem["reason"]) for problem in listed]


@pytest.mark.parametrize("sentence", [OWL, "夜里第{}只猫头鹰在老橡树上唱歌。"])
def test_a_row_of_200_mb_is_listed_and_the_others_are_kept(tmp_path: Path, sentence: str) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jsonl").write_text(rows(SHORT[:150]), encoding="utf-8")
    write_long(folder / "a.jsonl", '{"text": "', '"}\n' + rows(SHORT[150:]), sentence)
    run = Run(folder)
    assert run.status == 0
    assert run.unreadable == [("a.jsonl:151", f"a line of more than {MAX_ROW} characters")]
    assert (run.kept, run.manifest["dropped"]) == (300, {})
    strict = Run(folder, "--strict", "--force")
    assert strict.status == 2
    assert f"a line of more than {MAX_ROW} characters" in strict.said
    assert "Traceback" not in strict.said


def test_the_longest_rows_that_are_read_are_cut_and_kept_whole(tmp_path: Path) -> None:
    folder, kinds = tmp_path / "in", 3
    folder.mkdir()
    for kind in range(kinds):
        # Characters of the kind that takes most memory: four bytes each, of all others of the text too.
        sentence = f"An owl 🦉 of kind {kind} sang. "
        text = sentence * ((MAX_ROW - 100) // len(sentence))
        (folder / f"{kind}.jsonl").write_text(rows([text, *SHORT]), encoding="utf-8")
        with (folder / f"{kind}.csv").open("w", encoding="utf-8") as file:
            file.write(f'text\n"{text.replace("owl", "emu")}"\n')
        pq.write_table(pa.table({"text": [text.replace("owl", "jay")]}), folder / f"{kind}.parquet")
    run = Run(folder)
    assert run.status == 0
    assert run.unreadable == []
    parts = run.manifest["input"]["counts"]["documents"] - kinds * len(SHORT)
    assert 9 * MAX_ROW / MAX_DOCUMENT - 9 < parts < 18 * MAX_ROW / MAX_DOCUMENT
    # A text of so many repetitions gives parts that are the same.
    assert run.kept + run.manifest["dropped"]["duplicate"] == run.manifest["input"]["counts"]["documents"]


def test_a_column_of_texts_of_200_mb_is_read_without_them(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    long = OWL * (SIZE // len(OWL))
    table = pa.table({"text": [*SHORT[:150], long, *SHORT[150:]]})
    del long
    pq.write_table(table, folder / "a.parquet")
    with pa.ipc.new_file(folder / "b.arrow", table.schema) as out:
        out.write_table(table)
    del table
    run = Run(folder)
    assert run.status == 0
    wrong = f"a text of more than {MAX_ROW} characters"
    assert run.unreadable == [("a.parquet:151", wrong), ("b.arrow:151", wrong)]
    assert (run.kept, run.manifest["dropped"]) == (300, {"duplicate": 300})


def test_a_text_of_200_mb_without_a_line_break_is_cut_and_kept_whole(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    sentences = write_long(folder / "a.txt")
    run = Run(folder)
    assert run.status == 0
    assert run.unreadable == []
    size = (folder / "a.txt").stat().st_size
    assert run.manifest["dropped"] == {}
    assert size / MAX_DOCUMENT < run.kept < 1.01 * size / MAX_DOCUMENT
    splits = run.manifest["splits"].values()
    assert sum(split["sentences"] for split in splits) == sentences
    # All but the space at the end of each part.
    assert size - run.kept <= sum(split["bytes"] for split in splits) <= size


def test_a_page_of_200_mb_is_listed_and_the_others_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write_long(folder / "a.html", "<html><body><article><p>", "</p></article></body></html>")
    (folder / "b.jsonl").write_text(rows(SHORT), encoding="utf-8")
    run = Run(folder)
    assert run.status == 0
    assert run.unreadable == [("a.html", f"a page of more than {MAX_PAGE} bytes")]
    assert (run.kept, run.manifest["dropped"]) == (300, {})
    (folder / "b.jsonl").unlink()
    alone = Run(folder, "--force")
    assert alone.status == 2
    assert "no usable document (1 unreadable" in alone.said


def test_a_million_empty_documents_are_dropped_and_counted(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jsonl").write_text(rows(["", " \n\t "]) * 500_000 + rows(SHORT), encoding="utf-8")
    run = Run(folder)
    assert run.status == 0
    assert run.unreadable == []
    assert (run.kept, run.manifest["dropped"]) == (300, {"empty": 1_000_000})
    assert run.manifest["input"]["counts"]["documents"] == 1_000_300
    (folder / "a.jsonl").write_text(rows(["", " \n\t "]) * 500_000, encoding="utf-8")
    alone = Run(folder, "--force")
    assert alone.status == 2
    assert "no usable document (1000000 empty)" in alone.said
    assert "Traceback" not in alone.said
