"""The loss of a fused model: what it tells of all modalities together, and what each tells alone.

The heads of single modalities learn beside the fused one (AutoGluon-Multimodal, Tang et al. 2024), so that no encoder
starves behind a stronger one, and they are the experts of decision-level fusion. Unusual: mixup (Zhang et al. 2018)
mixes what the encoders found rather than what they read (manifold mixup, Verma et al. 2019), since texts cannot be
mixed; every modality with the same partner by the same weight.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from sensorium.data.tables.batch import FusedBatch, Inputs
from sensorium.data.tables.data import FusedData
from sensorium.data.tables.targets import Problem
from sensorium.modalities.augment import mixup
from sensorium.objectives.objective import Loss, Units

Level = Literal["feature", "decision", "both"]
Logits = Float[Tensor, "batch outputs"]
_WHOLE = 1 - 1e-6


@runtime_checkable
class Fuses(Protocol):
    """What the objective asks of a model: `fusion.model.FusedModel`."""

    def features(self, inputs: Inputs) -> tuple[dict[str, Tensor], dict[str, Tensor]]: ...

    def experts(self, features: dict[str, Tensor]) -> dict[str, Tensor]: ...

    def fused(self, features: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class FusedExample:
    """A row by its place, and the seed of what is drawn for it."""

    data: FusedData
    place: int
    seed: int


@dataclass
class FusedObjective:
    """Learns to tell labels from several modalities.

    Args:
        problem: what the outputs are.
        level: `decision` learns each modality alone, `feature` and `both` all together besides.
        expert_weight: of the losses of single modalities, beside the fused one.
        mixup: alpha of Beta(alpha, alpha), by which rows are mixed; 0 mixes none.
        label_smoothing: share of a class's weight that is spread over all.
        class_weights: what each class weighs, by its number.
        watched: filled in training with what each modality alone said, for `fusion.modulation`.
        shares: filled by the loop with gradient shares, which validation then tells of.
    """

    problem: Problem
    level: Level
    expert_weight: float = 0.3
    mixup: float = 0.0
    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] | None = None
    name: str = "fused"
    watched: Watched | None = None
    shares: dict[str, list[float]] = field(default_factory=dict)

    def units(self, data: FusedData, rng: np.random.Generator) -> Units:
        """One a row."""
        return np.arange(len(data), dtype=np.int64)[:, None]

    def example(self, data: FusedData, unit: Units, rng: np.random.Generator) -> FusedExample:
        return FusedExample(data, int(unit[0]), int(rng.integers(1 << 62)))

    def size(self, example: FusedExample) -> int:
        """A row is a row."""
        return 1

    def collate(self, examples: Sequence[FusedExample], device: torch.device | str = "cpu") -> FusedBatch:
        places = np.array([example.place for example in examples], np.int64)
        batch = examples[0].data.batch(places, seed=examples[0].seed)
        inputs = {name: one.to(device) for name, one in batch.inputs.items()}
        return FusedBatch(inputs, batch.targets.to(device), batch.seed)

    def flops(self, config: Any) -> float:
        """Three forward passes of a row that has every modality."""
        return 3.0 * float(config.flops())

    def loss(self, model: Fuses, batch: FusedBatch) -> Loss:
        features, present = model.features(batch.inputs)
        targets = batch.targets
        if self.mixup:
            features, present, targets = self._mixed(features, present, targets, batch.seed)
        said = model.experts(features)
        alone = {name: self._loss(said[name][here], targets[here]) for name, here in present.items() if here.any()}
        self.watched = Watched({name: one.detach() for name, one in said.items()}, targets, present)
        # Mixed rows may all lack every modality: then nothing is learned of them alone, by a gradient of zero.
        nothing = torch.stack([one.sum() * 0.0 for one in said.values()]).sum()
        experts = nothing + sum(alone.values(), torch.zeros_like(nothing))
        parts = {f"alone/{name}": one.detach() for name, one in alone.items()}
        if self.level == "decision":
            parts["loss"] = experts.detach() / max(1, len(alone))
            return Loss(experts, parts)
        fused = self._loss(model.fused(features, present), targets)
        parts["loss"] = fused.detach()
        return Loss(fused + self.expert_weight * experts, parts)

    def evaluate(self, model: Fuses, batches: Iterator[FusedBatch], n_bytes: int) -> dict[str, float]:
        """The fused loss (of `decision`: the mean of those of single modalities), that of each modality alone over the
        rows that have it, and how much is right: accuracy, or for regression the mean absolute error in deviations."""
        sums, counts = dict[str, float](), dict[str, int]()
        with torch.no_grad():
            for batch in batches:
                features, present = model.features(batch.inputs)
                said = {name: (logits, present[name]) for name, logits in model.experts(features).items()}
                if self.level != "decision":
                    said[""] = model.fused(features, present), torch.ones(len(batch.targets), dtype=torch.bool)
                for name, (logits, here) in said.items():
                    kept, targets = logits[here].float(), batch.targets[here.to(batch.targets.device)]
                    for what, value in self._measures(kept, targets).items():
                        key = f"{what}/{name}" if name else what
                        sums[key] = sums.get(key, 0.0) + float(value) * len(kept)
                        counts[key] = counts.get(key, 0) + len(kept)
        found = {key: sums[key] / counts[key] for key in sorted(sums) if counts[key]}
        if self.level == "decision" and found:
            alone = [value for key, value in found.items() if key.startswith("loss/")]
            found = {"loss": sum(alone) / len(alone), **found}
        found |= {f"gradient_share/{name}": sum(seen) / len(seen) for name, seen in sorted(self.shares.items()) if seen}
        self.shares.clear()
        return found

    def _measures(self, logits: Logits, targets: Logits) -> dict[str, Tensor]:
        if not len(logits):
            return {}
        loss = _loss(logits, targets, self.problem, None, 0.0)
        match self.problem:
            case "classification":
                return {"loss": loss, "accuracy": (logits.argmax(1) == targets.argmax(1)).float().mean()}
            case "multi_label":
                return {"loss": loss, "accuracy": ((logits > 0) == (targets > 0.5)).float().mean()}
            case "regression":
                return {"loss": loss, "error": (logits - targets).abs().mean()}

    def _loss(self, logits: Logits, targets: Logits) -> Float[Tensor, ""]:
        weights = None if self.class_weights is None else torch.tensor(self.class_weights, device=logits.device)
        return _loss(logits.float(), targets, self.problem, weights, self.label_smoothing)

    def _mixed(
        self, features: dict[str, Tensor], present: dict[str, Tensor], targets: Logits, seed: int
    ) -> tuple[dict[str, Tensor], dict[str, Bool[Tensor, " batch"]], Logits]:
        """A modality that one of two partners lacks is lacking in what is mixed of them."""
        generator = torch.Generator().manual_seed(seed)
        inputs = {f"x {name}": value for name, value in features.items()}
        inputs |= {f"p {name}": value.float() for name, value in present.items()}
        mixed, mixed_targets = mixup(inputs, targets, alpha=self.mixup, generator=generator)
        kept = {name: mixed[f"p {name}"] > _WHOLE for name in present}
        return {name: mixed[f"x {name}"] for name in features}, kept, mixed_targets


@dataclass(frozen=True, eq=False)
class Watched:
    """What each modality alone said of a batch."""

    logits: dict[str, Tensor]
    targets: Logits
    present: dict[str, Tensor]


def _loss(
    logits: Logits,
    targets: Logits,
    problem: Problem,
    weights: Float[Tensor, " outputs"] | None,
    smoothing: float,
) -> Float[Tensor, ""]:
    """Cross-entropy with weights over classes, binary cross-entropy of each label, or squared error; the mean."""
    if problem == "classification":
        rows = F.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)
        return (rows if weights is None else rows * (targets @ weights)).mean()
    if problem == "multi_label":
        return F.binary_cross_entropy_with_logits(logits, targets)
    return F.mse_loss(logits, targets)
