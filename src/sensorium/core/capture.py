"""A record of what happened inside one forward pass, for those who want to look: filled only when handed in."""

from __future__ import annotations

from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor


@dataclass
class Capture:
    """Hand one to a model's `forward`; afterwards its lists hold one tensor a layer.

    Attention probabilities need the eager back-end, which `auto` then chooses.
    """

    probabilities: bool = True
    """Keep each layer's attention probabilities."""
    hidden: bool = True
    """Keep the embeddings, then each block's output; the final norm is not among them."""
    depth: int | None = None
    """Run so many blocks only. What the model returns is then of no use; the states are."""
    attention: list[Float[Tensor, "batch heads queries keys"]] = field(default_factory=list)
    cross: list[Float[Tensor, "batch heads queries keys"]] = field(default_factory=list)
    """Of a decoder's attention to what its encoder read."""
    states: list[Float[Tensor, "batch seq dim"]] = field(default_factory=list)
