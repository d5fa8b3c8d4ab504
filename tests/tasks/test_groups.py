"""What is coming, in groups."""

from __future__ import annotations

import threading

import pytest

from sensorium.tasks.groups import groups


def test_all_items_come_in_order_in_groups_of_at_most_so_many() -> None:
    found = list(groups(range(100), 7))
    assert [item for group in found for item in group] == list(range(100))
    assert max(map(len, found)) <= 7
    assert list(groups([], 3)) == []


def test_the_first_is_not_kept_waiting_for_the_second() -> None:
    gate = threading.Event()

    def slow():
        yield "a"
        gate.wait(20)
        yield "b"

    found = groups(slow(), 10)
    assert next(found) == ["a"]
    gate.set()
    assert list(found) == [["b"]]


def test_an_error_comes_after_what_came_before_it() -> None:
    def broken():
        yield 1
        yield 2
        raise KeyError("three")

    found = []
    with pytest.raises(KeyError, match="three"):
        found.extend(item for group in groups(broken(), 10) for item in group)
    assert found == [1, 2]


def test_who_leaves_stops_the_reading() -> None:
    taken = []

    def endless():
        for number in range(10**9):
            taken.append(number)
            yield number

    before = threading.active_count()
    found = groups(endless(), 3)
    next(found)
    found.close()
    for _ in range(100):
        if threading.active_count() <= before:
            break
        threading.Event().wait(0.05)
    assert threading.active_count() <= before
    assert len(taken) < 20
