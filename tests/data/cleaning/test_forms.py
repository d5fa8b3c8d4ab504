"""Width, and the two forms of Chinese."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.data.cleaning.chinese import Chinese, convert, form_of
from sensorium.data.cleaning.width import Width, fold_width
from sensorium.data.stages import Mapper, documents
from sensorium.errors import InputError


def test_letters_and_digits_become_half_width_and_chinese_marks_stay() -> None:
    assert fold_width("ＡＢＣ１２３，你好！（ｘ）") == "ABC123，你好！（x）"
    assert fold_width("ＡＢＣ１２３，你好！（ｘ）\u3000￥", marks=True) == "ABC123,你好!(x) ¥"
    assert fold_width("ｶﾞｷﾞ ﾊﾟｿｺﾝ｡") == "ガギ パソコン。"
    assert fold_width("plain") == "plain"


@settings(max_examples=300)
@given(
    st.text(alphabet=st.characters(min_codepoint=0xFF01, max_codepoint=0xFFEE, exclude_characters="￣"), max_size=20)
)
def test_all_widths_are_folded_as_unicode_folds_them(text: str) -> None:
    assert fold_width(text, marks=True) == unicodedata.normalize("NFKC", text)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("漢字與電腦", "traditional"),
        ("汉字与电脑", "simplified"),
        ("中文", None),
        ("English", None),
        ("他说：臺灣的軟體發展，歷史很長", "traditional"),
        ("北京时间，发表于开头", "simplified"),
    ],
)
def test_the_form_of_chinese_is_told_by_its_characters(text: str, form: str | None) -> None:
    assert form_of(text) == form


def test_chinese_is_converted_by_phrases_and_japanese_is_left() -> None:
    assert convert("頭髮與發展，乾燥與乾隆", "simplified") == "头发与发展，干燥与乾隆"
    assert convert("头发与发展", "traditional") == "頭髮與發展"
    assert convert("里面有软件", "taiwan") == "裡面有軟件"
    assert convert("里面有软件", "hongkong") == "裏面有軟件"
    assert convert("東京の漢字を読む", "simplified") == "東京の漢字を読む"
    assert convert("no Chinese", "simplified") == "no Chinese"
    with pytest.raises(InputError, match="unknown form of Chinese 'simple'"):
        Chinese(to="simple")


def test_stages_count_the_texts_that_they_changed() -> None:
    batch = documents(["ＡＢ漢", "中文", "x"], ["1", "2", "3"])
    for stage in (Width(), Chinese()):
        assert isinstance(stage, Mapper)
    assert Width().map(batch).batch.column("text").to_pylist() == ["AB漢", "中文", "x"]
    assert Width().map(batch).counts == {"widths folded": 1}
    assert Chinese().map(batch).batch.column("text").to_pylist() == ["ＡＢ汉", "中文", "x"]
    assert Chinese(to="simplified").map(batch).counts == {"texts turned into simplified Chinese": 1}
    assert Chinese().map(batch.slice(1)).batch.equals(batch.slice(1))
