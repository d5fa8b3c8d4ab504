"""What the columns of a table are: the record that a fused model keeps, ready for JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sensorium.errors import CheckpointError

ColumnKind = Literal["numeric", "category", "text", "image", "audio", "video"]
KINDS: tuple[ColumnKind, ...] = get_args(ColumnKind)
Modality = Literal["numbers", "text", "image", "audio", "video"]
NUMBERS = "numbers"


@dataclass(frozen=True, slots=True)
class Column:
    """A column that a model reads."""

    name: str
    kind: ColumnKind


@dataclass(frozen=True, slots=True)
class Sense:
    """A modality: a column that has an encoder of its own, or all numbers and categories together."""

    name: str
    kind: Modality
    columns: tuple[str, ...]
    track: bool = False
    """The sound of a column of clips."""


@dataclass(frozen=True, slots=True)
class TableSchema:
    """The columns of a table.

    Args:
        label: what is to be predicted.
        columns: what it is predicted from, in the table's order.
        left_out: columns that tell nothing, and why.
        sound_tracks: columns of clips whose sound is heard too.
    """

    label: str
    columns: tuple[Column, ...]
    left_out: dict[str, str]
    sound_tracks: tuple[str, ...] = ()

    @property
    def senses(self) -> tuple[Sense, ...]:
        """The modalities, in the order of their names. A column's is called as the column is."""
        plain = tuple(column.name for column in self.columns if column.kind in ("numeric", "category"))
        found = [
            Sense(column.name, column.kind, (column.name,))
            for column in self.columns
            if not (column.kind == "numeric" or column.kind == "category")  # noqa: PLR1714 - mypy narrows by it
        ]
        taken = {sense.name for sense in found}
        for name in self.sound_tracks:
            found.append(Sense(_free(f"{name} (sound)", taken), "audio", (name,), track=True))
        if plain:
            found.append(Sense(_free(NUMBERS, taken), "numbers", plain))
        return tuple(sorted(found, key=lambda sense: sense.name))

    def to_dict(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "columns": {column.name: column.kind for column in self.columns},
            "left_out": dict(self.left_out),
            "sound_tracks": list(self.sound_tracks),
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> TableSchema:
        """The inverse of `to_dict`.

        Raises:
            CheckpointError: it is damaged.
        """
        try:
            columns = tuple(Column(str(name), kind) for name, kind in saved["columns"].items())
            tracks = tuple(map(str, saved["sound_tracks"]))
            made = cls(str(saved["label"]), columns, dict(saved["left_out"]), tracks)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise CheckpointError(f"a saved schema is damaged: {error!r}", fix="Copy the folder anew") from error
        if wrong := [column.kind for column in made.columns if column.kind not in KINDS]:
            raise CheckpointError(f"a saved schema has a column of the kind {wrong[0]!r}", fix="Copy the folder anew")
        return made

    def without_label(self) -> TableSchema:
        """The same, of a table whose labels are not known."""
        return dataclasses.replace(self, label="")


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
