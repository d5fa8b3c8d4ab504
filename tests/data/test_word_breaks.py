"""Words of a text: Unicode's boundaries, as the regex module knows them, and Chinese by a dictionary."""

from __future__ import annotations

import pytest
import regex
import rjieba
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.data import words as module
from sensorium.data.words import words
from sensorium.errors import CapabilityError, InputError

BOUNDARY = regex.compile(r"\b", flags=regex.WORD | regex.V1)
SAYS = regex.compile(r"[\p{L}\p{N}\p{M}_]")


def reference(text: str) -> list[str]:
    return [piece for piece in BOUNDARY.split(text) if SAYS.match(piece)]


TEXTS = {
    "Don't pay $3.14 or 1,000, e.g. at 5 p.m.!": ["Don't", "pay", "3.14", "or", "1,000", "e.g", "at", "5", "p.m"],
    "L’été, c’est bien: naïve cafés": ["L’été", "c’est", "bien", "naïve", "cafés"],
    "Привет, мир! Ελλάδα 한국어 단어": ["Привет", "мир", "Ελλάδα", "한국어", "단어"],
    "यह हिन्दी है। مرحبا بالعالم": ["यह", "हिन्दी", "है", "مرحبا", "بالعالم"],
    "user_name a_b x.com 😀": ["user_name", "a_b", "x.com"],
    "我爱北京天安门，Python3很好用": ["我", "爱", "北京", "天安门", "Python3", "很", "好", "用"],
    "小明硕士毕业于中国科学院": ["小明", "硕士", "毕业", "于", "中国科学院"],
    "": [],
    " ,.!，。": [],
}


@pytest.mark.parametrize("text", TEXTS)
def test_words_are_what_a_reader_calls_so(text: str) -> None:
    assert words(text) == TEXTS[text]


@settings(max_examples=500)
@given(st.text(alphabet="aZé9_ .,'’:;-\n\u0301ñжΩ한गिใก😀", max_size=30))
def test_words_are_unicodes(text: str) -> None:
    assert words(text) == reference(text)


@settings(max_examples=200)
@given(st.text(max_size=40))
def test_words_stand_in_the_text_in_order(text: str) -> None:
    place = 0
    for word in words(text):
        place = text.index(word, place) + len(word)
        assert not word.isspace()


def test_chinese_is_cut_as_jieba_cuts_it_or_into_characters() -> None:
    text = "研究生命的起源"
    assert words(text) == words(text, "zh") == rjieba.cut(text) == words(text, chinese="dictionary")
    assert words(text, chinese="characters") == list(text)
    assert words("日本語の本", "ja") == list("日本語の本")
    with pytest.raises(InputError, match="unknown way to cut Chinese"):
        words(text, chinese="words")


def test_without_the_dictionary_chinese_is_cut_into_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "rjieba", None)
    module._cutter.cache_clear()
    try:
        assert words("北京hello") == ["北", "京", "hello"]
        with pytest.raises(CapabilityError, match=r"sensorium\[zh\]"):
            words("北京", chinese="dictionary")
    finally:
        module._cutter.cache_clear()
