"""The decisions of datatrove about texts of our own making (`datatrove.json` says by which version and settings)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sensorium.data.quality.c4 import C4Documents, C4Lines
from sensorium.data.quality.fineweb import FineWeb
from sensorium.data.quality.gopher import Gopher
from sensorium.data.quality.together import Together

PEER = json.loads(Path(__file__).with_name("datatrove.json").read_text(encoding="utf-8"))
UNLIKE = {
    ("gopher", "citations"),  # `years.[3]` is one word to spaCy
    ("fineweb", "quotes"),  # a line that ends in `."` ends as a sentence does
    ("fineweb", "ellipses"),  # white space after the last mark of a line is no part of it
    ("fineweb", "one character ellipses"),
}
"""Where we mean to decide otherwise."""


def batch_of(language: str, code: str) -> tuple[list[dict[str, Any]], pa.RecordBatch]:
    rows = PEER[language]
    return rows, pa.record_batch({"text": [row["text"] for row in rows], "language": [code] * len(rows)})


@pytest.mark.parametrize(("language", "code"), [("english", "en"), ("chinese", "zh-Hans")])
def test_documents_are_dropped_that_datatrove_drops(language: str, code: str) -> None:
    rows, batch = batch_of(language, code)
    for stage, peers in ((Gopher(), ("gopher quality", "gopher repetition")), (FineWeb(), ("fineweb",))):
        reasons = stage.judge(batch).to_pylist()
        unlike = {
            (stage.name, row["what"])
            for row, reason in zip(rows, reasons, strict=True)
            if (reason is None) != (not any(row["dropped"][peer] for peer in peers))
        }
        assert unlike <= UNLIKE, (unlike - UNLIKE, reasons)


def test_lines_and_documents_go_that_datatrove_takes_out_by_the_rules_of_c4() -> None:
    rows, batch = batch_of("english", "en")
    left = C4Lines().map(batch).batch
    reasons = C4Documents().judge(left).to_pylist()
    for row, reason, text in zip(rows, reasons, left.column("text").to_pylist(), strict=True):
        assert (reason is None) == (row["dropped"]["c4"] is None), row["what"]
        if reason is None:
            assert text == row["c4 text"], row["what"]


def test_scripts_tell_what_the_column_of_languages_says() -> None:
    for language, code in (("english", "en"), ("chinese", "zh")):
        _, batch = batch_of(language, code)
        for stage in (Gopher(), FineWeb()):
            assert stage.judge(batch.select(["text"])).equals(stage.judge(batch))


def test_filters_decide_together_as_one_after_the_other() -> None:
    _, batch = batch_of("english", "en")
    apart = [stage.judge(batch).to_pylist() for stage in (Gopher(), FineWeb(), C4Documents())]
    together = Together((Gopher(), FineWeb(), C4Documents())).judge(batch).to_pylist()
    assert together == [next((reason for reason in three if reason), None) for three in zip(*apart, strict=True)]


def test_a_document_is_judged_alike_in_any_batch() -> None:
    rows = [*PEER["english"], *PEER["chinese"]]
    batch = pa.record_batch({"text": [row["text"] for row in rows]})
    stage = Together((Gopher(), FineWeb(), C4Documents()))
    together = stage.judge(batch).to_pylist()
    assert together == [stage.judge(batch.slice(place, 1))[0].as_py() for place in range(len(rows))]
    lines = C4Lines().map(batch).batch["text"].to_pylist()
    assert lines[3:5] == C4Lines().map(batch.slice(3, 2)).batch["text"].to_pylist()
