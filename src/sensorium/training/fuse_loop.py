"""The training loop of fused models: between gradients and step it looks at who learns, and may hold some back.

Unusual: it is the one loop; this adds only what must happen when the gradients of a step are whole and not yet clipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from sensorium.fusion.model import FusedModel
from sensorium.fusion.modulation import gradient_shares, modulate_gradients, unimodal_scores
from sensorium.objectives.fused import FusedObjective
from sensorium.training.loop import Loop


@dataclass
class FusedLoop(Loop):
    """Records gradient shares, and modulates gradients (OGM-GE, Peng et al. 2022) where `modulation` is above 0."""

    modulation: float = 0.0

    def _gradients(self, batches: Sequence[Any]) -> tuple[Tensor, Tensor]:
        found = super()._gradients(batches)
        model, objective = self.model, self.objective
        if not isinstance(model, FusedModel) or not isinstance(objective, FusedObjective) or len(model.names) < 2:
            return found
        encoders = model.encoder_parameters()
        for name, share in gradient_shares(encoders).items():
            objective.shares.setdefault(name, []).append(share)
        watched = objective.watched
        if self.modulation and watched is not None and objective.problem == "classification":
            scores = unimodal_scores(watched.logits, watched.targets.argmax(1), watched.present)
            modulate_gradients(encoders, scores, alpha=self.modulation)
        return found
