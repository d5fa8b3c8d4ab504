"""What each modality is worth: Shapley values over all subsets, exact, and what is lost without one.

Unusual: nothing is sampled. Modalities are few, so the value of every subset is measured once, and the three questions
(alone, on average, last) are answered from that one table. Two modalities that say the same each lose nothing when
left out, and share their worth by Shapley's rule: read both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from sensorium.errors import CapabilityError, DataError

MOST = 10
"""Modalities: 1024 subsets."""

Subset = frozenset[str]
Table = Mapping[Subset, float]


@dataclass(frozen=True, slots=True)
class Contributions:
    """What the modalities add to a measure, by modality."""

    none: float
    """The measure with no modality: what the training prior reaches."""
    all: float
    alone: dict[str, float]
    """The measure with this one only."""
    shapley: dict[str, float]
    """They sum to `all - none`."""
    left_out: dict[str, float]
    """What is lost of `all` without this one."""


def contributions(value: Callable[[Subset], float] | Table, modalities: Iterable[str]) -> Contributions:
    """All three readings of one table.

    Args:
        value: the measure (greater is better) of each subset of the modalities, the empty one too: a table, or a
            function that is called once a subset, small subsets first.
        modalities: their names.

    Raises:
        CapabilityError: there are more than MOST.
        DataError: there is none, a subset is missing from the table, or its value is not finite.
    """
    names = _names(modalities)
    table = subset_values(value, names)
    whole = frozenset(names)
    return Contributions(
        none=table[frozenset()],
        all=table[whole],
        alone={name: table[frozenset({name})] for name in names},
        shapley=_shapley(table, names),
        left_out={name: table[whole] - table[whole - {name}] for name in names},
    )


def shapley(value: Callable[[Subset], float] | Table, modalities: Iterable[str]) -> dict[str, float]:
    """The Shapley value (1953) of each modality: what it adds to those before it, on average over all orders.

    They sum to the value of all modalities less that of none. Arguments and errors are those of `contributions`.
    """
    names = _names(modalities)
    return _shapley(subset_values(value, names), names)


def leave_one_out(value: Callable[[Subset], float] | Table, modalities: Iterable[str]) -> dict[str, float]:
    """What is lost without each modality. Arguments and errors are those of `contributions`; a table needs the whole
    and the subsets without one only."""
    names = _names(modalities)
    whole = frozenset(names)
    full = _value(value, whole)
    return {name: full - _value(value, whole - {name}) for name in names}


def subsets(modalities: Iterable[str]) -> tuple[Subset, ...]:
    """All of them, small ones first, each size in the order of names; the first is empty.

    Raises:
        CapabilityError: there are more than MOST modalities.
        DataError: there is none.
    """
    names = _names(modalities)
    return tuple(frozenset(chosen) for size in range(len(names) + 1) for chosen in combinations(names, size))


def subset_values(value: Callable[[Subset], float] | Table, modalities: Iterable[str]) -> dict[Subset, float]:
    """The value of every subset. Arguments and errors are those of `contributions`."""
    return {subset: _value(value, subset) for subset in subsets(modalities)}


def _shapley(table: Table, names: tuple[str, ...]) -> dict[str, float]:
    n = len(names)
    share = [1 / (n * math.comb(n - 1, size)) for size in range(n)]
    return {
        name: math.fsum(
            share[len(subset)] * (table[subset | {name}] - before)
            for subset, before in table.items()
            if name not in subset
        )
        for name in names
    }


def _names(modalities: Iterable[str]) -> tuple[str, ...]:
    names = tuple(sorted(set(modalities)))
    if not names:
        raise DataError("there is no modality", fix="Name at least one")
    if len(names) > MOST:
        raise CapabilityError(
            f"{len(names)} modalities have {2 ** len(names)} subsets", fix=f"Ask of at most {MOST}, or join some"
        )
    return names


def _value(value: Callable[[Subset], float] | Table, subset: Subset) -> float:
    where = f"modalities {', '.join(sorted(subset)) or '(none)'}"
    if isinstance(value, Mapping):
        if subset not in value:
            raise DataError("the table has no value", where=where, fix="Measure every subset, the empty one too")
        found = float(value[subset])
    else:
        found = float(value(subset))
    if not math.isfinite(found):
        raise DataError(f"the value is {found}", where=where, fix="Use a measure that is defined on these rows")
    return found
