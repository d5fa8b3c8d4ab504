"""One progress bar for everything that takes time: on stderr, and only where a person is looking."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int | float, str], None]
"""Called with how much was done since the last call and a short note to show beside the bar."""


def heading(text: str, *, show: bool | None = None) -> None:
    """Say on stderr what begins now.

    Args:
        text: one line.
        show: None says it if stderr is a terminal.
    """
    if sys.stderr.isatty() if show is None else show:
        sys.stderr.write(f"{text}\n")


def _silent(amount: int | float, note: str = "") -> None:
    """Advance a bar that nobody sees."""


@contextmanager
def progress(
    title: str, total: int | float | None = None, *, done: int | float = 0, show: bool | None = None
) -> Iterator[Advance]:
    """Show a bar while the block runs.

    Args:
        title: what is being done.
        total: how much there is to do, in any unit; None where it is not known.
        done: how much of it is done already.
        show: None shows the bar if stderr is a terminal.
    """
    if not (sys.stderr.isatty() if show is None else show):
        yield _silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f}%" if total else ""),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=False) as bar:
        task = bar.add_task(title, total=total, note="")
        bar.update(task, completed=done)  # add_task takes whole numbers only

        def advance(amount: int | float, note: str = "") -> None:
            bar.update(task, advance=amount, note=note) if note else bar.update(task, advance=amount)

        yield advance
