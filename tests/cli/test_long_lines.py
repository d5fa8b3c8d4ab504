"""One line of 50 MB, or of one endless word, takes time by its length and memory that does not grow with it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from sensorium.data.cleaning.text import clean
from sensorium.data.segment import sentences
from sensorium.data.tokens.train import parse_spec, train_tokenizer

MEGABYTE = 1_000_000
LETTERS = "".join(random.Random(0).choices("abcdefghijklmnopqrstuvwxyz", k=MEGABYTE))


@pytest.mark.parametrize("marks", [".", ".!", '."', "。", "\n"])
def test_a_run_of_marks_takes_time_by_its_length(marks: str) -> None:
    text = marks * 300_000
    assert "".join(sentences(text)) == text


@pytest.mark.parametrize("broken", ["Ã¶", "e\u0301", " ", "\n \n", "\u200b"])
def test_a_run_of_repairs_takes_time_by_its_length(broken: str) -> None:
    text = broken * 100_000
    assert len(clean(text)) < len(text)


@pytest.mark.parametrize("algorithm", ["bpe", "wordpiece"])
def test_a_tokenizer_learns_from_a_word_of_a_megabyte(algorithm: str) -> None:
    tokenizer = train_tokenizer(lambda: iter([LETTERS]), parse_spec(f"{algorithm}:600"))
    assert tokenizer.vocab_size == 600


@pytest.mark.slow
def test_a_line_of_50_megabytes_is_prepared_in_bounded_memory(tmp_path: Path) -> None:
    draw = random.Random(1)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randrange(2, 9))) for _ in range(5000)]
    with (tmp_path / "line.txt").open("w") as file:
        for _ in range(100):
            file.write(" ".join(draw.choices(words, k=83_000)) + " ")
    assert (tmp_path / "line.txt").stat().st_size > 45 * MEGABYTE
    command = [sys.executable, "-m", "sensorium.cli.app", "prepare", "line.txt", "--out", "corpus"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, process.communicate()
    manifest = json.loads((tmp_path / "corpus" / "manifest.json").read_text())
    assert sum(split["documents"] for split in manifest["splits"].values()) > 450
    assert usage.ru_maxrss < 4_000_000  # kilobytes; most of it is the tokenizer's training
