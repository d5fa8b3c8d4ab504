"""Texts, and what is looked at of a corpus of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from sensorium.data.cleaning.text import Clean
from sensorium.data.dedup.exact import SameDocuments
from sensorium.data.prepare.basic import Length
from sensorium.data.shards import SPLITS, Corpus, TokenShards
from sensorium.files import file_hash

USUAL = (Clean(), Length(), SameDocuments())
SPEC = "bpe:300"
ENGLISH = [f"Ship {i} left port {i * 7 % 13}. The captain of ship {i} sang: “{i}!” It was dark." for i in range(120)]
CHINESE = [f"第{i}只船离开了港口。船长唱着歌：“{i}！”天黑了。" for i in range(120)]
TEXTS = [*ENGLISH, *CHINESE]


def jsonl(path: Path, texts: Iterable[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts), encoding="utf-8")
    return path


def files(folder: Path) -> dict[str, str]:
    """Of everything but the seconds that the run took."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "timing.json")
    return {str(path.relative_to(folder)): file_hash(path) for path in found}


def texts_of(corpus: Corpus, split: str) -> list[str]:
    shards: TokenShards = getattr(corpus, split)
    return [corpus.tokenizer.decode(shards.document(i)) for i in range(len(shards))]


def kept(corpus: Corpus) -> set[str]:
    return {text for split in SPLITS for text in texts_of(corpus, split)}
