"""Sentences of English and Chinese: where they end, and that nothing is lost or moved between them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.data.cleaning.text import clean
from sensorium.data.segment import sentences

WORDS = [
    "Dr.",
    "e.g.",
    "U.S.",
    "3.50",
    "I",
    "Wow",
    "said",
    "wait...",
    "他说",
    "春天",
    "来了",
    "ผมเป็นนักเรียนอยู่ที่นี่ครับ",
    "ठीक",
    "الله",
    "https://a.b/c?d",
]
MARKS = [".", "!", "?", "?!", "...", "。", "！", "？", "……", "；", "，", "।", "؟", "۔", ",", ":"]
QUOTES = ['"', "'", "“", "”", "「", "」", "（", "）", "(", ")", "»", "*"]
SPACES = ["", " ", "  ", "\n", "\n\n", "\n \n", "\u3000", "\t"]


@settings(max_examples=300)
@given(st.text(max_size=80))
def test_sentences_of_any_text_join_back_to_it(text: str) -> None:
    assert "".join(sentences(text)) == text


@settings(max_examples=500)
@given(st.lists(st.sampled_from(WORDS + MARKS + QUOTES + SPACES), max_size=40).map("".join))
def test_sentences_of_text_like_text_join_back_to_it_and_are_not_blank(text: str) -> None:
    found = sentences(text)
    assert "".join(found) == text
    assert all(piece.strip() for piece in found) or found == [text] or not found
    assert sentences(text) == found


@settings(max_examples=200)
@given(st.lists(st.sampled_from(WORDS + MARKS + QUOTES + SPACES), max_size=30).map("".join))
def test_a_sentence_begins_with_its_white_space_and_never_ends_with_it(text: str) -> None:
    found = sentences(clean(text))
    assert all(piece == piece.rstrip() for piece in found)


ENGLISH = {
    "Dr. Wu paid 3.50 to J. Smith. He left.": ["Dr. Wu paid 3.50 to J. Smith.", " He left."],
    "It rained. it did not stop.": ["It rained. it did not stop."],
    "Is it? Yes! No.": ["Is it?", " Yes!", " No."],
    'He said "Go!" and went. Then (later.) He slept.': ['He said "Go!" and went.', " Then (later.)", " He slept."],
    '"Well!" she said. “Quite.” They left.': ['"Well!" she said.', " “Quite.”", " They left."],
    "We met at 5 p.m. and ate, e.g. Bread, etc. Then we left.": [
        "We met at 5 p.m. and ate, e.g. Bread, etc.",
        " Then we left.",
    ],
    "Wait... What? See a.b.c and www.example.org. End": [
        "Wait...",
        " What?",
        " See a.b.c and www.example.org.",
        " End",
    ],
    "A line\nthat wraps. A heading\n\nA paragraph": ["A line\nthat wraps.", " A heading", "\n\nA paragraph"],
    "So do I. You too.": ["So do I.", " You too."],
}
CHINESE = {
    "春天来了。花开了！鸟呢？": ["春天来了。", "花开了！", "鸟呢？"],
    "他说：“走吧。”我们走了。": ["他说：“走吧。”", "我们走了。"],
    "真的？！是的……好；行": ["真的？！", "是的……", "好；", "行"],
    "（他来了。）她走了。": ["（他来了。）", "她走了。"],
    "价格是3.5元，不贵。": ["价格是3.5元，不贵。"],
    "他用Python写的. 很好。OK. 再见": ["他用Python写的.", " 很好。", "OK.", " 再见"],
}
OTHERS = {
    "私は学生です。元気ですか？はい！「本当。」と言った。": [
        "私は学生です。",
        "元気ですか？",
        "はい！",
        "「本当。」",
        "と言った。",
    ],
    "कैसे हो? मैं ठीक हूँ। तुम कैसे हो॥": ["कैसे हो?", " मैं ठीक हूँ।", " तुम कैसे हो॥"],
    "كيف حالك؟ أنا بخير. شكرا!": ["كيف حالك؟", " أنا بخير.", " شكرا!"],
    "آپ کیسے ہیں؟ میں ٹھیک ہوں۔ شکریہ۔": ["آپ کیسے ہیں؟", " میں ٹھیک ہوں۔", " شکریہ۔"],
    "ሰላም ነው። እንዴት ነህ፧ ደህና።": ["ሰላም ነው።", " እንዴት ነህ፧", " ደህና።"],
    "¿Qué tal? ¡Bien! El Sr. Ruiz vino.": ["¿Qué tal?", " ¡Bien!", " El Sr. Ruiz vino."],
    "Он пришёл. А она? Нет!": ["Он пришёл.", " А она?", " Нет!"],
    "Das ist z.B. Kunst, vgl. Abb. Hier. Ende.": ["Das ist z.B. Kunst, vgl. Abb.", " Hier.", " Ende."],
    "สวัสดีครับผมชื่อสมชายและผมเป็นนักเรียน วันนี้อากาศดีมาก": ["สวัสดีครับผมชื่อสมชายและผมเป็นนักเรียน", " วันนี้อากาศดีมาก"],
    "안녕하세요. 잘 지내요? 네!": ["안녕하세요.", " 잘 지내요?", " 네!"],
}


@pytest.mark.parametrize("text", ENGLISH | CHINESE | OTHERS)
def test_a_sentence_ends_where_a_reader_says(text: str) -> None:
    assert sentences(text) == (ENGLISH | CHINESE | OTHERS)[text]


def test_a_german_ordinal_ends_nothing_where_the_language_is_known() -> None:
    text = "Am 3. Oktober war ein Fest. Es kamen 300. Alle lachten."
    assert sentences(text, "de") == ["Am 3. Oktober war ein Fest.", " Es kamen 300.", " Alle lachten."]
    assert sentences(text, "de-AT") == sentences(text, "de")
    assert len(sentences(text)) == 4


def test_an_empty_text_has_no_sentence_and_a_blank_one_is_kept() -> None:
    assert sentences("") == []
    assert "".join(sentences(" \n ")) == " \n "


def test_a_million_blank_lines_take_no_longer_than_their_number() -> None:
    # Looked at anew for each, they would take hours.
    lines = "\n" * 1_000_000
    assert sentences(lines) == [lines]
    assert sentences(f"One.{lines}Two.") == ["One.", f"{lines}Two."]
