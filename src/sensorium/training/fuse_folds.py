"""Out-of-fold answers: what experts tell of training rows that they did not learn from (stacking: Wolpert 1992).

The experts are trained once for each fold, on the other folds, by the same recipe and in the same loop; what they tell
of their fold is what decisions are fitted to. Those that answer in use are trained on all rows.

Unusual: tokenizers, and the means and categories of numbers, are those of all training rows; they see no label.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from sensorium.data.tables.data import FusedData
from sensorium.fusion.compare import Told, tell
from sensorium.fusion.model import FusedModel
from sensorium.fusion.model_decision import Held
from sensorium.fusion.table_expert import TableExpert
from sensorium.progress import heading
from sensorium.training.fuse_table import Prepared
from sensorium.training.state import newest_state

Expert = tuple[str, TableExpert] | None
Train = Callable[[FusedData, FusedData, Path, Path | None], FusedModel]
"""Trains fresh experts on rows, measured by other rows, in a folder, from a state; gives them in evaluation mode."""


def clear_folds(run: Path) -> None:
    """Remove what an earlier run left of its folds."""
    for folder in run.glob("fold-*"):
        shutil.rmtree(folder, ignore_errors=True)


def out_of_fold(
    ready: Prepared,
    train: Train,
    fit: Callable[[FusedData], Expert],
    *,
    run: Path,
    size: int,
    device: torch.device,
    show_progress: bool | None = None,
) -> Held:
    """What experts tell of all training rows, each by those that were not trained on it.

    Args:
        ready: the table; its `folds` say which rows go together.
        train, fit: train the networks, and fit what answers for numbers.
        run: the folder of the run; each fold has its own in it, `fold-0` and so on, whose state is gone on from.
        size: rows of a batch.
        device: where the networks are asked.
        show_progress: None names the folds if stderr is a terminal.

    Raises:
        TrainingError: the loss is not finite; the run was interrupted.
        DiskError: the disk is full or may not be written.
    """
    data, folds, count = ready.train, ready.folds, int(ready.folds.max()) + 1
    told = list[Told]()
    for fold in range(count):
        folder = run / f"fold-{fold}"
        folder.mkdir(parents=True, exist_ok=True)
        heading(f"fold {fold + 1} of {count}", show=show_progress)
        rest, held = replace(data, rows=data.rows[folds != fold]), data.select(data.rows[folds == fold])
        model = train(rest, held, folder, newest_state(folder))
        told.append(tell(model, held.batches(size), ready.target, table=fit(rest), device=device))
    order = np.argsort(np.concatenate([np.flatnonzero(folds == fold) for fold in range(count)]))
    joined = Told(
        fused=None,
        experts={name: np.concatenate([one.experts[name] for one in told])[order] for name in told[0].experts},
        present={name: np.concatenate([one.present[name] for one in told])[order] for name in told[0].present},
    )
    return joined, data.targets[data.rows]
