"""Pieces hold every token once as a target, each after the token that stands before it; blocks hold every document."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorium.data.loading import blocks as module
from sensorium.data.loading.blocks import Blocks
from sensorium.data.loading.pieces import Pieces

BOS, EOS = 1, 2


def plain(document: list[int], seq_len: int) -> list[tuple[list[int], list[int]]]:
    """Inputs and targets of a document's pieces, cut as one would by hand."""
    whole = [BOS, *document, EOS]
    steps = range(0, len(whole) - 1, seq_len)
    return [(whole[i : i + seq_len + 1][:-1], whole[i + 1 : i + seq_len + 1]) for i in steps]


@pytest.mark.parametrize("shard_tokens", [None, 3000])
@pytest.mark.parametrize("seq_len", [1, 32, 5000])
def test_pieces_are_what_cutting_by_hand_gives(seq_len: int, shard_tokens: int | None, make, lengths) -> None:
    lengths = lengths[:60] if seq_len == 1 else lengths
    shards = make(lengths, shard_tokens=shard_tokens)
    pieces = Pieces(shards, seq_len=seq_len, bos=BOS, eos=EOS)
    units = pieces.units(np.arange(len(shards)))
    expected = [piece for i in range(len(shards)) for piece in plain(shards.document(i).tolist(), seq_len)]
    order = np.random.default_rng(0).permutation(len(units))
    read = pieces.read(units[order])
    assert read.lengths.tolist() == [len(expected[i][0]) for i in order]
    assert read.ids.tolist() == [token for i in order for token in expected[i][0]]
    assert read.targets.tolist() == [token for i in order for token in expected[i][1]]
    assert pieces.read(units[:0]).lengths.tolist() == []


def test_a_part_of_the_documents_is_cut_as_all_are(make, lengths) -> None:
    shards = make(lengths)
    pieces = Pieces(shards, seq_len=32, bos=BOS, eos=EOS)
    whole, some = pieces.units(np.arange(len(shards))), pieces.units(np.array([3, 9, 200]))
    assert np.array_equal(some, whole[np.isin(whole[:, 0], [3, 9, 200])])


@given(st.integers(1, 5000), st.integers(0, 10**6), st.integers(0, 3))
def test_blocks_hold_every_document_once_and_are_alike_in_size(documents: int, tokens: int, epoch: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TOKENS", 50_000)
        patch.setattr(module, "MOST_DOCUMENTS", 512)
        blocks = Blocks(documents=documents, tokens=tokens, seed=3)
        members = [blocks.members(epoch, block) for block in range(blocks.count)]
    sizes = [len(block) for block in members]
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= 512
    assert np.array_equal(np.sort(np.concatenate(members)), np.arange(documents))
    assert all(np.array_equal(np.sort(block), block) for block in members)
