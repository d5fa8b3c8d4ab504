"""A bar shows how much is done, shares of a whole too."""

from __future__ import annotations

import pytest

from sensorium.progress import progress


@pytest.mark.parametrize(("total", "done", "step"), [(1.0, 0.5, 0.125), (1000.0, 500, 125)])
def test_a_bar_starts_where_the_work_does_and_ends_full(
    capsys: pytest.CaptureFixture[str], total: float, done: float, step: float
) -> None:
    for steps, shown in ((0, " 50%"), (2, " 75%"), (4, "100%")):
        with progress("work", total, done=done, show=True) as advance:
            for _ in range(steps):
                advance(step, "")
        assert shown in capsys.readouterr().err
