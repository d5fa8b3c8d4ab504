"""Shards: documents without tokens stand where they stood, the first and the last too."""

from __future__ import annotations

from pathlib import Path

import pytest

from sensorium.data.shards import ShardWriter, TokenShards

VOCABULARY = 100


@pytest.mark.parametrize("empty", [{0}, {0, 1}, {2}, {4}, {0, 4}, {0, 1, 2, 3, 4}, set(range(2000))])
def test_documents_without_tokens_keep_their_places(tmp_path: Path, empty: set[int]) -> None:
    given = [[] if number in empty else [[number % 90, 1], [], [2]] for number in range(max(5, len(empty)))]
    writer = ShardWriter(tmp_path / "split", VOCABULARY)
    for document in given:
        writer.add(document, 3)
    counts = writer.close()
    spoken = len(given) - len(empty)
    assert (counts["documents"], counts["sentences"], counts["tokens"]) == (len(given), 2 * spoken, 3 * spoken)
    held = TokenShards(tmp_path / "split", VOCABULARY)
    found = [[sentence.tolist() for sentence in held.sentences(number)] for number in range(len(held))]
    assert found == [[sentence for sentence in document if sentence] for document in given]
    assert held.n_bytes == 3 * len(given)


def test_a_split_without_documents_is_one_too(tmp_path: Path) -> None:
    assert ShardWriter(tmp_path / "split", VOCABULARY).close()["documents"] == 0
    assert len(TokenShards(tmp_path / "split", VOCABULARY)) == 0
