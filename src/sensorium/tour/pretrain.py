"""Pre-train a small encoder by masked tokens and next sentences, and a small decoder by next tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from sensorium.reports.blocks import Block, Fact, Facts, Figure, Text
from sensorium.reports.numbers import compact
from sensorium.reports.plots import Line, lines
from sensorium.tour.trip import Trip
from sensorium.training.record import Row, read_metrics
from sensorium.training.train import Run, train


def train_encoder(trip: Trip) -> Sequence[Block]:
    """Masked language modelling and next-sentence prediction (Devlin et al. 2019)."""
    run = _train(trip, "bert-tiny", "encoder", trip.plan.encoder)
    trip.numbers["pair_accuracy"] = run.metrics["pair_accuracy"]
    return [
        Text(
            "The encoder reads to both sides. Some of the tokens are hidden and it learns to name them (masked "
            "language modelling); it also learns whether a second piece of text follows the first or comes from "
            "elsewhere (next-sentence prediction, where guessing is right half of the time)."
        ),
        Facts([*_facts(trip, run, "encoder"), Fact("next sentence", f"{run.metrics['pair_accuracy']:.0%}", "right")]),
        _curve(run.folder, "Loss of the encoder: masked tokens and sentence pairs together."),
    ]


def train_decoder(trip: Trip) -> Sequence[Block]:
    """Causal language modelling."""
    run = _train(trip, "llama-tiny", "decoder", trip.plan.decoder)
    return [
        Text("The decoder reads from left to right and learns to name the next token. It is a small Llama."),
        Facts([*_facts(trip, run, "decoder"), Fact("perplexity", f"{run.metrics['perplexity']:.0f}", "a token")]),
        _curve(run.folder, "Loss of the decoder."),
    ]


def _train(trip: Trip, recipe: str, name: str, overrides: Sequence[str]) -> Run:
    return train(
        trip.corpus, recipe=recipe, out=trip.folder / name, overrides=overrides, show_progress=trip.show_progress
    )


def _facts(trip: Trip, run: Run, name: str) -> list[Fact]:
    parameters = json.loads((run.folder / "sensorium.json").read_text(encoding="utf-8"))["parameters"]
    trip.numbers[f"{name}_parameters"] = parameters
    speed = run.tokens / max(run.seconds, 1e-9)
    return [
        Fact("parameters", compact(parameters)),
        Fact("trained on", f"{compact(run.tokens)} tokens", f"{run.steps:,} steps, {speed:,.0f} tokens a second"),
    ]


def _curve(folder: Path, caption: str) -> Figure:
    rows = read_metrics(folder / "run" / "metrics.jsonl")
    train_line, validation = _points(rows, "train"), _points(rows, "validation")
    shown = [
        Line("training", *train_line, colour="muted"),
        Line("held-out text", *validation, marked=True),
    ]
    return Figure(
        lines([line for line in shown if line.xs], x_label="million tokens seen", y_label="loss, nats"),
        alt=f"Line chart. {caption}",
        caption=f"{caption} Lower is better.",
    )


def _points(rows: Sequence[Row], split: str) -> tuple[list[float], list[float]]:
    chosen = [row for row in rows if row["split"] == split]
    return [float(row["tokens"]) / 1e6 for row in chosen], [float(row["loss"]) for row in chosen]
