"""Which pairs are kept, in what form, and why the others are not; what is held out shares no string with the rest."""

from __future__ import annotations

import random

import numpy as np
import pytest

from sensorium.data.parallel.holdout import HELD_OUT, LEAKED, TRAIN, HoldOut
from sensorium.data.parallel.pairs import PairFilter, PairRules, folded
from sensorium.data.sample import Ledger
from sensorium.errors import InputError


def kept(source: str, target: str, languages: tuple[str, str] = ("en", "zh"), **rules) -> tuple[list, dict[str, int]]:
    ledger = Ledger()
    return list(PairFilter(PairRules(**rules), ledger).keep(source, target, languages)), dict(ledger.dropped)


@pytest.mark.parametrize(
    ("pair", "form"),
    [
        ((" Open \t the\u200b file ", "打开文件\ufeff"), ("Open the file", "打开文件")),
        (
            ("A line\nthat is wrapped", "一行\n被折断的 text\nhere"),
            ("A line that is wrapped", "一行被折断的 text here"),
        ),
        (("Ｆile", "文件"), ("Ｆile", "文件")),
        (('Say "%s"\\n', "说“%s”\\n"), ('Say "%s"\\n', "说“%s”\\n")),
    ],
)
def test_sides_are_cleaned_and_made_one_line(pair: tuple[str, str], form: tuple[str, str]) -> None:
    assert kept(*pair) == ([form], {})


def test_the_form_is_chosen() -> None:
    assert kept("Ｆile", "文件", form="NFKC") == ([("File", "文件")], {})


def test_paragraphs_are_pairs_where_both_sides_have_as_many() -> None:
    assert kept("One.\n\nTwo.", "一。\n \n二。") == ([("One.", "一。"), ("Two.", "二。")], {})
    assert kept("One.\n\nTwo.", "一二。") == ([("One. Two.", "一二。")], {})


@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        (("", "文件"), "empty on one side"),
        (("File", "\u200b "), "empty on one side"),
        (("100 %", "100 %"), "without words"),
        (("File", "---"), "without words"),
        (("LibreOffice Writer", "libreoffice  writer"), "copied, not translated"),
        (("word " * 300, "词" * 300), "too long"),
        (("Yes", "这是一个很长的句子，其中有许多并不在原文里的话。"), "lengths that do not match"),
        (("A sentence of a good length, with a dozen words in it", "短"), "lengths that do not match"),
        (("这是中文的句子", "这是另一个中文的句子"), "not in en"),
        (("The file cannot be read", "The file cannot be opened"), "not in zh"),
        (("Open %s", "打开"), "placeholders that differ"),
        (("Press <b>OK</b>", "按<i>确定</i>"), "placeholders that differ"),
    ],
)
def test_a_pair_of_no_use_is_dropped_under_the_first_reason(pair: tuple[str, str], reason: str) -> None:
    assert kept(*pair) == ([], {reason: 1})


def test_limits_can_be_moved() -> None:
    long = ("word " * 300, "词" * 300)
    assert len(kept(*long, max_characters=2000)[0]) == 1
    far = ("A sentence of a good length, with a dozen words in it", "短句子了")
    assert kept(*far, max_ratio=2.0)[1] == {"lengths that do not match": 1}
    assert len(kept(*far, max_ratio=9.0)[0]) == 1


def test_two_kinds_of_a_language_may_be_equal() -> None:
    assert kept("打开文件", "打开文件", ("zh-CN", "zh-TW")) == ([("打开文件", "打开文件")], {})


def test_a_pair_is_kept_once_but_each_of_its_sides_may_come_again() -> None:
    ledger = Ledger()
    rules = PairFilter(PairRules(), ledger)
    pairs = [("Open", "打开"), ("Open", "开启"), ("open", "打开"), ("Open ", "打开"), ("Turn on", "打开")]
    assert [len(list(rules.keep(*pair, ("en", "zh")))) for pair in pairs] == [1, 1, 1, 0, 1]
    assert ledger.dropped == {"duplicate": 1}
    assert list(rules.keep("Open", "打开", ("en", "zh-TW"))) == [("Open", "打开")]


Rows = list[tuple[str, str, str | None]]


def decided(
    rows: Rows, share: float = 0.1, seed: int = 0, groups: tuple[str, ...] = ()
) -> tuple[np.ndarray, list[str]]:
    hold_out = HoldOut(share, seed, groups)
    for row in rows:
        hold_out.add(*row)
    return hold_out.decide()


def no_string_leaks(rows: Rows, fates: np.ndarray) -> bool:
    sides = {
        fate: {folded(text) for (a, b, _), its in zip(rows, fates, strict=True) if its == fate for text in (a, b)}
        for fate in (TRAIN, HELD_OUT)
    }
    return not sides[TRAIN] & sides[HELD_OUT]


def mixed(count: int, groups: int) -> Rows:
    draw = random.Random(0)
    return [
        (
            f"text {draw.randrange(count)}",
            f"文 {draw.randrange(count)}",
            f"g{draw.randrange(groups)}" if groups else None,
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("groups", [0, 1, 2, 30])
def test_no_string_of_what_is_held_out_is_learned_from(groups: int) -> None:
    rows = mixed(3000, groups)
    fates, names = decided(rows)
    assert no_string_leaks(rows, fates)
    assert (fates == HELD_OUT).sum() > 20
    assert (fates == LEAKED).sum() > 20
    asked = (fates != TRAIN).mean()
    if groups == 2:
        assert len(names) == 1
    else:
        assert 0.02 < asked < 0.2
    if groups > 1:
        assert {group for (_, _, group), fate in zip(rows, fates, strict=True) if fate != TRAIN} == set(names)


def test_a_pairs_fate_hangs_on_its_own_source_text() -> None:
    rows: Rows = [(f"text {i}", f"文 {i}", None) for i in range(2000)]
    whole, _ = decided(rows)
    order = random.Random(1).sample(range(2000), 700)
    some, _ = decided([rows[i] for i in order])
    assert [int(whole[i]) for i in order] == some.tolist()
    assert whole.tolist() != decided(rows, seed=1)[0].tolist()
    assert 100 < (whole == HELD_OUT).sum() < 300


def test_groups_that_are_asked_for_are_held_out_whatever_their_size() -> None:
    rows: Rows = [(f"text {i}", f"文 {i}", "large" if i < 90 else "small") for i in range(100)]
    fates, names = decided(rows, share=0.0, groups=("large",))
    assert (names, (fates == HELD_OUT).sum()) == (["large"], 90)
    with pytest.raises(InputError, match=r"no pair belongs to the group 'x'\. The groups are: large, small"):
        decided(rows, groups=("x",))


def test_groups_are_chosen_up_to_the_share_or_else_the_smallest() -> None:
    sizes = {"a": 50, "b": 30, "c": 8, "d": 7, "e": 5}
    rows: Rows = [(f"{name} text {i}", f"{name} 文 {i}", name) for name, size in sizes.items() for i in range(size)]
    for seed in range(5):
        _, names = decided(rows, share=0.12, seed=seed)
        assert 5 <= sum(sizes[name] for name in names) <= 12
    assert decided(rows, share=0.02)[1] == ["e"]
    assert decided(rows, share=0.0)[1] == []


@pytest.mark.parametrize(("count", "held"), [(0, 0), (1, 0), (2, 1), (3, 1)])
def test_one_is_held_out_where_two_are_there(count: int, held: int) -> None:
    fates, _ = decided([(f"text {i}", f"文 {i}", None) for i in range(count)], share=0.001)
    assert (fates == HELD_OUT).sum() == held


def test_pairs_without_a_group_go_by_their_text_beside_groups() -> None:
    rows: Rows = [(f"text {i}", f"文 {i}", None if i % 2 else f"g{i % 40}") for i in range(4000)]
    fates, names = decided(rows)
    alone = fates[1::2]
    assert 100 < (alone == HELD_OUT).sum() < 300
    assert names


@pytest.mark.parametrize("share", [0.25, 0.001])
def test_a_single_group_beside_pairs_without_one_is_learned_from(share: float) -> None:
    rows: Rows = [(f"text {i}", f"文 {i}", "made" if i < 40 else None) for i in range(80)]
    for seed in range(8):
        fates, names = decided(rows, share=share, seed=seed)
        assert names == []
        assert (fates[:40] == TRAIN).all()
        assert 0 < (fates[40:] == HELD_OUT).sum() < 40


def test_a_group_that_all_pairs_belong_to_is_none() -> None:
    rows: Rows = [(f"text {i}", f"文 {i}", "all") for i in range(80)]
    fates, names = decided(rows)
    assert names == []
    assert fates.tolist() == decided([(a, b, None) for a, b, _ in rows])[0].tolist()
    assert 0 < (fates == HELD_OUT).sum() < 80
