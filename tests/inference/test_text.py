"""Streamed text: whole characters, whole words, nothing of a stop string."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers

from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import InputError
from sensorium.inference.text import StopStrings, TextStream
from tests.inference.mock import byte_tokenizer

TOKENIZER = byte_tokenizer()


def pieces_of(tokenizer: Tokenizer, ids: list[int], prompt: list[int] = []) -> list[str]:  # noqa: B006
    stream = TextStream(tokenizer, prompt)
    return [*(stream.push(id) for id in ids), stream.flush()]


@settings(max_examples=60)
@given(st.text(max_size=30), st.text(max_size=8))
def test_pieces_join_to_the_text_and_never_hold_half_a_character(text: str, prompt: str) -> None:
    text = text.encode("utf-8", "replace").decode().replace("\ufffd", "?")
    pieces = pieces_of(TOKENIZER, TOKENIZER.encode(text), TOKENIZER.encode(prompt))
    assert "".join(pieces) == text
    assert not any("\ufffd" in piece for piece in pieces)


def test_chinese_comes_one_character_at_a_time() -> None:
    assert [piece for piece in pieces_of(TOKENIZER, TOKENIZER.encode("春眠🌸")) if piece] == ["春", "眠", "🌸"]


@settings(max_examples=60)
@given(st.binary(max_size=30))
def test_invalid_bytes_give_what_decoding_all_at_once_gives(data: bytes) -> None:
    letters = {byte: letter for letter, byte in _byte_letters().items()}
    ids = [TOKENIZER.id(letters[byte]) for byte in data]
    assert "".join(pieces_of(TOKENIZER, ids)) == TOKENIZER.decode(ids)


def _byte_letters() -> dict[str, int]:
    from sensorium.data.tokens.tokenizer import BYTES

    return BYTES


def test_wordpiece_and_sentencepiece_keep_their_spaces() -> None:
    words = {"[UNK]": 0, "the": 1, "door": 2, "##s": 3, "opens": 4}
    wordpiece = Backend(models.WordPiece(words, unk_token="[UNK]"))
    wordpiece.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    wordpiece.decoder = decoders.WordPiece()
    tokenizer = Tokenizer(wordpiece, {"unk": "[UNK]"})
    assert pieces_of(tokenizer, [2, 3, 4, 1, 2] * 4, [1])[:3] == [" door", "s", " opens"]
    assert "".join(pieces_of(tokenizer, [1, 2, 3, 4])) == "the doors opens"
    pieces = {"▁the": 0, "▁door": 1, "s": 2}
    sentencepiece = Backend(models.BPE(pieces, []))
    sentencepiece.decoder = decoders.Metaspace()
    tokenizer = Tokenizer(sentencepiece, {})
    assert pieces_of(tokenizer, [1, 2], [0]) == [" door", "s", ""]
    assert pieces_of(tokenizer, [0, 1, 2]) == ["the", " door", "s", ""]


@settings(max_examples=200)
@given(
    st.text("ab春", max_size=20),
    st.lists(st.text("ab春", min_size=1, max_size=4), max_size=3),
    st.lists(st.integers(1, 5), max_size=20),
)
def test_the_text_ends_before_the_first_completed_stop_string(text: str, stops: list[str], cuts: list[int]) -> None:
    matcher, out, rest = StopStrings(stops), "", text
    for size in [*cuts, *[1] * len(text)]:
        if matcher.found or not rest:
            break
        out += matcher.push(rest[:size])
        rest = rest[size:]
        assert text.startswith(out)
    if not matcher.found:
        out += matcher.flush()
    ends = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    assert out == (text[: min(ends)[1]] if ends else text)
    assert matcher.found == bool(ends)


def test_nothing_is_held_longer_than_it_could_be_a_stop_string() -> None:
    matcher = StopStrings(["\n\n"])
    assert [matcher.push(text) for text in ("a\n", "b", "\n", "\nc")] == ["a", "\nb", "", ""]
    assert matcher.found


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(InputError, match="empty"):
        StopStrings(["a", ""])
