"""A prepared corpus with a report and samples of what was dropped, as `prepare` leaves it in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sensorium import prepare
from sensorium.data.fertility import fertility
from sensorium.data.stages import documents
from sensorium.data.statistics import Statistics

ENGLISH = [f"The cat sat on mat {number}. It was warm, and she slept until the evening." for number in range(20)]
CHINESE = [f"今天天气很好，我们去公园散步，看了{number}只鸟。" for number in range(30)]
EVIL = "<script>alert(1)</script>\x1b[31m"


def corpus_folder(folder: Path) -> Path:
    """Make one at `folder/corpus`."""
    raw, out = folder / "raw", folder / "corpus"
    raw.mkdir()
    for number, text in enumerate(ENGLISH + CHINESE):
        (raw / f"{number:02}.txt").write_text(text, encoding="utf-8")
    made = prepare(raw, out=out, tokenizer="bpe:300")
    fits = fertility(made.tokenizer, {"en": ENGLISH, "zh": CHINESE})
    (out / "report.json").write_text(json.dumps(report(raw, {code: fit.to_dict() for code, fit in fits.items()})))
    (out / "timing.json").write_text(json.dumps({"reading": 90.0, "clean": 1.25, "tokenizing": 2.0}))
    pq.write_table(dropped(), out / "dropped.parquet")
    return out


def report(raw: Path, fits: dict[str, Any]) -> dict[str, Any]:
    """As `prepare` writes it."""
    texts = [*ENGLISH, *CHINESE, "short", "short"]
    codes, sources = ["en"] * 20 + ["zh"] * 30 + ["en"] * 2, [f"{raw}/{number:02}.txt" for number in range(52)]
    batch = documents(texts, sources).append_column("language", pa.array(codes))
    batch = batch.append_column("file", pa.array([f"raw/{number:02}.txt" for number in range(52)]))
    batch = batch.append_column("licence", pa.array(["CC0"] * 50 + [None] * 2))
    before, after = Statistics.of(batch), Statistics.of(batch.slice(0, 50))
    languages = before.to_dict()["languages"]["counts"]
    stages = [
        {"name": "clean", **flow(52, 52, before, before), "counts": {"e-mail addresses masked": 7}},
        {"name": "gopher", **flow(52, 51, before, after), "dropped": {"too few words": 1}},
        {"name": "same documents", **flow(51, 50, after, after), "dropped": {"duplicate": 1}},
    ]
    return {
        "stages": stages,
        "before": before.to_dict(),
        "after": after.summary(),
        "languages": {
            code: {"documents": one["documents"], "bytes": one["bytes"], "tokens": 500}
            for code, one in languages.items()
        },
        "inputs": [{"path": "raw/00.txt", "bytes": 70, "licence": "CC0", "encoding": "utf-8"}],
        "problems": [{"where": f"{raw}/x.txt", "reason": f"not text {EVIL}"}],
        "tokenizer": {"fertility": fits},
        "clusters": [{"size": 3, "kept": f"{raw}/00.txt", "examples": [f"{raw}/90.txt", f"{raw}/91.txt"]}],
    }


def flow(came: int, left: int, before: Statistics, after: Statistics) -> dict[str, Any]:
    """What a stage took in and gave out."""
    sizes = {"bytes_in": before.bytes, "bytes_out": after.bytes}
    return {"documents_in": came, "documents_out": left, **sizes, "dropped": {}, "counts": {}}


def dropped() -> pa.Table:
    """Samples of two rules."""
    rows = [
        ("gopher", "too few words", f"too few words: {number} of 50", f"a.txt#{number}", 5, f"short {number} {EVIL}")
        for number in range(3)
    ]
    rows.append(("same documents", "duplicate", "duplicate of b.txt", "c.txt", 900, "long " * 100))
    names = ("stage", "rule", "reason", "source", "characters", "excerpt")
    return pa.table({name: [row[place] for row in rows] for place, name in enumerate(names)})
