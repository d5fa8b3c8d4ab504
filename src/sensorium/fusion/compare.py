"""What a fused model and its experts tell of rows, as arrays: what decisions are fitted to, and what a report compares.

Unusual: an expert is asked of every row, and NaN stands where its modality is absent, as decisions take it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from sensorium.data.tables.batch import FusedBatch, SenseInput
from sensorium.data.tables.targets import TargetSpec
from sensorium.fusion.features.base import Features
from sensorium.fusion.measures import measure
from sensorium.fusion.missing import Present
from sensorium.fusion.model import FusedModel
from sensorium.fusion.statistics import Interval, bootstrap_mean
from sensorium.fusion.table_expert import TableExpert

Answers = Float64[np.ndarray, "rows outputs"]
Change = Callable[[FusedBatch], FusedBatch]


@dataclass(frozen=True, eq=False)
class Told:
    """What was told of the same rows.

    Args:
        fused: by features together; None of a model that fuses decisions alone. Of rows that lack every modality it
            says nothing of meaning: see `present`.
        experts: by each modality alone, NaN where it is absent.
        present: where each modality is there.
    """

    fused: Answers | None
    experts: dict[str, Answers]
    present: dict[str, Bool[np.ndarray, " rows"]]

    @property
    def empty(self) -> Bool[np.ndarray, " rows"]:
        """Rows that lack every modality."""
        nothing: Bool[np.ndarray, " rows"] = ~np.logical_or.reduce(list(self.present.values()))
        return nothing


def tell(
    model: FusedModel,
    batches: Iterable[FusedBatch],
    spec: TargetSpec,
    *,
    table: tuple[str, TableExpert] | None = None,
    device: torch.device | str = "cpu",
    change: Change | None = None,
) -> Told:
    """Ask a model about rows.

    Args:
        model: in evaluation mode.
        batches: all rows, in their order; at least one.
        spec: what the outputs are.
        table: the modality of numbers, and the expert that answers for it in place of the model's head.
        device: where the model is.
        change: done to each batch before it is read: noise, or modalities taken away.
    """
    parts = list[Told]()
    with torch.inference_mode():
        for plain in batches:
            batch = plain if change is None else change(plain)
            features, _ = model.features({name: batch.inputs[name].to(device) for name in model.names})
            present = {name: one.present for name, one in batch.inputs.items()}
            known = {} if table is None else {table[0]: told_by(table[1], batch.inputs[table[0]], spec)}
            parts.append(judge(model, features, present, spec, known=known))
    return joined(parts)


def judge(
    model: FusedModel, features: Features, present: Present, spec: TargetSpec, *, known: Mapping[str, Answers]
) -> Told:
    """Ask a model about rows that are encoded.

    Args:
        model: in evaluation mode; the caller is in inference mode.
        features: of the model's modalities, as `FusedModel.encode` gives them.
        present: where each modality is there; also those of `known`.
        spec: what the outputs are.
        known: the answers of experts that take the place of the model's heads; see `told_by`.
    """
    fused, place = None, next(iter(features.values())).device
    if model.fusion is not None:
        fused = answers(model.fused(features, {name: present[name].to(place) for name in features}), spec)
    here = {name: present[name].cpu().numpy() for name in sorted(present)}
    experts = {name: answers(said, spec) for name, said in model.experts(features).items() if name not in known}
    for name, told in experts.items():
        told[~here[name]] = np.nan
    return Told(fused=fused, experts=dict(sorted((experts | dict(known)).items())), present=here)


def told_by(expert: TableExpert, numbers: SenseInput, spec: TargetSpec) -> Answers:
    """What an expert of numbers tells; NaN where there are none."""
    here = numbers.present.numpy()
    told = np.full((len(here), spec.outputs), np.nan)
    if here.any():
        told[here] = expert(numbers.values.numpy())
    return told


def joined(parts: Sequence[Told]) -> Told:
    """What was told of rows, one piece after the other; at least one."""
    fused = [part.fused for part in parts if part.fused is not None]
    return Told(
        fused=np.concatenate(fused) if fused else None,
        experts={name: np.concatenate([part.experts[name] for part in parts]) for name in parts[0].experts},
        present={name: np.concatenate([part.present[name] for part in parts]) for name in parts[0].present},
    )


def answers(logits: Tensor, spec: TargetSpec) -> Answers:
    """Logits as probabilities, or as amounts in their own units."""
    raw = logits.double().cpu()
    if spec.problem == "classification":
        raw = raw.softmax(1)
    elif spec.problem == "multi_label":
        raw = raw.sigmoid()
    return spec.amounts(raw.numpy())


@dataclass(frozen=True, slots=True)
class Compared:
    """How good one system is on a split.

    Args:
        measures: by name, the main one first; see `fusion.measures.measure`.
        interval: of the share of rows that are right, or of the absolute error; None of several labels.
        rows: how many it answers; an expert answers those that have its modality.
    """

    measures: dict[str, float]
    interval: Interval | None
    rows: int


def compare(
    systems: Mapping[str, Answers], targets: Answers, spec: TargetSpec, *, seed: int = 0
) -> dict[str, Compared]:
    """Measure each system on the rows that it answers.

    Args:
        systems: answers by name; NaN where there is none.
        targets: as `TargetSpec.encode` gives them.
        spec: what the answers are.
        seed: of the bootstrap.
    """
    found = {}
    for name, told in systems.items():
        here = ~np.isnan(told).any(1)
        if not here.any():
            continue
        truth = spec.plain(targets[here])
        interval = None
        if spec.problem == "classification":
            interval = bootstrap_mean(told[here].argmax(1) == truth, seed=seed)
        elif spec.problem == "regression":
            interval = bootstrap_mean(np.abs(told[here] - truth).mean(1), seed=seed)
        found[name] = Compared(measure(spec.problem, truth, told[here]), interval, int(here.sum()))
    return found
