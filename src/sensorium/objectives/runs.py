"""Runs of whole sentences that fill a sequence."""

from __future__ import annotations

import numpy as np

from sensorium.data.shards import TokenShards
from sensorium.objectives.objective import Ids, Units


def sentence_runs(shards: TokenShards, room: int, documents: Ids | None = None) -> Units:
    """Rows of (first token, last token + 1, document): as many whole sentences of one document as fit into `room`
    tokens; a longer sentence is cut.

    Args:
        shards: a split.
        room: the most tokens of a run.
        documents: those that are cut; all by default.
    """
    rows: list[tuple[int, int, int]] = []
    offsets = shards.sentence_offsets
    for document in range(len(shards)) if documents is None else documents.tolist():
        first, last = (int(shards.document_sentences[document + i]) for i in (0, 1))
        ends = np.asarray(offsets[first : last + 1])
        start = 0
        while start < len(ends) - 1:
            stop = int(np.searchsorted(ends, ends[start] + room, side="right")) - 1
            if stop > start:
                rows.append((int(ends[start]), int(ends[stop]), document))
            else:  # a sentence longer than the sequence is cut
                stop = start + 1
                cuts = range(int(ends[start]), int(ends[stop]), room)
                rows += [(cut, min(cut + room, int(ends[stop])), document) for cut in cuts]
            start = stop
    return np.array(rows, dtype=np.int64).reshape(-1, 3)
