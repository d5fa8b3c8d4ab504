"""LoRA (Hu et al. 2022): a frozen matrix plus a trained product of two thin ones, merged when the model is written.

Unusual: merged, a model is what it was before, with other numbers: nothing that reads or writes it knows of LoRA.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sensorium.core.linear import for_products
from sensorium.errors import ConfigError

TARGETS = (
    "attention.q", "attention.k", "attention.v", "attention.out",
    "feedforward.gate", "feedforward.up", "feedforward.down",
)  # fmt: skip
"""The maps of a block, by the ends of their names."""


class LowRank(nn.Module):
    """W x + (alpha / rank) · B A x, of which A and B are trained; B starts at zero."""

    def __init__(self, base: nn.Linear, *, rank: int, alpha: float) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Parameter(torch.empty(rank, base.in_features, device=base.weight.device))
        self.up = nn.Parameter(torch.zeros(base.out_features, rank, device=base.weight.device))
        self.scale = alpha / rank
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, x: Float[Tensor, "*rows inputs"]) -> Float[Tensor, "*rows outputs"]:
        x = for_products(x)
        thin = nn.functional.linear(nn.functional.linear(x, self.down), self.up)
        return self.base(x) + self.scale * thin  # type: ignore[no-any-return]

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """The one map that computes the same."""
        change = self.scale * (self.up.double() @ self.down.double())
        self.base.weight.copy_(self.base.weight.double() + change)
        return self.base


def add_lora(model: nn.Module, *, rank: int, alpha: float, targets: Sequence[str] = TARGETS) -> list[nn.Parameter]:
    """Put thin matrices beside a model's maps, in place; the new parameters.

    Args:
        model: what is adapted; its own parameters are left as they are, but for the maps', which are frozen.
        rank: of the change.
        alpha: what the change is multiplied by, over the rank.
        targets: ends of the names of the maps.

    Raises:
        ConfigError: the model has no such map, or the rank is below 1.
    """
    if rank < 1:
        raise ConfigError(f"rank={rank} is no rank", fix="Choose 1 or more")
    found = list(_maps(model, tuple(targets)))
    if not found:
        raise ConfigError(f"no map of the model ends with {' or '.join(targets)}")
    added: list[nn.Parameter] = []
    for parent, name, linear in found:
        thin = LowRank(linear, rank=rank, alpha=alpha)
        setattr(parent, name, thin)
        added += [thin.down, thin.up]
    return added


def merge_lora(model: nn.Module) -> None:
    """Add each product to its matrix and take the thin ones away, in place."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LowRank):
                setattr(parent, name, child.merged())


def _maps(model: nn.Module, targets: tuple[str, ...]) -> Iterator[tuple[nn.Module, str, nn.Linear]]:
    modules = dict(model.named_modules())
    for name, module in modules.items():
        if isinstance(module, nn.Linear) and name.endswith(targets):
            parent, _, last = name.rpartition(".")
            yield modules[parent], last, module
