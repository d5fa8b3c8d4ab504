"""Text in older encodings is read as it was written, or told to be unreadable; it is never read as something else."""

from __future__ import annotations

import codecs
import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorium.data.reading.encoding import EncodingError, find_encoding, guess_encoding
from sensorium.data.reading.inputs import read_inputs
from sensorium.data.reading.noted import text_encoding
from sensorium.data.sample import Ledger
from sensorium.errors import InputError

# Articles 1 to 3 of the Universal Declaration of Human Rights (United Nations, 1948), shortened.
DECLARED = {
    "zh": "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。人人有资格享有"
    "本宣言所载的一切权利和自由，不分种族、肤色、性别、语言、宗教、政治或其他见解、国籍或社会出身、财产、"
    "出生或其他身份等任何区别。",
    "tw": "人人生而自由，在尊嚴和權利上一律平等。他們賦有理性和良心，並應以兄弟關係的精神相對待。人人有資格享有"
    "本宣言所載的一切權利和自由，不分種族、膚色、性別、語言、宗教、政治或其他見解、國籍或社會出身、財產、"
    "出生或其他身分等任何區別。",
    "ja": "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。人間は、理性と良"
    "心とを授けられており、互いに同胞の精神をもって行動しなければならない。すべて人は、生命、自由及び身体"
    "の安全に対する権利を有する。",
    "ko": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. 인간은 천부적으로 "
    "이성과 양심을 부여받았으며 서로 형제애의 정신으로 행동하여야 한다. 모든 사람은 생명과 신"
    "체의 자유와 안전에 대한 권리를 가진다.",
    "ru": "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом и совестью и д"
    "олжны поступать в отношении друг друга в духе братства. Каждый человек имеет право на жизнь, на свободу.",
    "el": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα. Είναι προικισμένοι με"
    " λογική και συνείδηση, και οφείλουν να συμπεριφέρονται μεταξύ τους με πνεύμα αδελφοσύνης.",
    "fr": "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison et de c"
    "onscience et doivent agir les uns envers les autres dans un esprit de fraternité. Chacun peut se prévaloi"
    "r de tous les droits et de toutes les libertés proclamés dans la présente Déclaration, sans distinction a"
    "ucune, notamment de race, de couleur, de sexe, de langue, de religion, d'opinion politique, d'origine nat"
    "ionale, de fortune, de naissance.",
    "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen begab"
    "t und sollen einander im Geiste der Brüderlichkeit begegnen. Jeder hat Anspruch auf die in dieser Erkläru"
    "ng verkündeten Rechte und Freiheiten ohne irgendeinen Unterschied, etwa nach Rasse, Hautfarbe, Geschlecht"
    ", Sprache, Religion, politischer oder sonstiger Überzeugung, nationaler oder sozialer Herkunft, Vermögen,"
    " Geburt oder sonstigem Stand.",
    "cs": "Všichni lidé rodí se svobodní a sobě rovní co do důstojnosti a práv. Jsou nadáni rozumem a svědomím a maj"
    "í spolu jednat v duchu bratrství. Každý má všechna práva a všechny svobody, stanovené touto deklarací, be"
    "z jakéhokoli rozlišování.",
}
WRITTEN = [
    ("zh", "gb18030"),
    ("zh", "gb2312"),
    ("zh", "utf-16"),
    ("zh", "utf-32"),
    ("tw", "big5"),
    ("ja", "shift_jis"),
    ("ja", "euc_jp"),
    ("ja", "iso2022_jp"),
    ("ko", "cp949"),
    ("ko", "euc_kr"),
    ("ru", "koi8-r"),
    ("ru", "cp1251"),
    ("ru", "cp866"),
    ("el", "cp1253"),
    ("fr", "latin-1"),
    ("de", "cp1252"),
    ("cs", "cp1250"),
    ("fr", "utf-8"),
    ("zh", "utf-8-sig"),
]


@pytest.mark.parametrize(("language", "encoding"), WRITTEN)
@pytest.mark.parametrize("times", [1, 20])
def test_a_text_is_read_as_it_was_written(tmp_path: Path, language: str, encoding: str, times: int) -> None:
    text = (DECLARED[language] + "\n") * times
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    ledger = Ledger(strict=True)
    assert [sample.text for sample in read_inputs([tmp_path / "a.txt"], ledger)] == [text]
    noted = str(ledger.files[0]["encoding"])
    assert text.encode(encoding).decode(noted).removeprefix("\ufeff") == text
    assert ledger.counts[f"files in {noted}"] == (noted != "UTF-8")


@pytest.mark.parametrize(("language", "encoding"), [pair for pair in WRITTEN if not pair[1].startswith("utf")])
def test_a_piece_of_a_text_is_read_rightly_or_not_at_all(language: str, encoding: str) -> None:
    right = wrong = 0
    text = DECLARED[language]
    for length in (20, 40, 80):
        for begin in range(0, len(text) - length, 7):
            data = text[begin : begin + length].encode(encoding)
            try:
                right += data.decode(find_encoding(data)) == data.decode(encoding)
            except EncodingError:
                continue
            else:
                wrong += data.decode(find_encoding(data)) != data.decode(encoding)
    assert wrong <= 0.05 * (right + wrong), (right, wrong)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_wide_characters_without_a_mark_are_told_by_their_zeros(encoding: str) -> None:
    assert find_encoding("Plain text in wide characters.\n".encode(encoding) * 3) == encoding


@given(st.binary(min_size=64, max_size=300))
def test_bytes_are_decoded_or_refused_and_nothing_else(data: bytes) -> None:
    try:
        encoding = find_encoding(data)
    except EncodingError:
        return
    data.decode(encoding)


@given(st.text(max_size=200))
def test_valid_utf8_is_utf8(text: str) -> None:
    data = text.encode()
    if "\0" not in text and "\x1b" not in text and not text.startswith("\ufeff"):
        assert find_encoding(data) == "utf-8-sig"


@pytest.mark.parametrize("cut", [1, 2])
def test_a_head_may_end_within_a_character(cut: int) -> None:
    data = (DECLARED["zh"] * 3).encode()
    assert find_encoding(data[:-cut], complete=False) == "utf-8-sig"
    with pytest.raises(EncodingError, match="not valid UTF-8 near byte"):
        find_encoding(data[:-cut])


def test_utf8_with_a_wrong_byte_is_not_taken_for_another_encoding() -> None:
    data = DECLARED["fr"].encode() + b"\xe9 et" + DECLARED["fr"].encode()
    with pytest.raises(EncodingError, match=f"not valid UTF-8 near byte {len(DECLARED['fr'].encode())}"):
        find_encoding(data)


def test_too_little_to_tell_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("schön und gut".encode("latin-1"))
    ledger = Ledger()
    assert list(read_inputs([tmp_path / "a.txt"], ledger)) == []
    assert ledger.problems[0]["reason"] == (
        "not valid UTF-8 near byte 3, perhaps cp1252: say so with --encoding cp1252"
    )


SHORT = [
    ("cp874", "สวัสดีชาวโลก"),
    ("cp874", "วันนี้อากาศดีมากเราไปเที่ยวทะเลกันเถอะ"),
    ("koi8-r", "Всем привет"),
    ("koi8-r", "братства."),
    ("koi8-r", "Москва"),
]


@pytest.mark.parametrize(("encoding", "text"), SHORT)
def test_words_that_would_be_usual_chinese_too_are_told_to_be_perhaps_either(encoding: str, text: str) -> None:
    with pytest.raises(EncodingError) as caught:
        find_encoding(text.encode(encoding))
    assert set(caught.value.candidates) == {encoding, "gb18030"}
    assert f"perhaps {' or '.join(caught.value.candidates)}" in str(caught.value)


PAIRED = [
    ("latin-1", "sää pää häät ääni lääke\n" * 10),
    ("latin-1", "La personne créée et agréée.\n" * 20),
    ("latin-1", "Füße süß Größe"),
    ("cp1251", "Доброе утро, мама!"),
    ("cp866", "Доброе утро, мама!"),
]


@pytest.mark.parametrize(("encoding", "text"), PAIRED)
def test_letters_that_stand_in_pairs_by_chance_and_are_no_usual_chinese_are_letters(encoding: str, text: str) -> None:
    data = text.encode(encoding)
    assert data.decode(find_encoding(data)) == text


CARRIER = "The museum was opened in 1925, and its name is written %s on all maps of the town. Millions see it.\n"
MIXED = [("zh", "gb18030"), ("tw", "big5"), ("ja", "shift_jis"), ("ja", "euc_jp"), ("ko", "cp949")]


def mixed(language: str, encoding: str, words: int, draw: random.Random) -> bytes:
    """English with some words of another language in it."""
    letters = re.sub(r"[\s，。、.]", "", DECLARED[language])
    places = [draw.randrange(len(letters) - 3) for _ in range(words)]
    return "".join(CARRIER % letters[at : at + draw.randint(1, 3)] for at in places).encode(encoding)


@pytest.mark.parametrize(("language", "encoding"), MIXED)
@pytest.mark.parametrize(("words", "most_wrong"), [(1, 0.08), (2, 0.1), (4, 0.04), (8, 0.02)])
def test_english_with_a_few_words_is_read_rightly_or_told_to_be_what_it_may_be(
    language: str, encoding: str, words: int, most_wrong: float
) -> None:
    draw, wrong, times = random.Random(0), 0, 200
    for _ in range(times):
        data = mixed(language, encoding, words, draw)
        try:
            wrong += data.decode(find_encoding(data)) != data.decode(encoding)
        except EncodingError as error:
            # What is refused must at least be named.
            named = any(data.decode(name, "replace") == data.decode(encoding) for name in error.candidates)
            wrong += 0 if named else times
    assert wrong <= most_wrong * times


def test_one_word_a_thousand_times_proves_no_more_than_once() -> None:
    for times in (1, 1000):
        with pytest.raises(EncodingError, match="perhaps gb18030, big5hkscs, euc_jp or cp949") as caught:
            find_encoding((CARRIER % "北京").encode("gb18030") * times)
        assert caught.value.candidates[0] == "gb18030"


def test_the_user_is_told_what_to_say_and_may_say_it(tmp_path: Path) -> None:
    text = CARRIER % "北京"
    (tmp_path / "a.txt").write_bytes(text.encode("gb18030"))
    ledger = Ledger()
    assert list(read_inputs([tmp_path / "a.txt"], ledger)) == []
    assert ledger.problems[0]["reason"].endswith(
        "perhaps gb18030, big5hkscs, euc_jp or cp949: say so with --encoding gb18030, or which of them it is"
    )
    (sample,) = read_inputs([tmp_path / "a.txt"], Ledger(strict=True), encoding="gb18030")
    assert sample.text == text


def test_the_user_may_say_it(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("schön und gut".encode("latin-1"))
    (tmp_path / "b.jsonl").write_bytes('{"text": "für alle"}'.encode("latin-1"))
    ledger = Ledger(strict=True)
    assert [s.text for s in read_inputs([tmp_path], ledger, encoding="latin1")] == ["schön und gut", "für alle"]
    for unknown in ("klingon", "hex", "utf-7"):
        with pytest.raises(InputError, match="unknown encoding"):
            list(read_inputs([tmp_path], ledger, encoding=unknown))
    (tmp_path / "c.txt").write_bytes(b"\x81\x82")
    ledger = Ledger()
    assert list(read_inputs([tmp_path / "c.txt"], ledger, encoding="ascii")) == []
    assert "not valid ASCII" in ledger.problems[0]["reason"]


def test_tables_of_labelled_data_are_decoded_likewise(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(f"text\n{DECLARED['zh']}\n".encode("gb18030"))
    assert text_encoding(tmp_path / "a.csv", Ledger(strict=True)) == "gb18030"
    (tmp_path / "b.csv").write_bytes(codecs.BOM_UTF16_LE + "a".encode("utf-16-le")[:-1])
    ledger = Ledger()
    assert text_encoding(tmp_path / "b.csv", ledger) is None
    assert "UTF-16" in ledger.problems[0]["reason"]


def test_a_guess_says_how_sure_it_is() -> None:
    guess = guess_encoding(DECLARED["zh"].encode("gb18030"))
    assert guess is not None
    assert guess.encoding == "gb18030"
    assert guess.confidence > 0.9
