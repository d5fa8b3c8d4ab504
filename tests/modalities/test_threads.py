"""Pieces of work run side by side, in order, and PyTorch's own threads are left as they were."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest
import torch

from sensorium.modalities.threads import for_each


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("three_threads")
def test_pieces_run_side_by_side_with_one_thread_each() -> None:
    together = threading.Barrier(3, timeout=10)

    def work(item: int) -> tuple[int, int]:
        together.wait()
        torch.ones(1 << 17).square_()
        return item, torch.get_num_threads()

    assert for_each(work, range(6)) == [(item, 1) for item in range(6)]
    assert torch.get_num_threads() == 3
    assert for_each(work, []) == []


@pytest.mark.usefixtures("three_threads")
def test_an_error_leaves_the_threads_as_they_were() -> None:
    with pytest.raises(ZeroDivisionError):
        for_each(lambda item: 1 / item, [1, 0, 2])
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
def test_callers_at_once_do_not_leave_each_other_slow() -> None:
    seen: list[int] = []
    begun = threading.Barrier(4, timeout=10)

    def caller() -> None:
        torch.ones(1 << 17).square_()
        begun.wait()
        for _ in range(20):
            for_each(lambda item: torch.ones(item).sum(), range(1, 9))
        seen.append(torch.get_num_threads())

    callers = [threading.Thread(target=caller) for _ in range(4)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    assert seen == [3] * 4
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
def test_pieces_of_a_piece_end_with_the_whole() -> None:
    done: list[int] = []

    def small(item: int) -> None:
        if item == 3:
            os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.02)
        done.append(item)

    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        for_each(lambda _: for_each(small, range(100)), range(9))
    assert time.perf_counter() - start < 2
    assert len(done) < 100
    time.sleep(0.1)
    assert len(done) < 100, "nothing goes on behind"


def test_one_thread_is_the_callers() -> None:
    assert for_each(lambda _: threading.get_ident(), range(3), threads=1) == [threading.get_ident()] * 3
