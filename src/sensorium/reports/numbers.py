"""Numbers as a reader wants them."""

from __future__ import annotations

Number = float | int


def compact(number: Number) -> str:
    """A large number in short: 32 k, 1.5 M."""
    for unit, name in ((1e9, " B"), (1e6, " M"), (1e3, " k")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return f"{number:.0f}"


def duration(seconds: Number) -> str:
    """Seconds, or minutes from one on: 12 s, 3.4 min."""
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"
