"""Schedules equal those of `transformers`; Muon equals torch's; AdamW decays matrices only."""

from __future__ import annotations

import pytest
import torch
import transformers as hf

from sensorium.training.optim import Muon, build_optimizers, learning_rate, orthogonalise
from sensorium.training.recipe import OptimRecipe, ScheduleRecipe
from tests.core.models import bert, built


def stock_rates(make, steps: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return rates


def test_cosine_after_warm_up_falls_as_in_transformers() -> None:
    recipe = ScheduleRecipe(kind="cosine", warmup=0)
    expected = stock_rates(lambda o: hf.get_cosine_schedule_with_warmup(o, 0, 50), 50)
    assert [learning_rate(recipe, step=i, progress=i / 50) for i in range(50)] == pytest.approx(expected)


def test_warm_up_is_linear_and_wsd_keeps_then_falls() -> None:
    recipe = ScheduleRecipe(kind="wsd", warmup=10, decay=0.2, floor=0.1)
    rates = [learning_rate(recipe, step=i, progress=i / 100) for i in range(101)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert rates[10:81] == pytest.approx([1.0] * 71)
    assert rates[90] == pytest.approx(0.55)
    assert rates[100] == pytest.approx(0.1)


def test_orthogonalised_matrices_have_singular_values_about_one() -> None:
    matrices = torch.randn(3, 12, 20, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(matrices))
    assert values.min() > 0.5
    assert values.max() < 1.4


def test_muon_steps_as_torch_does() -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(8, 6, generator=generator)
    mine, theirs = torch.nn.Parameter(start.clone()), torch.nn.Parameter(start.clone())
    ours = Muon([mine], lr=0.1, momentum=0.9, weight_decay=0.1)
    stock = torch.optim.Muon([theirs], lr=0.1, momentum=0.9, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    for _ in range(3):
        gradient = torch.randn(8, 6, generator=generator)
        for parameter, optimizer in ((mine, ours), (theirs, stock)):
            parameter.grad = gradient.clone()
            optimizer.step()
    torch.testing.assert_close(mine, theirs, atol=5e-3, rtol=0)  # torch orthogonalises in bf16


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_weight_decay_is_of_matrices_alone(kind: str) -> None:
    model = built(bert()).requires_grad_(True)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    recipe = OptimRecipe(kind=kind, lr=0.1, muon_lr=0.1, weight_decay=0.5)
    for optimizer in build_optimizers(model, recipe):
        optimizer.step()
    for name, parameter in model.named_parameters():
        share = 1 - 0.1 * 0.5 if parameter.dim() >= 2 else 1.0
        torch.testing.assert_close(parameter.detach(), before[name] * share, msg=name)


def test_warm_up_of_less_than_a_step_is_a_share_of_the_run() -> None:
    recipe = ScheduleRecipe(kind="constant", warmup=0.1)
    factors = [learning_rate(recipe, step=step, progress=step / 50) for step in range(50)]
    expected = stock_rates(lambda o: hf.get_constant_schedule_with_warmup(o, 5), 50)
    assert factors == pytest.approx(expected)
