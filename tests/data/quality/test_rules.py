from __future__ import annotations

import pickle
from dataclasses import fields, replace
from pathlib import Path

import pyarrow as pa
import pytest

from sensorium.data.quality import c4
from sensorium.data.quality.c4 import C4Documents, C4Lines, word_list
from sensorium.data.quality.fineweb import FineWeb
from sensorium.data.quality.gopher import ELSEWHERE, Gopher, GopherLimits
from sensorium.data.stages import Filter, Mapper
from sensorium.errors import InputError

PROSE = (
    "The old river ran close to the village, and people who lived there have known it well. "
    "Nobody could say when the first bridge was built, but it is said to be of stone. "
    "With every winter the ice took a part of it, and with every spring that part was mended. "
    "Children would stand on it for hours to watch boats that came down from the hills.\n"
)
CHINESE = (
    "那条古老的河流在村庄的旁边，人们都知道它的名字。没有人能说清楚第一座桥是什么时候建造的，据说它是用石头做成的。"
    "每年冬天，冰雪都会带走桥的一部分，到了春天，村里的人又把它修好。孩子们常常站在桥上，看着从山上下来的小船。\n"
)


def batch_of(*texts: str, language: str | None = None) -> pa.RecordBatch:
    columns: dict[str, list[str]] = {"text": list(texts)}
    if language:
        columns["language"] = [language] * len(texts)
    return pa.record_batch(columns)


def rule(stage: Gopher | FineWeb | C4Documents, text: str, language: str | None = None) -> str | None:
    """The rule that drops a text."""
    reason = stage.judge(batch_of(text, language=language))[0].as_py()
    return None if reason is None else reason.split(":")[0]


GOPHER = [
    ("words", "Too short.", {"min_words"}),
    ("words", PROSE * 3000, {"max_words", "max_repeated_lines", "max_commonest", "max_repeated"}),
    ("word length", "to be of it a an or to the and that in I we be to of " * 4, {"min_mean_length"}),
    ("word length", PROSE + "and " + "internationalisation " * 200, {"max_mean_length"}),
    ("hashes", PROSE + "#" * 20, {"max_hashes"}),
    ("ellipses", PROSE + "and so on … " * 20, {"max_ellipses"}),
    ("bullet lines", "\n".join("- " + line for line in PROSE.split(". ")), {"max_bullet_lines"}),
    ("ellipsis lines", PROSE + "\n".join(line + "..." for line in PROSE.split(". ")), {"max_ellipsis_lines"}),
    ("alphabetic words", PROSE + " ".join(map(str, range(100, 150))), {"min_alphabetic"}),
    ("stop words", " ".join(f"noun{place} word" for place in "abcdefghijklmnopqrstuvwxyz" * 2), {"min_stop_words"}),
    ("repeated lines", "The same old line.\n" * 8 + PROSE, {"max_repeated_lines"}),
    ("repeated paragraphs", (PROSE + "\n") * 3, {"max_repeated_paragraphs"}),
    ("commonest n-gram", PROSE + "cheap bread " * 30, {"max_commonest"}),
    ("repeated n-grams", PROSE.strip() + " So it is: " + PROSE, {"max_repeated"}),
]


@pytest.mark.parametrize(("name", "text", "switches"), GOPHER)
def test_each_rule_of_gopher_drops_and_can_be_switched_off(name: str, text: str, switches: set[str]) -> None:
    assert rule(Gopher(), text, "en") == f"gopher {name}"
    alone = {field.name for field in fields(GopherLimits)} - switches - {"stop_words"}
    only = replace(Gopher(), **{field: () if field in ("max_commonest", "max_repeated") else None for field in alone})
    assert rule(only, text, "en") == f"gopher {name}"
    off = {field: () if field in ("max_commonest", "max_repeated") else None for field in switches}
    assert rule(replace(Gopher(), **off), text, "en") != f"gopher {name}"


def test_good_text_stays_in_english_and_chinese_and_of_unknown_languages() -> None:
    for text, language in ((PROSE, "en"), (PROSE, None), (CHINESE, "zh"), (CHINESE, "zh-Hant"), (CHINESE, None)):
        assert rule(Gopher(), text, language) is None
        assert rule(FineWeb(), text, language) is None
    assert (
        Gopher().judge(pa.record_batch({"text": [PROSE], "language": pa.array([None], pa.string())}))[0].as_py() is None
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("words", CHINESE[:60]),
        ("word length", CHINESE + " http://example.com/" + "averylongpathwithoutanyend" * 20),
        ("hashes", CHINESE + "#" * 30),
        ("alphabetic words", CHINESE + "★ → ◎ " * 40),
        ("stop words", "河流山谷图书馆老师市场窗户港口森林冬天信件" * 6),
        ("repeated lines", "点击这里查看更多精彩内容。\n" * 6 + CHINESE),
        ("commonest n-gram", CHINESE + "免费下载" * 40),
    ],
)
def test_rules_of_gopher_hold_in_chinese(name: str, text: str) -> None:
    assert rule(Gopher(), text) == f"gopher {name}"


def test_other_languages_are_not_held_to_english_words() -> None:
    french = (
        "La rivière coule depuis longtemps près du village, et les gens qui y vivent la connaissent bien. Personne ne "
        "sait quand fut bâti le premier pont, mais on dit que les pierres viennent des collines. Chaque hiver la glace "
        "en emporte une partie, chaque printemps on répare ce qui manque. Les enfants y restent des heures pour "
        "regarder passer les bateaux."
    )
    assert rule(Gopher(), french, "en") == "gopher stop words"
    assert rule(Gopher(), french, "fr") is None
    needs = Gopher(elsewhere=replace(ELSEWHERE, stop_words=("der", "und"), min_stop_words=2))
    assert rule(needs, french, "fr") == "gopher stop words"
    russian = "Река течёт возле деревни, и люди, которые там живут, хорошо её знают. " * 2
    assert rule(Gopher(min_words=5, elsewhere=replace(ELSEWHERE, min_words=50)), russian) == "gopher words"


def test_rules_of_fineweb_drop_and_can_be_switched_off() -> None:
    menu = "\n".join(f"Page {place}" for place in "abcdefghijklmnopqrst") + "\n"
    for name, text, off in (
        ("lines that end in a stop", menu, {"min_stopped_lines": None}),
        ("short lines", menu.replace("\n", ".\n"), {"max_short_lines": None}),
        ("characters in repeated lines", "This very line was there before, was it not?\n" * 2 + PROSE, None),
        ("lines a word", PROSE + "\n" * 60, {"max_lines_a_word": None}),
    ):
        assert rule(FineWeb(), text, "en") == f"fineweb {name}"
        assert rule(replace(FineWeb(), **(off or {"max_repeated_characters": None})), text, "en") != f"fineweb {name}"
    assert rule(FineWeb(), " \n\t\n", "en") == "fineweb empty"


def test_lines_of_c4_end_as_sentences_do_in_english_and_chinese() -> None:
    kept = [
        "It is a fine day.",
        "“It is a fine day,” he said, “is it not?”",
        "他说：“今天天气很好。”",
        "后来他怎么样了呢……",
        "It's in the U.S.",
    ]
    gone = ["Home | News | About us", "Read on and see...", "请点击查看…", "今天的天气", "Well done.", "好。"]
    mapped = C4Lines().map(batch_of("\n".join([*kept, "", *gone])))
    assert mapped.batch["text"][0].as_py() == "\n".join(kept)
    assert mapped.counts == {"lines without a stop": 4, "lines of few words": 2, "lines kept": 5}


def test_c4_takes_out_what_each_switch_says_and_nothing_else() -> None:
    lines = {
        "javascript": "Please turn on JavaScript to go on.",
        "policies": "We use cookies on this site.",
        "max_word": f"See {'x' * 1001} for more.",
        "min_words": "Well done.",
        "stops": "there is no stop",
        "citations": "It was so in 1900 [12].",
    }
    text = "\n".join(lines.values())
    everything = C4Lines(stops=False, min_words=None, max_word=None, javascript=False, policies=False, citations=False)
    assert everything.map(batch_of(text)).batch["text"][0].as_py() == text
    for switch, line in lines.items():
        on = replace(everything, **{switch: getattr(C4Lines(), switch)})
        left = on.map(batch_of(text)).batch["text"][0].as_py().split("\n")
        assert [one for one in text.split("\n") if one not in left] == [line]
    assert (
        "我们的隐私政策在这里。"
        not in C4Lines().map(batch_of("我们的隐私政策在这里。\n今天天气很好。")).batch["text"][0].as_py()
    )


def test_documents_of_c4_go_by_their_whole_text() -> None:
    assert rule(C4Documents(), PROSE * 2) is None
    assert rule(C4Documents(), PROSE) == "c4 sentences"
    assert rule(C4Documents(), CHINESE) == "c4 sentences"
    assert rule(C4Documents(), CHINESE * 2) is None
    assert rule(C4Documents(), PROSE * 2 + "{") == "c4 curly bracket"
    assert rule(C4Documents(), PROSE * 2 + "Lorem IPSUM dolor.") == "c4 lorem ipsum"
    assert rule(C4Documents(min_sentences=None, curly_brackets=False, lorem_ipsum=False), "{ Lorem ipsum") is None


def test_bad_words_stand_alone_but_in_scripts_without_spaces() -> None:
    stage = C4Documents(min_sentences=None, bad_words=("damn", "c++", "坏词", "two words"))
    for text, dropped in (
        ("DAMN it", True),
        ("goddamned", False),
        ("damné", False),
        ("I know C++.", True),
        ("这里有坏词吗", True),
        ("just two words", True),
        ("nothing", False),
    ):
        assert (rule(stage, text) == "c4 bad words") == dropped, text


def test_a_list_of_words_is_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("\ufeffone\n\n two words \none\n", encoding="utf-8")
    assert word_list(path) == ("one", "two words")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        word_list(path)
    path.write_text("\n")
    with pytest.raises(InputError, match="no words"):
        word_list(path)
    with pytest.raises(InputError):
        word_list(tmp_path / "missing")


def test_lines_of_very_long_documents_are_all_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c4, "SEEN_BYTES", 300)
    text = PROSE * 3 + "menu\n" + "x" * 1000 + "\n" + PROSE
    mapped = C4Lines().map(batch_of("Short one here.", text, "Another one here."))
    assert mapped.batch["text"].to_pylist() == [
        "Short one here.",
        (PROSE * 3 + PROSE).strip() if len(PROSE) <= 300 else "",
        "Another one here.",
    ]


def test_stages_fit_the_pipeline_and_travel_to_other_processes() -> None:
    for stage in (Gopher(), FineWeb(), C4Documents()):
        assert isinstance(stage, Filter)
    assert isinstance(C4Lines(), Mapper)
    for stage in (Gopher(min_words=3), FineWeb(), C4Documents(bad_words=("x",)), C4Lines()):
        assert pickle.loads(pickle.dumps(stage)) == stage
        assert "object at" not in repr(stage)


def test_odd_batches_are_judged_without_a_fuss() -> None:
    odd = batch_of("", "\0" * 300, "\n" * 1000, "😀" * 100, "x" * 100_000, "\u2028", "#" * 99, "中")
    for stage in (Gopher(), FineWeb(), C4Documents()):
        assert stage.judge(odd).null_count == 0
        assert len(stage.judge(odd.slice(0, 0))) == 0
    mapped = C4Lines().map(odd).batch
    assert mapped.num_rows == 8
    assert set(mapped["text"].to_pylist()) == {""}
    assert C4Lines().map(odd.slice(0, 0)).batch.num_rows == 0
    many = pa.record_batch({"text": pa.array([""] * 50_000)})
    assert set(Gopher().judge(many).to_pylist()) == {"gopher words: 0, less than 50"}
