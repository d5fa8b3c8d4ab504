"""Fuse the decisions of any experts: models of Sensorium, others of yours, or remote ones whose answers were saved.

Each expert is a CSV in the shape that `sensorium predict` writes: a row a row of the table, with a column `p(NAME)` for
every class; cells are empty where it said nothing. Half of the rows teach each kind of decision, the other half judges
it beside every expert alone. The kind that did best on the first half, by five-fold cross-validation, writes `--out`.

    python examples/fuse_experts.py table.csv --label digit sight=runs/sight.csv sound=answers-of-a-server.csv
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from sensorium.data.tables.table import read_table
from sensorium.errors import InputError
from sensorium.fusion.decisions.base import Predictions
from sensorium.fusion.decisions.build import build_decision, decisions_for
from sensorium.fusion.statistics import bootstrap_difference, bootstrap_mean


def read_expert(path: Path, classes: list[str]) -> np.ndarray:
    """What an expert said: "rows classes", NaN where it said nothing."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))  # rows without an answer count, unlike in a table
    columns = [f"p({name})" for name in classes]
    if missing := [name for name in columns if not rows or name not in rows[0]]:
        raise InputError(f"has no column {missing[0]!r}", where=str(path), fix=f"It needs {', '.join(columns)}")
    return np.array([[float(row[name] or "nan") for name in columns] for row in rows])


def part(experts: Predictions, rows: np.ndarray) -> Predictions:
    """The answers to some rows."""
    return {name: said[rows] for name, said in experts.items()}


def crossed(kind: str, experts: Predictions, truth: np.ndarray, rows: np.ndarray) -> float:
    """Accuracy of a kind of decision on rows that it was not fitted to, by five folds."""
    right = []
    for fold in np.array_split(rows, 5):
        others = np.setdiff1d(rows, fold)
        fitted = build_decision(kind).fit(part(experts, others), truth[others], problem="classification")
        right.append(fitted(part(experts, fold)).argmax(1) == truth[fold])
    return float(np.concatenate(right).mean())


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Print a table; return the accuracy of each on the rows that judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("experts", nargs="+", metavar="NAME=CSV")
    parser.add_argument("--label", required=True)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(arguments)

    labels = [str(cell) for cell in read_table(given.table).column(given.label)]
    classes = sorted(set(labels))
    truth = np.array([classes.index(label) for label in labels])
    named = dict(expert.split("=", 1) for expert in given.experts)
    experts = {name: read_expert(Path(path), classes) for name, path in named.items()}
    for name, said in experts.items():
        if len(said) != len(truth):
            raise InputError(f"answers {len(said)} rows of {len(truth)}", where=named[name], fix="Ask it of each row")

    order = np.random.default_rng(0).permutation(len(truth))
    taught, judged = order[: len(order) // 2], order[len(order) // 2 :]
    fitted = {
        kind: build_decision(kind).fit(part(experts, taught), truth[taught], problem="classification")
        for kind in decisions_for("classification")
    }
    right = {name: (np.nan_to_num(said[judged], nan=-1).argmax(1) == truth[judged]) for name, said in experts.items()}
    best_alone = max(right, key=lambda name: right[name].mean())
    right |= {kind: one(part(experts, judged)).argmax(1) == truth[judged] for kind, one in fitted.items()}
    for name, hits in right.items():
        found, ahead = bootstrap_mean(hits.astype(float)), bootstrap_difference(hits * 1.0, right[best_alone] * 1.0)
        beside = "" if name == best_alone else f"  {ahead.value:+.3f} ({ahead.low:+.3f} to {ahead.high:+.3f})"
        print(f"{name:>16}  {found.value:.3f} ({found.low:.3f}–{found.high:.3f}){beside}")
    chosen = max(fitted, key=lambda kind: crossed(kind, experts, truth, taught))
    print(f"best on the rows that taught: {chosen}")
    if given.out:
        with given.out.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([given.label, *(f"p({name})" for name in classes)])
            for said in fitted[chosen](experts):
                writer.writerow([classes[int(said.argmax())], *(f"{p:.6f}" for p in said)])
    return {name: float(hits.mean()) for name, hits in right.items()}


if __name__ == "__main__":
    main()
