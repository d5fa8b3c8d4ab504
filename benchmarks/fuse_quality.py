"""What fusion is worth on real tables: each modality alone, features and decisions fused, on rows that judge.

    python -m benchmarks.fuse_quality [--minutes 2] [--only digits]

The tables are those of `benchmarks.data_senses`; each is given to `compare_fusion` as it is, and split so that nothing
leaks: digits by voice, drums by kit, films by time, units by row. `minutes` is the time of one training. Pages with all
details stay in the work folder.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.common import machine
from benchmarks.data_senses import table
from scripts.fetch import cache_folder
from sensorium.fusion.measures import MAIN
from sensorium.tasks.fuse_compare import FusionComparison, compare_fusion
from sensorium.tasks.fuse_report import advice, write_report

_SMALL = ("picture.size=32", "picture.patch=8")


@dataclass(frozen=True)
class Case:
    """One table."""

    title: str
    label: str
    settings: tuple[str, ...] = _SMALL
    kinds: tuple[str, ...] = ("concat", "gated", "bottleneck")
    group: str | None = None
    time: str | None = None
    columns: dict[str, str] = field(default_factory=dict)


CASES = {
    "digits": Case("Digits by hand and spoken, other voices judge", "digit", group="voice"),
    "drums": Case("Recorded drums, other kits judge", "drum", kinds=(), group="kit"),
    "films": Case("Pieces of films with their sound, later ones judge", "film", kinds=("concat",), time="second"),
    "units": Case(
        "Units of a game: picture, sound, clip, text, numbers", "race", kinds=("concat", "gated"),
        columns={"description": "text"},
    ),
}  # fmt: skip


def compared(name: str, case: Case, work: Path, minutes: float) -> FusionComparison:
    """The comparison of one table, and its page."""
    out = work / name
    found = compare_fusion(
        table(name), label=case.label, out=out, kinds=case.kinds, group=case.group, time=case.time,
        columns=case.columns or None, modulation=bool(case.kinds), force=True,
        overrides=[*case.settings, f"run.max_minutes={minutes}", "run.epochs=1000", "run.eval_every=100000"],
    )  # fmt: skip
    write_report(found, out)
    return found


def told(case: Case, found: FusionComparison) -> None:
    """Print a table of what came of it."""
    main = MAIN[found.target.problem]
    rows = len(found.systems[0].scores)
    print(f"### {case.title}\n\n| {rows} rows that judge | {main} | 95 % interval |\n|---|---|---|")
    for one in sorted(found.systems, key=lambda one: -one.measures[main]):
        named = f"**{one.name}**" if one in (found.alone, found.fused) else one.name
        print(f"| {named} | {one.measures[main]:.3f} | {one.interval.low:.3f}–{one.interval.high:.3f} |")
    print(f"\n- {advice(found)}")
    worth = ", ".join(f"{name} {value:+.3f}" for name, value in sorted(found.contributions.shapley.items()))
    print(f"- Shapley values of the best model of features: {worth}")
    noise = "; ".join(f"{one.modality} {one.noise} {one.strength:g}: {one.measures[main]:.3f}" for one in found.noise)
    print(f"- the same model, one modality worse: {noise}\n", flush=True)


def main() -> None:
    """All tables, or one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--only", choices=list(CASES))
    parser.add_argument("--work", type=Path, default=cache_folder() / "benchmarks" / "fuse-quality")
    given = parser.parse_args()
    for name, case in CASES.items():
        if given.only in (None, name):
            told(case, compared(name, case, given.work, given.minutes))
    print(f"{machine()}\n")


if __name__ == "__main__":
    main()
