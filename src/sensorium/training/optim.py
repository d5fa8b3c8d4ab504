"""Optimisers and learning-rate schedules.

Unusual: Muon's orthogonalisation runs in fp32 on a CPU (in bf16 a CPU without bf16 units takes a hundred times as
long), on all matrices of one shape at a time.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from sensorium.training.recipe import OptimRecipe, ScheduleRecipe

_QUINTIC = (3.4445, -4.7750, 2.0315)
"""Newton–Schulz coefficients that raise small singular values fastest (Jordan et al. 2024)."""
_NEWTON_SCHULZ_STEPS = 5


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised: each update's singular values are all about one (Jordan et al. 2024).

    The update is scaled by 0.2 · sqrt(max(rows, columns)), which gives it the size of AdamW's (Liu et al. 2025), so
    that weight decay means the same.

    Args:
        parameters: matrices only.
        lr: learning rate.
        momentum: of the Nesterov momentum.
        weight_decay: decoupled, times lr.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], *, lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[parameter.shape].append(parameter)
            for parameters in by_shape.values():
                self._step(parameters, group)

    def _step(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        updates = []
        for parameter in parameters:
            state = self.state[parameter]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(parameter)
            momentum: Tensor = state["momentum"]
            if parameter.grad is not None:
                momentum.lerp_(parameter.grad, 1 - group["momentum"])
                updates.append(parameter.grad.lerp(momentum, group["momentum"]))
        size = 0.2 * math.sqrt(max(parameters[0].shape))
        for parameter, update in zip(parameters, orthogonalise(torch.stack(updates)), strict=True):
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.add_(update.to(parameter.dtype), alpha=-group["lr"] * size)


def orthogonalise(matrices: Tensor) -> Tensor:
    """The nearest orthogonal matrices, roughly: singular values within about 0.7 to 1.2 (Newton–Schulz)."""
    a, b, c = _QUINTIC
    x = matrices.bfloat16() if matrices.is_cuda else matrices.float()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(_NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    orthogonal: Tensor = x.mT if tall else x
    return orthogonal


def build_optimizers(model: nn.Module, recipe: OptimRecipe) -> list[torch.optim.Optimizer]:
    """AdamW, with weight decay on matrices only; with Muon for the blocks' matrices if asked for."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    hidden = [p for name, p in named if recipe.kind == "muon" and p.dim() == 2 and ".blocks." in name]
    taken = {id(p) for p in hidden}
    rest = [p for _, p in named if id(p) not in taken]
    groups = [
        {"params": [p for p in rest if p.dim() >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in rest if p.dim() < 2], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW(groups, lr=recipe.lr, betas=(recipe.beta1, recipe.beta2), eps=recipe.eps, fused=True)
    optimizers: list[torch.optim.Optimizer] = [adamw]
    if hidden:
        optimizers.append(Muon(hidden, lr=recipe.muon_lr, weight_decay=recipe.weight_decay))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["base_lr"] = group["lr"]
    return optimizers


def set_rates(optimizers: Iterable[torch.optim.Optimizer], factor: float) -> None:
    """Set each group's learning rate to its base, the recipe's own, times the schedule's factor."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor


def learning_rate(recipe: ScheduleRecipe, *, step: int, progress: float) -> float:
    """The factor of the learning rate.

    Args:
        recipe: the schedule.
        step: steps done.
        progress: share of the run that is done, 0 to 1.

    Cosine: Loshchilov & Hutter 2017. WSD (warm-up, stable, linear decay): Hu et al. 2024.
    """
    warmed = (step + 1) / recipe.warmup if recipe.warmup >= 1 else progress / recipe.warmup if recipe.warmup else 1.0
    warm = min(1.0, warmed)
    match recipe.kind:
        case "cosine":
            factor = recipe.floor + (1 - recipe.floor) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        case "wsd":
            left = (1 - progress) / recipe.decay if recipe.decay else 1.0
            factor = recipe.floor + (1 - recipe.floor) * min(1.0, max(left, 0.0))
        case "constant":
            factor = 1.0
    return warm * factor
