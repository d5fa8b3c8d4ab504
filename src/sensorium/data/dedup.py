"""Exact deduplication: a document is dropped if an equal one, up to case and white space, was seen before."""

from __future__ import annotations

import xxhash


class ExactDedup:
    """Remembers 128-bit hashes: 16 bytes a document, and no false match to be expected below 10¹⁸ documents."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def is_new(self, text: str) -> bool:
        """True the first time that a text comes by."""
        folded = " ".join(text.casefold().split())
        digest = xxhash.xxh3_128_digest(folded.encode("utf-8", "surrogatepass"))
        if digest in self._seen:
            return False
        self._seen.add(digest)
        return True
