"""Fresh weights of what has towers or stacks of other senses; `core/model.py` draws those of models of text."""

from __future__ import annotations

import math

import torch
from torch import nn

from sensorium.core.stack import Trunk


def initialise_senses(model: nn.Module, *, std: float = 0.02, generator: torch.Generator | None = None) -> None:
    """Draw fresh weights.

    | parameter                                             | drawn from              |
    |-------------------------------------------------------|-------------------------|
    | matrices, convolutions, embeddings, positions         | N(0, std)               |
    | class vectors, the query of a pooling by attention    | N(0, std)               |
    | `attention.out`, `cross.out`, `feedforward.down` (pre)| N(0, std / √branches)   |
    | biases                                                | 0                       |
    | norm weights                                          | 1                       |
    | scale and bias of cosines, tables that are not trained| as they are             |

    Branches are all that are added to a stack's residual, as in `core.model.initialise`.
    """
    ends: dict[str, float] = {}
    for prefix, module in model.named_modules():
        if isinstance(module, Trunk):
            blocks = module.config.blocks
            branches = sum(3 if block.cross is not None else 2 for block in blocks)
            dot = f"{prefix}." if prefix else ""
            ends |= {
                f"{dot}blocks.{i}.": std / math.sqrt(branches)
                for i, block in enumerate(blocks)
                if block.placement == "pre"
            }
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 0 or not parameter.requires_grad:
                continue
            if parameter.dim() == 1 and not name.endswith(("cls", "query")):
                parameter.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
                continue
            drawn = std
            if name.endswith(("attention.out.weight", "cross.out.weight", "feedforward.down.weight")):
                drawn = ends.get(".".join(name.split(".")[:-3]) + ".", std)
            parameter.normal_(0.0, drawn, generator=generator)


def fresh_std(dim: int) -> float:
    """Deviation of fresh weights: 0.02 at a width of 768, as the large models have it, and in proportion to
    1 / √width elsewhere, so that what goes through a narrow tower is no weaker."""
    return _STD * math.sqrt(_WIDTH / dim)


_STD, _WIDTH = 0.02, 768
