"""Words of a text, words put back into one, frames of special tokens, and what is held out."""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer as Backend
from tokenizers import models, pre_tokenizers, processors

from sensorium.data.labelled.split import held_out
from sensorium.data.labelled.words import pieces, spaced, words_of
from sensorium.data.tokens.frame import Frame, shorten
from sensorium.data.tokens.tokenizer import Tokenizer
from tests.objectives.heads import tokenizer


def test_words_are_found_with_their_places() -> None:
    text = "Mr. O'Neil's U.S. call,  (don't) 1,000.5% 中国。"
    words = words_of(text)
    assert [w.text for w in words] == [
        "Mr", ".", "O'Neil's", "U.S.", "call", ",", "(", "don't", ")", "1,000.5", "%", "中", "国", "。",
    ]  # fmt: skip
    assert all(text[w.start : w.end] == w.text for w in words)
    assert pieces(text, words)[:3] == ["Mr", ".", " O'Neil's"]
    assert words_of(" \n ") == []


def test_words_without_a_text_stand_as_they_would_in_one() -> None:
    words = ["He", "does", "n't", "say", "(", "it", ")", ",", "'s", "fine", "."]
    assert "".join(spaced(words)) == "He doesn't say (it),'s fine."
    assert "".join(spaced([*"中国。", "in", "北"])) == "中国。 in 北"


CUTS = [((3, 4), 9), ((9, 1), 5), ((1, 9), 5), ((9, 9), 6), ((8,), 5), ((9, 9), 7)]


@pytest.mark.parametrize(("lengths", "room"), CUTS)
def test_the_longer_text_gives_first(lengths: tuple[int, ...], room: int) -> None:
    kept = shorten(lengths, room)
    assert sum(kept) == min(room, sum(lengths))
    assert all(0 <= keep <= length for keep, length in zip(kept, lengths, strict=True))
    if len(kept) == 2 and sum(lengths) > room:
        assert abs(kept[0] - kept[1]) <= 1 or min(kept) == min(lengths)


def test_a_frame_is_what_the_tokenizer_itself_puts_around_texts() -> None:
    ours = tokenizer()
    one, two = ours.encode_raw(["Anna lives", "in Paris"])
    ids, types = Frame.pair(ours).around(np.array(one), np.array(two))
    expected = ours.encoding("Anna lives", "in Paris")
    assert ids.tolist() == expected.ids
    assert types.tolist() == expected.type_ids
    assert Frame.single(ours).around(np.array(one))[0].tolist() == ours.encode("Anna lives")
    assert Frame.pair(ours).size == 3


def test_robertas_frame_has_two_ends_between() -> None:
    backend = Backend(
        models.WordLevel({"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "a": 4, "b": 5}, unk_token="<unk>")
    )
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    frame = Frame.pair(Tokenizer(backend, {"cls": "<s>", "sep": "</s>"}))
    assert frame.around(np.array([4]), np.array([5, 5]))[0].tolist() == [0, 4, 2, 2, 5, 5, 2]


def test_what_is_held_out_goes_by_the_key_alone() -> None:
    keys = [f"text {i % 50}" for i in range(400)]
    held = held_out(keys, 0.2)
    assert 0 < held.sum() < 200
    assert not {k for k, out in zip(keys, held, strict=True) if out} & {
        k for k, out in zip(keys, held, strict=True) if not out
    }
    again = held_out(keys[100:200], 0.2)
    assert again.tolist() == held[100:200].tolist()
    assert not held_out(["a"] * 9, 0.5).any()
    assert not held_out(keys, 0.0).any()
    for share in (1e-9, 1 - 1e-9):
        assert 0 < held_out(["a", "b", "c"], share).sum() < 3
