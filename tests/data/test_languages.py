"""Codes in every spelling, and which language a text can be in."""

from __future__ import annotations

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from sensorium.data.codes import LANGUAGES, base, find_code, language_code, matching
from sensorium.data.language import is_in, script
from sensorium.errors import InputError


@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("en", "en"), ("EN", "en"), ("English", "en"), (" eng ", "en"), ("zh_CN", "zh-CN"), ("zh-cn.UTF-8", "zh-CN"),
        ("zh_Hans", "zh-Hans"), ("zho", "zh"), ("cmn", "zh"), ("中文", "zh"), ("pt-br", "pt-BR"),
        ("sr@latin", "sr-Latn"), ("es-419", "es-419"), ("zz", None), ("", None), ("en-", None), ("text", None),
        ("en_x_y", None),
    ],
)  # fmt: skip
def test_a_word_spells_a_code(word: str, code: str | None) -> None:
    assert find_code(word) == code


def test_an_unknown_code_is_named_with_all_that_are_known() -> None:
    with pytest.raises(InputError, match=r"unknown language 'enx'; did you mean '\w+'\? \(known: af, am, .*zh, zu\)"):
        language_code("enx")


def test_every_language_has_a_script_and_no_spelling_is_of_two() -> None:
    for code, language in LANGUAGES.items():
        assert language.scripts
        for word in (code, *language.aliases, language.name, f"{code}-XX"):
            assert base(str(find_code(word))) == code


@pytest.mark.parametrize(
    ("code", "present", "found"),
    [
        ("zh", ["en", "zh-CN", "zh-TW"], "zh-CN"), ("zh-TW", ["zh-CN", "zh-TW"], "zh-TW"), ("zh-CN", ["zh"], "zh"),
        ("zh-CN", ["zh-TW"], None), ("zh", ["en"], None), ("en", ["en-US", "en"], "en"), ("e", ["en"], None),
    ],
)  # fmt: skip
def test_a_code_stands_for_what_is_more_narrowly_put(code: str, present: list[str], found: str | None) -> None:
    assert matching(code, present) == found


SENTENCES = {
    "en": "The file that you have opened cannot be saved with this name.",
    "fr": "Le fichier que vous avez ouvert ne peut pas être enregistré sous ce nom.",
    "de": "Die Datei, die Sie geöffnet haben, kann nicht unter diesem Namen gespeichert werden.",
    "es": "El archivo que ha abierto no se puede guardar con este nombre, pero sí con otro.",
    "it": "Il file che hai aperto non può essere salvato con questo nome, ma con un altro.",
    "pt": "O arquivo que você abriu não pode ser salvo com este nome, mas com outro.",
    "nl": "Het bestand dat u hebt geopend kan niet met deze naam worden opgeslagen.",
    "zh": "您打开的文件不能以此名称保存。",
    "ja": "開いたファイルはこの名前では保存できません。",
    "ru": "Открытый файл нельзя сохранить под этим именем.",
    "ko": "연 파일은 이 이름으로 저장할 수 없습니다.",
}


@pytest.mark.parametrize("of", SENTENCES)
def test_a_sentence_is_in_its_language_and_in_no_other(of: str) -> None:
    shares_script = {"ja": {"zh"}, "zh": {"ja"}}.get(of, set())
    for code in SENTENCES:
        assert is_in(SENTENCES[of], code) == (code == of) or code in shares_script, code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("RAID 还是 LVM?", "zh"), ("=T.DIST.RT(1; 10) 返回 0.17", "zh"), ("Chinese (中文)", "en"), ("100 %", "zh"),
        ("OK", "fr"), ("Krita Plus", "de"), ("Las Vegas, Los Angeles", "en"), ("GIMP для Windows", "ru"),
    ],
)  # fmt: skip
def test_names_in_another_script_or_language_are_allowed(text: str, code: str) -> None:
    assert is_in(text, code)


@pytest.mark.parametrize(
    ("text", "code"), [("DD-MM-YYYY HH:MM:SS", "zh"), ("打开文件或文件夹 (Open)", "en"), ("Привет", "fr")]
)
def test_text_in_another_script_is_refused(text: str, code: str) -> None:
    assert not is_in(text, code)


@given(st.text(max_size=40), st.sampled_from(sorted(LANGUAGES)))
def test_any_text_can_be_asked_about(text: str, code: str) -> None:
    assert is_in(text, code) in (True, False)


def test_the_script_is_that_of_most_letters() -> None:
    for character in map(chr, range(0x3100)):
        one = next((name for name in ("Han", "Latin") if regex.match(rf"\p{{{name}}}", character)), "other")
        assert script(f"{character}! " * 8) == one.lower(), character
    assert script("µ " * 40 + "a") == script("ж" * 40 + "a") == script("“…” ¿3½") == script("") == "other"
    assert script("“Où est-il…?” ж") == script("é—ß 中") == "latin"
    assert script("GNU 中文系统") == "han"
