"""Which baselines a model beats, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def verdict(model: str, measured: Mapping[str, Sequence[float]], *, lower_is_better: bool = False) -> str:
    """Who is ahead on all languages together.

    Args:
        model: one of the names in `measured`.
        measured: name → values by language, the last of all together.
        lower_is_better: as of bits per byte.
    """
    sign = -1 if lower_is_better else 1
    ours = sign * measured[model][-1]
    theirs = {name: sign * values[-1] for name, values in measured.items() if name != model}
    beaten = [name for name, value in theirs.items() if ours > value]
    missed = [name for name, value in theirs.items() if ours <= value]
    text = f"The {model} beats: {'; '.join(beaten) or 'none'}."
    return f"{text} Still ahead of it: {'; '.join(missed)}." if missed else text
