"""How sure a comparison is: intervals and tests of systems that answered the same rows.

Unusual: rows that belong together (one speaker, one video) are drawn and exchanged together, when their groups are
given; else an interval over rows that repeat each other is too narrow. A test never says p = 0: what was observed is
counted among the samples (Phipson & Smyth 2010).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64, Shaped

from sensorium.errors import DataError, InputError

SAMPLES = 1000
"""Bootstrap samples."""
PERMUTATIONS = 10_000
_AT_A_TIME = 1 << 22
"""Numbers that are drawn together."""
_ALIKE = 1e-12
"""Sums that differ by no more than this share of their size are one: they were added up in another order."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A number, and where it would likely lie on other rows of the same source."""

    value: float
    low: float
    high: float
    level: float = 0.95

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.level:.0%} interval {self.low:.3f} to {self.high:.3f})"

    @property
    def excludes_zero(self) -> bool:
        """Of a difference: whether its sign is sure at this level."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class McNemar:
    """Two classifiers' disagreements."""

    only_first: int
    """Rows that only the first got right."""
    only_second: int
    p: float
    """Probability of so uneven a split, or more, if both were alike; both sides."""


def bootstrap(
    statistic: Callable[[Int64[np.ndarray, " draws"]], float],
    rows: int,
    *,
    groups: Shaped[np.ndarray, " rows"] | None = None,
    samples: int = SAMPLES,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap (Efron 1979) of anything that is computed of rows.

    For the difference of two systems on the same rows let the statistic be the difference; both then see the same
    draw. Draws of which the statistic is NaN (no row of some label, say) are left out.

    Args:
        statistic: from the drawn rows' numbers, with repeats, to a number.
        rows: how many there are.
        groups: draw whole groups instead: the group of each row.
        samples: how many draws.
        level: of the interval.
        seed: of the draws.

    Raises:
        InputError: fewer than 2 samples, or a level outside 0 to 1.
        DataError: there is no row, groups are not one a row, or the statistic is NaN of all rows or of most draws.
    """
    _check(rows, samples, level)
    rng = np.random.default_rng(seed)
    value = float(statistic(np.arange(rows)))
    if math.isnan(value):
        raise DataError("the measure is not defined on these rows", fix="Give rows of every label")
    members = None if groups is None else _members(groups, rows)
    found = np.empty(samples)
    for i in range(samples):
        if members is None:
            drawn = rng.integers(0, rows, rows)
        else:
            drawn = np.concatenate([members[group] for group in rng.integers(0, len(members), len(members))])
        found[i] = statistic(drawn)
    found = found[~np.isnan(found)]
    if 2 * len(found) < samples:
        raise DataError("the measure is not defined on most draws", fix="Give more rows of every label")
    return _interval(value, found, level)


def bootstrap_mean(
    scores: Float[np.ndarray, " rows"] | Bool[np.ndarray, " rows"],
    *,
    groups: Shaped[np.ndarray, " rows"] | None = None,
    samples: int = SAMPLES,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Bootstrap of the mean of a score a row (right or wrong, a loss), all draws at once: fast.

    With groups, whole groups are drawn; the mean is over the drawn rows, as large groups count more.

    Raises:
        InputError: fewer than 2 samples, or a level outside 0 to 1.
        DataError: there is no row, a score is not finite, or groups are not one a row.
    """
    scores = _finite(scores)
    _check(len(scores), samples, level)
    sums, counts = _by_group(scores, groups)
    rng = np.random.default_rng(seed)
    step = max(1, _AT_A_TIME // len(sums))
    found = []
    for start in range(0, samples, step):
        drawn = rng.integers(0, len(sums), (min(step, samples - start), len(sums)))
        found.append(sums[drawn].sum(1) / counts[drawn].sum(1))
    return _interval(float(scores.mean()), np.concatenate(found), level)


def bootstrap_difference(
    first: Float[np.ndarray, " rows"] | Bool[np.ndarray, " rows"],
    second: Float[np.ndarray, " rows"] | Bool[np.ndarray, " rows"],
    *,
    groups: Shaped[np.ndarray, " rows"] | None = None,
    samples: int = SAMPLES,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Paired bootstrap of the mean of `first - second`, two systems' scores of the same rows (Koehn 2004).

    Raises:
        InputError: fewer than 2 samples, or a level outside 0 to 1.
        DataError: there is no row, a score is not finite, or rows differ in number.
    """
    return bootstrap_mean(
        _differences(first, second), groups=groups, samples=samples, level=level, seed=seed
    )  # fmt: skip


def mcnemar(first_right: Bool[np.ndarray, " _"], second_right: Bool[np.ndarray, " _"]) -> McNemar:
    """McNemar's test (1947), exact: are the rows that only one of two classifiers got right split evenly?

    It takes rows for independent; with groups use `permutation_test`.

    Raises:
        DataError: there is no row, or rows differ in number.
    """
    _differences(first_right, second_right)
    a, b = int((first_right & ~second_right).sum()), int((second_right & ~first_right).sum())
    n, least = a + b, min(a, b)
    logs = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in range(least + 1)]
    tail = math.fsum(math.exp(log - n * math.log(2)) for log in logs)
    return McNemar(only_first=a, only_second=b, p=min(1.0, 2 * tail))


def permutation_test(
    first: Float[np.ndarray, " _"] | Bool[np.ndarray, " _"],
    second: Float[np.ndarray, " _"] | Bool[np.ndarray, " _"],
    *,
    groups: Shaped[np.ndarray, " _"] | None = None,
    samples: int = PERMUTATIONS,
    seed: int = 0,
) -> float:
    """p, both sides, of the mean difference of two systems' scores, by exchanging them row by row (Fisher 1935).

    All exchanges are tried where they are no more than `samples`; else so many are drawn. With groups, a whole
    group's scores are exchanged together.

    Args:
        first: one system's score of each row.
        second: the other's, of the same rows.
        groups: the group of each row.
        samples: at most how many exchanges.
        seed: of the draws.

    Raises:
        InputError: fewer than 2 samples.
        DataError: there is no row, a score is not finite, or rows differ in number.
    """
    differences = _differences(first, second)
    _check(len(differences), samples, 0.95)
    sums, _ = _by_group(differences, groups)
    sums = sums[sums != 0]  # To exchange equals changes nothing.
    observed, size = abs(sums.sum()), np.abs(sums).sum()
    least = observed - _ALIKE * size
    n = len(sums)
    if n < 63 and 2**n <= samples:
        signs = 1 - 2 * ((np.arange(2**n)[:, None] >> np.arange(n)) & 1)
        return float((np.abs(signs @ sums) >= least).mean())
    rng = np.random.default_rng(seed)
    step, as_far = max(1, _AT_A_TIME // n), 0
    for start in range(0, samples, step):
        kept = rng.integers(0, 2, (min(step, samples - start), n), dtype=np.int8)
        as_far += int((np.abs(2 * (kept @ sums) - sums.sum()) >= least).sum())
    return (1 + as_far) / (1 + samples)


def _check(rows: int, samples: int, level: float) -> None:
    if rows < 1:
        raise DataError("there are no rows to draw from", fix="Give at least one")
    if samples < 2:
        raise InputError(f"{samples} samples are asked for", fix="Give 2 or more; 1000 are usual")
    if not 0 < level < 1:
        raise InputError(f"the level of an interval is {level}", fix="Give a share, 0.95 say")


def _interval(value: float, found: Float64[np.ndarray, " samples"], level: float) -> Interval:
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, float(low), float(high), level)


def _finite(scores: Float[np.ndarray, " rows"] | Bool[np.ndarray, " rows"]) -> Float64[np.ndarray, " rows"]:
    if not np.isfinite(scores).all():
        raise DataError(
            "a score is not finite", where=f"row {int(np.isfinite(scores).argmin())}", fix="Leave the row out for all"
        )
    return scores.astype(np.float64)


def _differences(
    first: Float[np.ndarray, " _"] | Bool[np.ndarray, " _"], second: Float[np.ndarray, " _"] | Bool[np.ndarray, " _"]
) -> Float64[np.ndarray, " _"]:
    if len(first) != len(second):
        raise DataError(
            f"one system has {len(first)} rows, the other {len(second)}", fix="Compare systems on the same rows"
        )
    if not len(first):
        raise DataError("there are no rows to compare", fix="Give at least one")
    found: Float64[np.ndarray, " _"] = _finite(first) - _finite(second)
    return found


def _numbered(groups: Shaped[np.ndarray, " _"], rows: int) -> Int64[np.ndarray, " _"]:
    if len(groups) != rows:
        raise DataError(f"{len(groups)} groups are given for {rows} rows", fix="Give one a row")
    return np.unique(groups.astype(str), return_inverse=True)[1].astype(np.int64)


def _members(groups: Shaped[np.ndarray, " _"], rows: int) -> list[Int64[np.ndarray, " _"]]:
    numbers = _numbered(groups, rows)
    order = np.argsort(numbers, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1)


def _by_group(
    scores: Float64[np.ndarray, " rows"], groups: Shaped[np.ndarray, " _"] | None
) -> tuple[Float64[np.ndarray, " groups"], Float64[np.ndarray, " groups"]]:
    """The sum of each group's scores, and how many they are."""
    if groups is None:
        return scores, np.ones(len(scores))
    numbers = _numbered(groups, len(scores))
    return np.bincount(numbers, weights=scores), np.bincount(numbers).astype(np.float64)
