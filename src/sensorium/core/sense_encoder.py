"""A `SenseEncoder`: one tower alone, with classes where it tells some (a ViT that names what a picture shows).

It stands for other senses where `Encoder` stands for text: `forward` gives hidden states, and the heads are separate
methods.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor, nn

from sensorium.core.attend import Backend
from sensorium.core.capture import Capture
from sensorium.core.config import Problem
from sensorium.core.linear import Linear
from sensorium.core.stack import Hidden, Ids
from sensorium.core.tower import Tower, TowerConfig
from sensorium.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class SenseModelConfig:
    """A tower and its classes."""

    tower: TowerConfig
    n_classes: int = 0
    """0: no class head."""
    problem: Problem | None = None
    """What the logits are; see `ClassHeadConfig`."""
    labels: tuple[str, ...] = ()
    """Names of the classes, in their order."""

    def __post_init__(self) -> None:
        if self.labels and len(self.labels) != self.n_classes:
            raise ConfigError(f"{len(self.labels)} labels for {self.n_classes} classes", fix="Name each of them once")


class SenseEncoder(nn.Module):
    """A tower, with a class head over its vector where the configuration names classes."""

    def __init__(self, config: SenseModelConfig) -> None:
        super().__init__()
        self.config = config
        self.tower = Tower(config.tower)
        self.classes = Linear(config.tower.width, config.n_classes) if config.n_classes else None

    def forward(
        self,
        x: Tensor,
        *,
        valid: Bool[Tensor, "batch seq"] | None = None,
        backend: Backend = "auto",
        capture: Capture | None = None,
    ) -> Hidden:
        """Hidden states; see `Tower.hidden`."""
        return self.tower.hidden(x, valid=valid, backend=backend, capture=capture)

    def pooled(
        self, hidden: Hidden, *, ids: Ids | None = None, valid: Bool[Tensor, "batch seq"] | None = None
    ) -> Float[Tensor, "batch width"]:
        """The tower's vector of all of `forward`'s result; see `Tower.pooled`."""
        return self.tower.pooled(hidden, ids=ids, valid=valid)

    def class_logits(
        self, hidden: Hidden, *, ids: Ids | None = None, valid: Bool[Tensor, "batch seq"] | None = None
    ) -> Float[Tensor, "batch classes"]:
        """Logits of the classes, of all of `forward`'s result.

        Raises:
            ConfigError: the model has no class head.
        """
        if self.classes is None:
            raise ConfigError("the model has no class head")
        return self.classes(self.pooled(hidden, ids=ids, valid=valid))  # type: ignore[no-any-return]
