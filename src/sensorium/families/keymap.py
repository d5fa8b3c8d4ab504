"""Their parameter names and ours: one table a family, read in both directions.

A table row maps one of their tensors to one of ours, or to several stacked in it (GPT-2's fused q, k, v), with a
`{layer}` slot for the block number. Whatever does not fit, in any way, is collected and told at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sensorium.errors import CheckpointError

Tensors = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Row:
    """One tensor of theirs and what it is here."""

    theirs: str
    ours: tuple[str, ...]
    """More than one: theirs is these, stacked along the output features."""
    transpose: bool = False
    """Theirs is stored input-major (GPT-2's Conv1D)."""
    leading: int = 0
    """Theirs has so many more dimensions in front, each of 1 (BART's bias of the output, ViT's class vector)."""


def row(theirs: str, ours: str | Sequence[str], *, transpose: bool = False, leading: int = 0) -> Row:
    """A row of the table."""
    return Row(theirs, (ours,) if isinstance(ours, str) else tuple(ours), transpose, leading)


def affine(theirs: str, ours: str | Sequence[str], *, transpose: bool = False) -> list[Row]:
    """The rows of a weight and its bias."""
    names = (ours,) if isinstance(ours, str) else tuple(ours)
    return [
        row(f"{theirs}.weight", [f"{name}.weight" for name in names], transpose=transpose),
        row(f"{theirs}.bias", [f"{name}.bias" for name in names]),
    ]


@dataclass(frozen=True)
class KeyMap:
    """A family's table, spelled out for one model.

    Args:
        rows: the table; rows with `{layer}` stand for one row a layer. Rows whose tensors this model does not have
            (a bias, a head) are inert.
        layers: blocks of the model.
        ignored: patterns of their names that hold nothing to load (buffers).
        same: their second name of a tensor → its first: tied weights are stored once, under the first.
        spelled: old spelling → new, for checkpoints of other days; read only.
    """

    rows: Sequence[Row]
    layers: int
    ignored: Sequence[str] = ()
    same: Mapping[str, str] | None = None
    spelled: Mapping[str, str] | None = None

    def to_ours(self, theirs: Tensors, shapes: Mapping[str, torch.Size], *, where: str) -> Tensors:
        """Their tensors under our names.

        Args:
            theirs: the checkpoint.
            shapes: every parameter of the model, with its shape.
            where: the checkpoint's place, for the error.

        Raises:
            CheckpointError: tensors are missing, unknown, of another shape or kind, or differ though they are tied; the
                message lists them all.
        """
        theirs, untied = self._canonical(theirs)
        ours: Tensors = {}
        missing, wrong, used = [], [], set[str]()
        for entry in self._wanted(shapes):
            tensor = theirs.get(entry.theirs)
            if tensor is None:
                missing.append(entry.theirs)
                continue
            used.add(entry.theirs)
            if entry.transpose:
                tensor = tensor.t()
            if tensor.shape[: entry.leading] == (1,) * entry.leading:
                tensor = tensor[(0,) * entry.leading]
            sizes = [shapes[name][0] for name in entry.ours] if len(entry.ours) > 1 else []
            expected = (sum(sizes), *shapes[entry.ours[0]][1:]) if sizes else tuple(shapes[entry.ours[0]])
            if tuple(tensor.shape) != expected:
                wrong.append(f"{entry.theirs} is {list(tensor.shape)}, the configuration says {list(expected)}")
                continue
            parts = torch.split(tensor, sizes) if len(sizes) > 1 else (tensor,)
            ours.update(zip(entry.ours, (part.contiguous() for part in parts), strict=True))
        unknown = [name for name in theirs if name not in used]
        integral = [f"{name} ({theirs[name].dtype})" for name in used if not theirs[name].is_floating_point()]
        problems = [
            *_listed("missing", missing),
            *_listed("unknown", unknown),
            *_listed("mis-shaped", wrong),
            *_listed("of whole numbers", sorted(integral)),
            *_listed("tied by the configuration, but stored with other values", untied),
        ]
        if problems:
            raise CheckpointError(
                f"the weights do not fit the model: {'; '.join(problems)}",
                where=where,
                fix="Check that the configuration and the weights belong together",
            )
        return ours

    def to_theirs(self, ours: Tensors) -> Tensors:
        """Our tensors under their names; the inverse of `to_ours`.

        Raises:
            CheckpointError: a tensor has no name in this family.
        """
        theirs, used = Tensors(), set[str]()
        for entry in self._wanted({name: tensor.shape for name, tensor in ours.items()}):
            tensor = torch.cat([ours[name] for name in entry.ours]) if len(entry.ours) > 1 else ours[entry.ours[0]]
            tensor = tensor[(None,) * entry.leading]
            theirs[entry.theirs] = (tensor.t() if entry.transpose else tensor).contiguous()
            used.update(entry.ours)
        homeless = sorted(ours.keys() - used)
        if homeless:
            raise CheckpointError(f"this family has no name for: {', '.join(homeless)}")
        return theirs

    def _wanted(self, shapes: Mapping[str, torch.Size]) -> Iterable[Row]:
        for entry in self.rows:
            for layer in range(self.layers) if "{layer}" in entry.theirs else (0,):
                ours = tuple(name.replace("{layer}", str(layer)) for name in entry.ours)
                if all(name in shapes for name in ours):
                    yield replace(entry, theirs=entry.theirs.replace("{layer}", str(layer)), ours=ours)

    def _canonical(self, theirs: Tensors) -> tuple[Tensors, list[str]]:
        """New spellings, first names, no buffers; and second names whose tensor is not the first's."""
        named: Tensors = {}
        for name, tensor in theirs.items():
            spelled = name
            for old, new in (self.spelled or {}).items():
                spelled = re.sub(old, new, spelled)
            if not any(re.fullmatch(pattern, spelled) for pattern in self.ignored):
                named[spelled] = tensor
        untied = []
        for second, first in (self.same or {}).items():
            if second in named:
                tensor = named.pop(second)
                kept = named.setdefault(first, tensor)
                if kept.shape != tensor.shape or not bool((kept == tensor).all()):
                    untied.append(second)
        return named, untied


def _listed(what: str, names: Sequence[str], most: int = 8) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return [f"{what} {', '.join(names[:most])}{more}"]
