"""What is coming, in groups of as much as is there: the first item alone, if the rest takes its time."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from queue import Empty, Full, Queue
from typing import TypeVar

Item = TypeVar("Item")
_PATIENCE = 0.1
"""Seconds after which a reader whose place is full looks whether anybody still wants more."""


@dataclass(frozen=True, slots=True)
class _End:
    """Nothing more comes, and why."""

    error: BaseException | None = None


def groups(items: Iterable[Item], most: int) -> Iterator[list[Item]]:
    """The items in order, in groups of those that have come meanwhile: at least one, at most `most`.

    A thread of its own takes them, so that one group can be worked on while the next comes in. An error of theirs is
    raised after what came before it.
    """
    came: Queue[Item | _End] = Queue(maxsize=most)
    left = threading.Event()

    def put(what: Item | _End) -> None:
        while not left.is_set():
            try:
                came.put(what, timeout=_PATIENCE)
            except Full:
                continue
            return

    def read() -> None:
        try:
            for item in items:
                put(item)
                if left.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 - raised again where the items are wanted
            put(_End(error))
        else:
            put(_End())

    threading.Thread(target=read, daemon=True).start()
    try:
        while True:
            group, end = _group(came, most)
            if group:
                yield group
            if end is not None and end.error is not None:
                raise end.error
            if end is not None:
                return
    finally:
        left.set()


def _group(came: Queue[Item | _End], most: int) -> tuple[list[Item], _End | None]:
    """What has come, and the end if that came too."""
    group = list[Item]()
    while len(group) < most:
        try:
            what = came.get(block=not group)
        except Empty:
            break
        if isinstance(what, _End):
            return group, what
        group.append(what)
    return group, None
