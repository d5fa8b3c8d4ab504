"""Repeated lines and boilerplate: what goes, and that verses, tables and lists stay."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.data.cleaning.lines import Boilerplate, RepeatedLines, without_boilerplate, without_repeated_lines
from sensorium.data.stages import Mapper, documents

LONG = "A line that is long enough to count."
REPEATED = {
    "a\na\nb": ("a\nb", 1),
    "a\n\na\n\nb": ("a\n\nb", 1),
    "a\nb\na": ("a\nb\na", 0),
    f"{LONG}\nb\n  {LONG}\nc": (f"{LONG}\nb\nc", 1),
    "这一行足够长所以要算进去\n乙\n这一行足够长所以要算进去": ("这一行足够长所以要算进去\n乙", 1),
    "短行\n乙\n短行": ("短行\n乙\n短行", 0),
    "one line": ("one line", 0),
    "": ("", 0),
}
PAGE = """Home
News
Sport
Weather

The council met on Tuesday and decided, after a long debate, to build the bridge.
It will open in 2030.

We use cookies to improve your visit. Accept all
About us
Contact
Jobs
© 2024 Example Ltd. All rights reserved."""
CHINESE_PAGE = """首页
新闻
体育
天气
周二，市议会经过长时间的讨论，决定修建这座大桥。
大桥将于2030年通车。
隐私政策
版权所有 © 2024 某某公司 京ICP备12345678号
上一篇：旧闻
责任编辑：张三"""
KEPT = [
    "Shopping\n\n- milk\n- bread\n- eggs\n- tea\n\nI went out to buy them.",
    "An old poem\nof short lines\nwithout a mark\nat any end\nis not a menu",
    "1. One\n2. Two\n3. Three\n4. Four\nThat is how we count to four in this house.",
    "床前明月光，\n疑是地上霜。\n举头望明月，\n低头思故乡。",
    "A title\nA name\nThe text begins here, with a sentence that is longer than an entry of a menu.",
    "The privacy policy of the state, as this chapter argues over many pages, was never written down by anyone, and "
    "those who ask for it are told that it is what all have always known and need not read. So it goes on.\nEnd.",
]


@pytest.mark.parametrize("text", REPEATED)
def test_a_line_stands_once(text: str) -> None:
    assert without_repeated_lines(text) == REPEATED[text]


def test_a_line_of_any_length_may_come_again_later_if_so_asked() -> None:
    assert without_repeated_lines(f"{LONG}\nb\n{LONG}\n{LONG}", longer_than=None) == (f"{LONG}\nb\n{LONG}", 1)


def test_menus_and_notices_go_and_the_text_stays() -> None:
    text, dropped = without_boilerplate(PAGE)
    assert text.startswith("The council met")
    assert text.endswith("It will open in 2030.")
    assert dropped == 9
    text, dropped = without_boilerplate(CHINESE_PAGE)
    assert text == "周二，市议会经过长时间的讨论，决定修建这座大桥。\n大桥将于2030年通车。"
    assert dropped == 8
    assert without_boilerplate(PAGE, menus=False)[1] == 2
    assert "cookies" in without_boilerplate(PAGE, notices=False)[0]


@pytest.mark.parametrize("text", KEPT)
def test_lists_verses_and_titles_stay(text: str) -> None:
    assert without_boilerplate(text) == (text, 0)


@settings(max_examples=200)
@given(st.lists(st.sampled_from(["a", "", LONG, " b ", "c.", "短行"]), max_size=12).map("\n".join))
def test_only_lines_go_and_none_twice(text: str) -> None:
    for function in (without_repeated_lines, without_boilerplate):
        once, dropped = function(text)
        lines = [line for line in text.split("\n") if line.strip()]
        left = [line for line in once.split("\n") if line.strip()]
        assert len(left) == len(lines) - dropped
        rest = iter(lines)
        assert all(line in rest for line in left)
        assert set(left) <= set(lines)
    once, _ = without_repeated_lines(text)
    assert without_repeated_lines(once) == (once, 0)
    assert {line.strip() for line in once.split("\n")} >= {line.strip() for line in text.split("\n")} - {""}


def test_stages_count_what_they_took_out() -> None:
    batch = documents([PAGE, "a\na", "b"], ["1", "2", "3"])
    for stage in (RepeatedLines(), Boilerplate()):
        assert isinstance(stage, Mapper)
    assert RepeatedLines().map(batch).counts == {"repeated lines taken out": 1}
    assert RepeatedLines().map(batch).batch.column("text").to_pylist() == [PAGE, "a", "b"]
    assert Boilerplate().map(batch).counts == {"lines of boilerplate taken out": 9}
    assert Boilerplate().map(batch.slice(2)).batch.equals(batch.slice(2))


@pytest.mark.parametrize("piece", ["a\n", " \n", "Home\n", "cookies ", "use cookies\n", "-\n"])
def test_many_lines_take_time_by_their_number(piece: str) -> None:
    start = time.perf_counter()
    without_boilerplate(piece * 20_000)
    without_repeated_lines(piece * 20_000)
    assert time.perf_counter() - start < 5
