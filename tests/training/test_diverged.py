"""A run that diverges stops before it spoils the weights, says from where to go on, and goes on at a lower rate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sensorium.data.shards import Corpus
from sensorium.errors import TrainingError
from sensorium.objectives.causal import CausalObjective
from sensorium.objectives.objective import Loss
from sensorium.training.train import train

SETTINGS = ["model.kv_heads=1", "schedule.warmup=0"]


class _BadGradient(torch.autograd.Function):
    """Hands a loss on, and NaN back."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return gradient * float("nan")


def spoil(monkeypatch: pytest.MonkeyPatch, *, step: int) -> None:
    """From a step on the loss stays finite, and its gradient is not."""
    real, calls = CausalObjective.loss, 0

    def loss(self, model, batch) -> Loss:
        nonlocal calls
        calls += 1
        found = real(self, model, batch)
        return Loss(_BadGradient.apply(found.total), found.parts) if calls >= step else found

    monkeypatch.setattr(CausalObjective, "loss", loss)


def test_a_rate_far_too_high_stops_the_run(corpus: Corpus, out: Path, small: list[str]) -> None:
    settings = [*small, *SETTINGS, "optim.kind=adamw", "optim.lr=1e30", "optim.clip=0.0"]
    with pytest.raises(TrainingError, match=r"at step \d+ \(epoch 0, unit \d+\).*no state is saved yet"):
        train(corpus, recipe="llama-tiny", out=out, overrides=settings)
    assert not (out / "config.json").exists()


def test_a_loss_that_is_not_finite_stops_the_run(
    corpus: Corpus, out: Path, small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = CausalObjective.loss

    def loss(self, model, batch) -> Loss:
        found = real(self, model, batch)
        return Loss(found.total * float("inf"), found.parts)

    monkeypatch.setattr(CausalObjective, "loss", loss)
    with pytest.raises(TrainingError, match=r"the loss is inf at step 1 \(epoch 0, unit 0\)"):
        train(corpus, recipe="llama-tiny", out=out, overrides=[*small, *SETTINGS])


def test_a_run_that_diverged_goes_on_at_a_lower_rate(corpus: Corpus, out: Path, small: list[str]) -> None:
    settings = [*small, *SETTINGS, "optim.kind=adamw", "optim.clip=0.0", "run.save_every=1"]
    with pytest.MonkeyPatch.context() as patch:
        spoil(patch, step=6)
        with pytest.raises(TrainingError, match=r"--resume goes on from state-000000005\.pt"):
            train(corpus, recipe="llama-tiny", out=out, overrides=[*settings, "optim.lr=0.01"])
    run = train(
        corpus,
        recipe="llama-tiny",
        out=out,
        overrides=[*settings, "optim.lr=0.001", "schedule.kind=constant", "run.steps=14"],
        resume=True,
    )
    assert run.steps == 14
    rows = [json.loads(line) for line in (out / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["lr"] for row in rows if row["split"] == "train"] == [0.001, 0.001]
    (change,) = json.loads((out / "run" / "run.json").read_text())["changes"]
    assert change == {
        "after": "state-000000005.pt",
        "optim.lr": [0.01, 0.001],
        "run.steps": [12, 14],
        "schedule.kind": ["cosine", "constant"],
    }


@pytest.mark.parametrize("clip", [0.0, 1.0])
def test_a_gradient_that_is_not_finite_stops_the_run(
    clip: float, corpus: Corpus, out: Path, small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, step=3)
    with pytest.raises(TrainingError, match=r"the norm of the gradient is nan at step 3 \(epoch 0, unit \d+\)"):
        train(corpus, recipe="llama-tiny", out=out, overrides=[*small, *SETTINGS, f"optim.clip={clip}"])
