"""Repair gives what ftfy gives, only faster: on every character, and on mojibake of every kind."""

from __future__ import annotations

import html
import pickle
import random
import unicodedata
from functools import partial

import ftfy
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.data.cleaning.marks import UNSEEN_CHARACTERS
from sensorium.data.cleaning.text import Clean, clean, clean_all, unescape
from sensorium.data.stages import Mapper, documents

ENCODINGS = ["latin-1", "cp1252", "cp1251", "cp1250", "cp1253", "cp1254", "cp1257", "iso8859-2", "mac-roman", "cp437"]
LINE = """schön naïve café “quoted” it’s — … Größe 中文 文本 Привет Вот мир Ελλάδα łódź ñandú 😀 «où» œuvre
100 € £5 ½ °C l’été À la Ä a"""
WORDS = LINE.split()
FIX = partial(
    ftfy.fix_text,
    unescape_html=False,
    uncurl_quotes=False,
    fix_latin_ligatures=False,
    fix_character_width=False,
    normalization=None,
)


def reference(text: str) -> str:
    """Every step for every text, each by those who wrote it."""
    text = FIX(text).replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n\n")
    text = unicodedata.normalize("NFC", UNSEEN_CHARACTERS.sub("", text))
    text = regex.sub(r"[^\S\n]+", " ", text)
    return regex.sub(r"\n{3,}", "\n\n", regex.sub(r" ?\n ?", "\n", text)).strip()


def test_every_character_is_treated_as_ftfy_and_unicode_say() -> None:
    texts = [f"x{character} {character}y" for character in map(chr, [*range(0x2C00), *range(0xFD00, 0x10100)])]
    texts += [f"x{chr(code)}y" for code in range(0x2C00, 0x110000, 97)]
    assert [(a, b) for text, a in zip(texts, clean_all(texts), strict=True) if a != (b := reference(text))] == []


def test_mojibake_of_every_encoding_is_repaired_as_ftfy_repairs_it() -> None:
    draw, texts = random.Random(0), list[str]()
    for _ in range(1500):
        text = " ".join(draw.choices(WORDS, k=draw.randint(1, 5)))
        for _ in range(draw.randint(0, 2)):
            text = text.encode().decode(draw.choice(ENCODINGS), "replace")
        if draw.random() < 0.3:
            text = text.replace("\xa0", " ")
        if draw.random() < 0.5:
            text = draw.choice(WORDS) + draw.choice([" ", "\n", "\t", " \r\n ", "\u2028", "\f", "?"]) + text
        texts.append(text)
    assert clean_all(texts) == [reference(text) for text in texts]
    assert sum(text != FIX(text) for text in texts) > 600


@settings(max_examples=200)
@given(st.lists(st.text(alphabet=st.sampled_from("aéÃ©â€™ \n\t\r\u200b\x07中е\u0301В»“’"), max_size=30), max_size=4))
def test_many_texts_at_once_come_out_as_one_by_one(texts: list[str]) -> None:
    assert clean_all(texts) == [reference(text) for text in texts] == [clean(text) for text in texts]


@settings(max_examples=200)
@given(st.text(max_size=60))
def test_clean_text_stays_as_it_is(text: str) -> None:
    once = clean(clean(text))
    assert clean(once) == once


@pytest.mark.parametrize("count", [1, 3])
def test_texts_longer_than_a_group_are_cleaned_too(count: int) -> None:
    texts = [f"{'schön  ' * 160_000}{place}" for place in range(count)] + ["schÃ¶n", ""]
    cleaned = clean_all(texts)
    assert cleaned[-2:] == ["schön", ""]
    assert all(text == f"{'schön ' * 160_000}{place}" for place, text in enumerate(cleaned[:-2]))


ENTITIES = {
    "AT&amp;T &lt;b&gt; &quot;x&quot;": 'AT&T <b> "x"',
    "&amp;lt;": "&lt;",
    "&#20013;&#x6587; &eacute;&nbsp;": "中文 é\u00a0",
    "R&D; a&b;c &unknown; &amp": "R&D; a&b;c &unknown; &amp",
    "&#xD800;&#0;": "\ufffd\ufffd",
}


@pytest.mark.parametrize("text", ENTITIES)
def test_entities_become_characters_once(text: str) -> None:
    assert unescape(text) == ENTITIES[text]
    if "&amp" not in text[-4:]:
        assert unescape(text) == html.unescape(text)


def test_the_stage_counts_what_it_changed() -> None:
    batch = documents(["schÃ¶n", "good", "a  b", "Q&amp;A"], ["1", "2", "3", "4"])
    stage = Clean()
    assert isinstance(stage, Mapper)
    assert pickle.loads(pickle.dumps(stage)) == stage
    done = stage.map(batch)
    assert done.batch.column("text").to_pylist() == ["schön", "good", "a b", "Q&amp;A"]
    assert done.batch.column("source").equals(batch.column("source"))
    assert done.counts == {"texts repaired": 2}
    assert Clean(entities=True).map(batch).batch.column("text").to_pylist()[-1] == "Q&A"
    assert Clean(form="NFKC").map(documents(["ﬁ１"], [""])).batch.column("text").to_pylist() == ["fi1"]
    assert stage.map(batch.slice(1, 1)).counts == {}
    assert stage.map(batch.slice(0, 0)).batch.num_rows == 0
