"""Samples of what was dropped: bounded, the same in any order, and whole for what is contaminated."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sensorium.data.dedup.contaminated import CONTAMINATED
from sensorium.data.prepare.account import rule_of
from sensorium.data.prepare.dropped import EXCERPT, KEPT, SHORT, WHOLE, DroppedSample

COUNT = 500
REASONS = {"contaminated": 'contaminated: by a.csv#1, runs 2, the first "x"', "duplicate": "duplicate: of b"}


def gathered(rule: str, numbers: list[int]) -> DroppedSample:
    sample = DroppedSample()
    for number in numbers:
        sample.add("stage", REASONS[rule], f"{number}.txt", "字" * 3000)
    return sample


def test_all_that_is_contaminated_is_kept_and_of_other_rules_a_sample() -> None:
    assert rule_of(REASONS[CONTAMINATED]) in WHOLE
    table = gathered("contaminated", list(range(COUNT))).table()
    assert set(table["source"].to_pylist()) == {f"{number}.txt" for number in range(COUNT)}
    assert set(table["reason"].to_pylist()) == {REASONS["contaminated"]}
    lengths = [len(excerpt) for excerpt in table["excerpt"].to_pylist()]
    assert lengths == [EXCERPT] * KEPT + [SHORT] * (COUNT - KEPT)
    assert table["rank"].to_pylist() == sorted(table["rank"].to_pylist())
    assert gathered("duplicate", list(range(COUNT))).table().num_rows == KEPT


@settings(max_examples=10, deadline=None)
@given(st.permutations(range(COUNT)), st.integers(0, COUNT), st.sampled_from(sorted(REASONS)))
def test_samples_of_units_add_up_to_the_sample_of_all(order: list[int], cut: int, rule: str) -> None:
    total = DroppedSample()
    for part in (order[cut:], order[:cut]):
        total.add_table(gathered(rule, part).table())
    assert total.table().equals(gathered(rule, list(range(COUNT))).table())


def test_many_other_rules_leave_room_for_what_is_contaminated() -> None:
    sample = DroppedSample()
    for number in range(300):
        sample.add("stage", f"rule {number}", "a.txt", "text")
    sample.add("stage", REASONS["contaminated"], "b.txt", "text")
    assert "b.txt" in sample.table()["source"].to_pylist()
