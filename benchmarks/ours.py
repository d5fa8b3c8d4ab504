"""Our own training, timed: `sensorium.train` as a user calls it, with the recipe that a benchmark names."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from sensorium.training.loop import LOG_EVERY
from sensorium.training.recipe import Recipe


def tokens_per_second(corpus: Path, recipe: Recipe) -> float:
    """Tokens a second of every logged stretch of steps but the first, which warms up; the median of them."""
    import statistics

    import sensorium as sm

    if recipe.run.steps < 2 * LOG_EVERY:
        raise ValueError(f"the recipe must run {2 * LOG_EVERY} steps at least")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        sm.train(corpus, recipe=recipe, out=out, show_progress=False)
        rows = [json.loads(line) for line in (out / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return statistics.median(row["tokens_per_second"] for row in rows[1:] if row["split"] == "train")
