"""Sentences of whole documents that byte-level BPE has made into tokens, by counting bytes.

The `tokenizers` library takes longer for ten short texts than for one that is as long. With byte-level BPE (Radford et
al. 2019) and no normaliser, the tokens of a text are its bytes, each written as one letter, so that the lengths of
tokens tell where in the text each of them ends.

Why the tokens are those of the sentences alone. Where a sentence ends between two tokens, no merge went over that
place, hence the merges on both sides were chosen as if the other side were not there (Sennrich et al. 2016: the next
merge is the one of lowest rank anywhere, and merges on one side of a place do not change the pairs on the other). The
expression that cuts texts into words before that looks ahead only at white space, which belongs to the sentence that it
precedes. Where a sentence ends within a token, the document is made into tokens sentence by sentence.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensorium.data.tokens.tokenizer import Tokenizer

Lengths = NDArray[np.int64]


def token_bytes(tokenizer: Tokenizer) -> Lengths | None:
    """How many bytes each token stands for; None where tokens are not plainly the bytes of the text."""
    state: dict[str, Any] = json.loads(tokenizer.backend.to_str())
    cut = state["pre_tokenizer"] or {}
    plain = (
        state["model"]["type"] == "BPE"
        and not state["normalizer"]
        and cut.get("type") == "ByteLevel"
        and cut.get("use_regex", True)
        and not cut.get("add_prefix_space")
        and not any(state["model"].get(key) for key in ("dropout", "unk_token", "continuing_subword_prefix"))
        and all(token["special"] for token in state["added_tokens"])  # others are found before the words are
    )
    if not plain:
        return None
    lengths = np.zeros(tokenizer.vocab_size, np.int64)
    for token, number in state["model"]["vocab"].items():
        lengths[number] = len(token)
    return lengths


def by_sentence(ids: Sequence[int], sentences: Sequence[str], lengths: Lengths) -> Lengths | None:
    """How many tokens each sentence of a document has.

    Args:
        ids: of the document.
        sentences: its sentences, which are the document if joined.
        lengths: of tokens, as `token_bytes` gives them.

    Returns:
        None where a sentence ends within a token.
    """
    ends = np.cumsum(lengths[np.asarray(ids, dtype=np.int64)])
    wanted = np.cumsum([len(piece) if piece.isascii() else len(piece.encode()) for piece in sentences])
    places = np.searchsorted(ends, wanted)
    if not len(ends) or int(places[-1]) >= len(ends) or (ends[places] != wanted).any() or ends[-1] != wanted[-1]:
        return None
    return np.diff(places + 1, prepend=0)
