"""What a fused model and its experts tell of rows, as arrays: what decisions are fitted to, and what a report compares.

Unusual: an expert is asked of every row, and NaN stands where its modality is absent, as decisions take it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from sensorium.data.tables.batch import FusedBatch
from sensorium.data.tables.targets import TargetSpec
from sensorium.fusion.measures import measure
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
    fused, experts, present = list[Answers](), dict[str, list[Answers]](), dict[str, list[Bool[np.ndarray, " _"]]]()
    with torch.inference_mode():
        for plain in batches:
            batch = plain if change is None else change(plain)
            read = {name: batch.inputs[name].to(device) for name in model.names}
            joined, said, _ = model(read)
            if joined is not None:
                fused.append(answers(joined, spec))
            for name, one in batch.inputs.items():
                here = one.present.numpy()
                present.setdefault(name, []).append(here)
                if table is not None and name == table[0]:
                    told = np.full((len(here), spec.outputs), np.nan)
                    if here.any():
                        told[here] = table[1](one.values.numpy())
                elif name in said:
                    told = answers(said[name], spec)
                    told[~here] = np.nan
                else:
                    continue
                experts.setdefault(name, []).append(told)
    return Told(
        fused=np.concatenate(fused) if fused else None,
        experts={name: np.concatenate(parts) for name, parts in sorted(experts.items())},
        present={name: np.concatenate(parts) for name, parts in sorted(present.items())},
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
