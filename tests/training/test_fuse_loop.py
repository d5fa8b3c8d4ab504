"""What happens between gradients and step."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sensorium.fusion.modulation import modulation_coefficients, unimodal_scores
from sensorium.objectives.fused import FusedObjective
from sensorium.objectives.stream import Stream
from sensorium.training.fuse_loop import FusedLoop
from sensorium.training.fuse_model import fused_config, start_model
from sensorium.training.fuse_recipe import FuseRecipe, fuse_recipe
from sensorium.training.fuse_table import prepare_table
from sensorium.training.optim import build_optimizers
from sensorium.training.state import Progress
from tests.training.fused import SMALL, toy


def loop(table: Path, folder: Path, modulation: float) -> FusedLoop:
    recipe: FuseRecipe = fuse_recipe(None, [*SMALL, "fusion.modality_dropout=0.0", "learn.augment=false"])
    torch.manual_seed(0)
    ready = prepare_table(table, recipe, label="label")
    model = start_model(fused_config(ready.planned, recipe, 4), ready.planned).eval()
    objective = FusedObjective(problem="classification", level="feature")
    return FusedLoop(
        recipe=recipe, model=model, optimizers=build_optimizers(model, recipe.optim), objective=objective,
        train=ready.train, validation=ready.validation, folder=folder, device=torch.device("cpu"), at=Progress(),
        modulation=modulation,
    )  # fmt: skip


def test_shares_are_kept_and_gradients_of_those_ahead_are_held_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = toy(tmp_path / "toy", rows=40)
    monkeypatch.setattr("sensorium.fusion.modulation.torch.randn_like", torch.zeros_like)  # the noise, that is
    plain, held = (loop(table, tmp_path, alpha) for alpha in (0.0, 2.0))
    for one in (plain, held):
        one._gradients([Stream(one.objective, one.train, 16, 0).next()])
    objective = plain.objective
    assert isinstance(objective, FusedObjective)
    assert objective.watched is not None
    assert sum(shares[0] for shares in objective.shares.values()) == pytest.approx(1)
    watched = objective.watched
    scores = unimodal_scores(watched.logits, watched.targets.argmax(1), watched.present)
    coefficients = modulation_coefficients(scores, alpha=2.0)
    assert min(coefficients.values()) < 1 == max(coefficients.values())
    first, second = plain.model.encoder_parameters(), held.model.encoder_parameters()  # type: ignore[operator]
    for name, coefficient in coefficients.items():
        for before, after in zip(first[name], second[name], strict=True):
            if before.grad is not None:
                assert torch.allclose(after.grad, before.grad * coefficient, atol=1e-7)
    heads = (plain.model.heads, held.model.heads)
    assert all(torch.equal(a.grad, b.grad) for a, b in zip(*(head.parameters() for head in heads), strict=True))
