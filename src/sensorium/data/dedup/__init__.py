"""Duplicates: equal documents, paragraphs, lines; near-duplicates; documents that hold what models are tested on.

All but `Decontaminate` are comparers: each batch of documents gives keys, the keys of all are looked at together on
disk (`buckets`, `keyfiles`, `clusters`), and each batch is then told what became of its documents.
"""

from __future__ import annotations

from sensorium.data.dedup.contaminated import Decontaminate, FindContaminated
from sensorium.data.dedup.exact import ExactDedup, SameDocuments
from sensorium.data.dedup.near import NearDuplicates
from sensorium.data.dedup.parts import SameLines, SameParagraphs

__all__ = [
    "Decontaminate",
    "ExactDedup",
    "FindContaminated",
    "NearDuplicates",
    "SameDocuments",
    "SameLines",
    "SameParagraphs",
]
