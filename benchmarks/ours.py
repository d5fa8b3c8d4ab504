"""Our own training, timed: `sensorium.train` as a user calls it, with the recipe that a benchmark names."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import torch

from benchmarks.limits import gemm
from sensorium.training.loop import LOG_EVERY
from sensorium.training.model import model_config
from sensorium.training.objective import build_objective
from sensorium.training.recipe import Recipe
from sensorium.training.source import open_source

_WARMUP = 2
"""Logged stretches of steps that are not counted."""


def tokens_per_second(corpus: Path, recipe: Recipe, *, compiled: bool = False) -> float:
    """Tokens a second, the median over the logged stretches of steps; the first two warm up."""
    import statistics

    import sensorium as sm

    if recipe.run.steps <= _WARMUP * LOG_EVERY:
        raise ValueError(f"the recipe must run more than {_WARMUP * LOG_EVERY} steps")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        sm.train(corpus, recipe=recipe, out=out, compile=compiled, show_progress=False)
        rows = [json.loads(line) for line in (out / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return statistics.median([row["tokens_per_second"] for row in rows if row["split"] == "train"][_WARMUP:])


def limit(corpus: Path, recipe: Recipe) -> str:
    """What the rate of matrix products alone allows on this machine, in words."""
    source = open_source(corpus, recipe)
    model = model_config(recipe, source.tokenizer.vocab_size)
    rate = gemm(torch.bfloat16 if recipe.run.precision == "bf16" else torch.float32)
    allowed = 1e9 * rate / build_objective(recipe, source, None).flops(model)
    return f"a {recipe.run.precision} product runs at {rate:,.0f} GFLOP/s, which allows {allowed:,.0f} tokens/s"
