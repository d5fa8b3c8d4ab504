"""The handle of a fused model: a table or rows in, a label for each row out, whatever is missing in it."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool

from sensorium.data.tables.data import FusedData
from sensorium.data.tables.specs import Problems, read_senses, reading_notes
from sensorium.data.tables.table import Table, TableLike, read_table
from sensorium.errors import CapabilityError, InputError
from sensorium.files import StrPath, write_text
from sensorium.fusion.compare import Answers, Change, Told, tell
from sensorium.tasks.fused_pieces import tell_in_pieces
from sensorium.training.devices import device_of
from sensorium.training.fuse_folder import Fused, is_fused, read_fused

_AT_ONCE = 64
"""Rows that are read together."""
_HALF = 0.5
Label = str | float | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What is told of one row.

    Args:
        label: the likeliest class; all labels that are likelier than not; or the amount.
        probabilities: of each class or label, calibrated; of an amount there are none.
        used: the modalities that it was told from. None of them: the answer is how frequent the classes were.
        missing: the others.
    """

    label: Label
    probabilities: dict[str, float]
    used: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Predictions:
    """What is told of a table.

    Args:
        rows: one a row.
        notes: what could not be read: columns, files.
        missing: by modality, how many rows lack it.
        empty: how many rows lack all, and got how frequent the classes were.
    """

    rows: tuple[Prediction, ...]
    notes: tuple[str, ...]
    missing: dict[str, int]
    empty: int


class FusedHandle:
    """A loaded fused model; `load` makes it.

    Args:
        fused: the model.
        source: its name.
        device: where it computes.
    """

    def __init__(self, fused: Fused, source: str, device: torch.device) -> None:
        self.fused, self.source, self.device = fused, source, device

    def __repr__(self) -> str:
        return f"FusedHandle({self.source!r}, tells {self.label!r} from: {', '.join(self.modalities)})"

    @classmethod
    def open(cls, folder: StrPath, *, device: str = "auto", source: str | None = None) -> FusedHandle:
        """Open a folder that `fuse` made.

        Raises:
            InputError: there is no such device, or a file is missing.
            CheckpointError: files are corrupt, or do not fit each other.
        """
        place = device_of(device)
        return cls(read_fused(folder, device=place), source or str(folder), place)

    @property
    def modalities(self) -> tuple[str, ...]:
        """What a label is told from, by name."""
        return tuple(spec.sense.name for spec in self.fused.specs)

    @property
    def label(self) -> str:
        """The column that is told."""
        return self.fused.schema.label

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes or labels; of an amount its column."""
        return self.fused.target.names

    def predict(self, table: TableLike, *, root: StrPath | None = None) -> list[Prediction]:
        """A label for every row.

        Args:
            table: a file, a row, or rows. A column that is missing, and a file that is missing or damaged, is done
                without; `predict_all` tells of them.
            root: where relative paths in cells begin; by default the file's folder, of rows the current one.

        Raises:
            InputError: there is no such file, or no column of the model's is in it.
            DataError: it is no table.
        """
        return list(self.predict_all(table, root=root).rows)

    def predict_all(
        self, table: TableLike, *, root: StrPath | None = None, show_progress: bool | None = None
    ) -> Predictions:
        """Like `predict`, with what was missing."""
        read, problems = read_table(table, root=None if root is None else Path(root)), Problems()
        self._refuse_strange(read)
        rows, lacking, empty = list[Prediction](), Counter[str](), 0
        for told in tell_in_pieces(
            self.fused, read, device=self.device, problems=problems, show_progress=show_progress
        ):
            rows += self._predictions(told)
            lacking.update({name: int((~here).sum()) for name, here in told.present.items()})
            empty += int(told.empty.sum())
        notes = reading_notes(self.fused.specs, read, problems)
        missing = {name: count for name, count in lacking.items() if count}
        return Predictions(tuple(rows), (*read.notes, *notes), missing, empty)

    def _predictions(self, told: Told) -> Iterator[Prediction]:
        target = self.fused.target
        for number, answer in enumerate(self.fused.verdict(told)):
            used = tuple(name for name, here in told.present.items() if here[number])
            missing = tuple(name for name, here in told.present.items() if not here[number])
            match target.problem:
                case "classification":
                    label: Label = target.names[int(answer.argmax())]
                case "multi_label":
                    label = tuple(name for name, p in zip(target.names, answer, strict=True) if p > _HALF)
                case "regression":
                    label = float(answer[0])
            sure = {} if target.problem == "regression" else dict(zip(target.names, map(float, answer), strict=True))
            yield Prediction(label, sure, used, missing)

    def _refuse_strange(self, table: Table) -> None:
        own = [name for spec in self.fused.specs for name in spec.sense.columns]
        if not any(name in table.columns for name in own):
            raise InputError(
                f"has no column that the model reads ({', '.join(own[:20])})",
                where=table.source,
                fix=f"Its columns are {', '.join(list(table.columns)[:20])}: rename them",
            )

    def read(
        self, table: Table, *, labelled: bool = False, show_progress: bool | None = None
    ) -> tuple[FusedData, list[str]]:
        """The rows of a table as the model reads them, and what could not be read.

        Args:
            table: the rows.
            labelled: read the label too, and leave rows without one out.
            show_progress: None shows a bar if stderr is a terminal.

        Raises:
            InputError: no column of the model's is in it, or there is no label.
            DataError: a label was not in the training data.
        """
        self._refuse_strange(table)
        senses, notes = read_senses(self.fused.specs, table, some=False, show_progress=show_progress)
        target = self.fused.target
        targets = np.zeros((table.rows, target.outputs))
        rows = np.arange(table.rows)
        if labelled:
            cells = table.column(self.label)
            known: Bool[np.ndarray, " rows"] = target.known(cells)
            where = f"{table.source}, column {self.label!r}"
            if not known.any():
                raise InputError("no row has a label", where=where, fix="Give rows with one")
            targets[known] = target.encode([cells[row] for row in np.flatnonzero(known)], where=where)
            rows = np.flatnonzero(known)
        return FusedData(senses, targets, rows), notes

    def tell(self, data: FusedData, *, change: Change | None = None) -> Told:
        """What features and experts tell of rows; `change` is done to each batch first."""
        fused = self.fused
        return tell(
            fused.model, data.batches(_AT_ONCE), fused.target, table=fused.expert, device=self.device, change=change
        )

    def answers(self, data: FusedData, *, change: Change | None = None) -> Answers:
        """Calibrated probabilities "rows classes", or amounts "rows 1"."""
        return self.fused.verdict(self.tell(data, change=change))


def open_fused(source: StrPath, *, device: str = "auto") -> FusedHandle:
    """Open a fused model and nothing else.

    Raises:
        InputError: there is no such folder.
        CapabilityError: it holds another kind of model.
        CheckpointError: it is damaged.
    """
    folder = Path(source)
    if not folder.is_dir():
        raise InputError("no such folder", where=str(source), fix="Name a folder that `sensorium fuse` made")
    if not is_fused(folder):
        raise CapabilityError("holds no fused model", where=str(source), fix="Make one by `sensorium fuse`")
    return FusedHandle.open(folder, device=device)


def write_predictions(path: StrPath, found: Predictions, classes: tuple[str, ...], label: str) -> None:
    """Write a CSV: the label, the probability of each class, and which modalities were used and missing.

    Raises:
        DiskError: the disk is full or may not be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    sure = bool(found.rows and found.rows[0].probabilities)
    writer.writerow([label, *(f"p({name})" for name in classes if sure), "used", "missing"])
    for row in found.rows:
        told = "|".join(row.label) if isinstance(row.label, tuple) else row.label
        numbers = [f"{row.probabilities[name]:.6f}" for name in classes if sure]
        writer.writerow([told, *numbers, "|".join(row.used), "|".join(row.missing)])
    write_text(path, text.getvalue())


def as_json(found: Predictions) -> str:
    """The same as one JSON document."""
    return json.dumps(
        {
            "predictions": [
                {
                    "label": list(row.label) if isinstance(row.label, tuple) else row.label,
                    "probabilities": row.probabilities,
                    "used": list(row.used),
                    "missing": list(row.missing),
                }
                for row in found.rows
            ],
            "notes": list(found.notes),
            "missing": found.missing,
            "empty": found.empty,
        },
        ensure_ascii=False,
    )
