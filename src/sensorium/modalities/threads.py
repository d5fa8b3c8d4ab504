"""Many pieces of work in threads of Python, each of which computes alone.

Unusual: PyTorch would split every operation over its threads, and wait for the slowest after each. Where operations
are short, that wait costs more than it saves, and on a busy machine many times the work itself. So each of these
threads tells PyTorch to use one thread. PyTorch keeps that number for each thread, and one for threads to come; the
latter is put back as soon as all have begun. A piece may itself be many pieces, which its thread then does in order;
once one fails, or the user ends it all, the others end at the next of theirs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")
_here = threading.local()
"""Of a thread that does pieces: what tells it to end."""


def for_each(work: Callable[[Item], Result], items: Sequence[Item], *, threads: int | None = None) -> list[Result]:
    """What `work` makes of each item, in order.

    Args:
        work: may run in any thread.
        items: the pieces.
        threads: how many run at once; as many as PyTorch uses, if None.

    Raises:
        Exception: the first, by the items' order, that `work` raised.
    """
    before = torch.get_num_threads()
    workers = min(len(items), threads or before)
    if workers <= 1:
        return [_unless_ended(work, item) for item in items]
    begun, end = threading.Barrier(workers + 1), threading.Event()

    def compute_alone() -> None:
        _here.end = end
        torch.get_num_threads()  # where a thread first asks, PyTorch gives it the number for threads to come
        torch.set_num_threads(1)
        begun.wait()

    with ThreadPoolExecutor(workers, initializer=compute_alone) as pool:
        try:
            results = pool.map(work, items)
            begun.wait()
        except BaseException:  # a thread could not be started: let go of those that wait
            begun.abort()
            raise
        finally:
            torch.set_num_threads(before)
        try:
            return list(results)
        except BaseException:
            end.set()
            raise


def _unless_ended(work: Callable[[Item], Result], item: Item) -> Result:
    end: threading.Event | None = getattr(_here, "end", None)
    if end is not None and end.is_set():
        raise CancelledError
    return work(item)
