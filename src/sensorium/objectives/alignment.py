"""Senses aligned in one space: rows of two senses or more, contrastive losses, recall of one sense by another.

Where a row has several columns of one kind (its name in three languages), some of them are drawn each time it is read.
Two texts of a row are brought together as a text and a picture are, so that languages meet in each other, too.

Unusual: pictures, sounds and clips are changed at random as a batch, by a generator that the batch's first example
seeds, so that a run that goes on sees the same pictures.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from sensorium.core.count_senses import tower_flops
from sensorium.core.tower import Aligned, AlignedConfig
from sensorium.data.captions import Captions
from sensorium.data.decoded import ClipSpec, Spec
from sensorium.data.media import normalised
from sensorium.data.sense_pairs import SensePairs, TextColumn
from sensorium.data.sense_table import Kind
from sensorium.errors import ConfigError
from sensorium.modalities.augment import frame_dropout
from sensorium.modalities.augment_images import colour_jitter, horizontal_flip, random_resized_crop
from sensorium.modalities.augment_sounds import spec_augment
from sensorium.modalities.pixels import ImageSpec
from sensorium.objectives.contrastive import MOST_SCALE, PairLoss, Vectors, aligned_loss
from sensorium.objectives.contrastive import Kind as LossKind
from sensorium.objectives.objective import Loss, Units
from sensorium.objectives.retrieval import best_ranks, distinct, recall

Augment = Literal["none", "light", "strong"]
_AMONG = (1, 5)


class Item(NamedTuple):
    """What one sense says of a row."""

    x: Tensor
    """Token ids; or what `MediaColumn.rows` gives."""
    identity: int


@dataclass(frozen=True, eq=False)
class AlignExample:
    """One row."""

    items: Mapping[str, Item]
    """By sense; a second text of the row is "text 2"."""
    seed: int | None
    """Of the changes made at random; None leaves everything as it is."""


@dataclass(frozen=True, eq=False)
class SenseInput:
    """What one tower reads of a batch."""

    x: Tensor
    valid: Bool[Tensor, "n seq"] | None
    rows: Int[Tensor, " n"]
    ids: Int[Tensor, " n"]


@dataclass(frozen=True, eq=False)
class AlignBatch:
    """Rows, by what each sense says of them."""

    senses: Mapping[str, SenseInput]
    targets: Int[Tensor, " rows"]

    @property
    def tokens(self) -> int:
        """Rows, which are what is counted here."""
        return len(self.targets)


class Alignment:
    """Brings the senses of a row together. Its size of an example is one row.

    Args:
        loss: CLIP's or SigLIP's.
        specs: how pictures, sounds and clips were brought to one size.
        captions: how texts become tokens; None where there are none.
        augment: how much pictures, sounds and clips are changed in training. `strong` mirrors pictures, too.
        views: the most texts of a row that are read at once in training, of different columns.
    """

    name = "align"

    def __init__(
        self,
        *,
        loss: LossKind,
        specs: Mapping[Kind, Spec],
        captions: Captions | None,
        augment: Augment = "light",
        views: int = 1,
    ) -> None:
        self._loss, self._specs, self._captions, self._augment = loss, specs, captions, augment
        self._views = views

    def units(self, data: SensePairs, rng: np.random.Generator) -> Units:
        """Rows of (row of the table,)."""
        return data.rows[:, None]

    def example(self, data: SensePairs, unit: Units, rng: np.random.Generator) -> AlignExample:
        """A row: one column of each sense that it has, or several of its texts."""
        row, items = int(unit[0]), dict[str, Item]()
        for kind, names in data.choices(row).items():
            views = min(len(names), self._views) if kind == "text" and data.augment else 1
            for view, place in enumerate(rng.permutation(len(names))[:views].tolist(), 1):
                column = data.columns[names[place]]
                if isinstance(column, TextColumn):
                    x = torch.from_numpy(column.ids[int(column.texts[row])])
                else:
                    x = column.rows([row])[0]
                items[kind if view == 1 else f"{kind} {view}"] = Item(x, data.identity(names[place], row))
        seed = int(rng.integers(1 << 62)) if data.augment and self._augment != "none" else None
        return AlignExample(items, seed)

    def size(self, example: AlignExample) -> int:
        """One row."""
        return 1

    def collate(self, examples: Sequence[AlignExample], device: torch.device | str = "cpu") -> AlignBatch:
        """Rows by sense."""
        seed = examples[0].seed
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        senses: dict[str, SenseInput] = {}
        for kind in sorted({kind for example in examples for kind in example.items}):
            rows = [row for row, example in enumerate(examples) if kind in example.items]
            items = [examples[row].items[kind] for row in rows]
            x, valid = self._input(sense_of(kind), [item.x for item in items], generator)
            senses[kind] = SenseInput(
                x=x.to(device),
                valid=None if valid is None else valid.to(device),
                rows=torch.tensor(rows, device=device),
                ids=torch.tensor([item.identity for item in items], device=device),
            )
        return AlignBatch(senses, torch.arange(len(examples), device=device))

    def _input(
        self, kind: Kind, items: Sequence[Tensor], generator: torch.Generator | None
    ) -> tuple[Tensor, Bool[Tensor, "n seq"] | None]:
        if kind == "text":
            if self._captions is None:
                raise ConfigError("texts are aligned, and nothing says how they become tokens")
            return self._captions.batch([item.numpy() for item in items])
        return prepared(kind, torch.stack(list(items)), self._specs[kind], self._augment, generator), None

    def flops(self, config: AlignedConfig) -> float:
        """Of a row that has all senses, its text as long as may be."""
        return 3.0 * sum(tower_flops(tower) for _, tower in config.towers)

    def loss(self, model: Aligned, batch: AlignBatch) -> Loss:
        """The loss of a batch, `accuracy` beside it. Temperatures beyond CLIP's bound are brought back to it."""
        with torch.no_grad():
            model.scale.clamp_(max=MOST_SCALE)
        found = self._pair_loss(model, embedded(model, batch))
        return Loss(found.loss, {"loss": found.loss.detach(), "accuracy": found.accuracy})

    def _pair_loss(self, model: Aligned, senses: Mapping[str, Vectors]) -> PairLoss:
        return aligned_loss(senses, kind=self._loss, scale=model.scale, bias=model.bias)

    @torch.inference_mode()
    def evaluate(self, model: Aligned, batches: Iterator[AlignBatch], n_bytes: int) -> dict[str, float]:
        """Loss and accuracy among a batch; of each pair of senses, both ways, the recall among all rows at 1 and 5."""
        losses, rights, rows = list[float](), list[float](), list[int]()
        seen: dict[str, list[Vectors]] = {}
        before = 0
        for batch in batches:
            senses = embedded(model, batch)
            found = self._pair_loss(model, senses)
            losses.append(float(found.loss))
            rights.append(float(found.accuracy))
            rows.append(batch.tokens)
            for kind, part in senses.items():
                seen.setdefault(kind, []).append(part._replace(rows=part.rows + before))
            before += batch.tokens
        if not rows:
            return {}
        metrics = {
            "loss": float(np.average(losses, weights=rows)), "accuracy": float(np.average(rights, weights=rows))
        }  # fmt: skip
        whole = {kind: Vectors(*(torch.cat(part) for part in zip(*parts, strict=True))) for kind, parts in seen.items()}
        return metrics | recalls(whole)


def sense_of(name: str) -> Kind:
    """The sense of one of several views of it: "text" of "text 2"."""
    return cast("Kind", name.partition(" ")[0])


def embedded(model: Aligned, batch: AlignBatch) -> dict[str, Vectors]:
    """The vectors of a batch."""
    return {
        kind: Vectors(model.embed(sense_of(kind), part.x, valid=part.valid).float(), part.rows, part.ids)
        for kind, part in batch.senses.items()
    }


def recalls(senses: Mapping[str, Vectors]) -> dict[str, float]:
    """How often a row finds its partner among all: `recall_at_1_image_to_text` and the like."""
    found: dict[str, float] = {}
    for first, second in itertools.permutations(sorted(senses), 2):
        a, b = senses[first], senses[second]
        shared_a, shared_b = torch.isin(a.rows, b.rows), torch.isin(b.rows, a.rows)
        if not bool(shared_a.any()):
            continue
        queries, asked = distinct(a.vectors[shared_a], a.ids[shared_a])
        items, answers = distinct(b.vectors[shared_b], b.ids[shared_b])
        right = torch.zeros(len(queries), len(items), dtype=torch.bool, device=queries.device)
        right[asked, answers] = True
        ranks = best_ranks(queries, items, right)
        for among in _AMONG:
            found[f"recall_at_{among}_{first}_to_{second}"] = recall(ranks, among)
    return found


def prepared(
    kind: Kind, x: Tensor, spec: Spec, augment: Augment = "none", generator: torch.Generator | None = None
) -> Tensor:
    """What `MediaColumn.rows` gives, as a tower reads it; changed at random where there is a generator."""
    if isinstance(spec, ImageSpec):
        return normalised(x if generator is None else _changed(x, augment, generator), spec)
    if isinstance(spec, ClipSpec):
        frames = x if generator is None else frame_dropout(_changed_clips(x, augment, generator), generator=generator)
        return normalised(frames, FRAMES)
    x = x if generator is None else spec_augment(x, time_masks=1, mel_masks=1, generator=generator)
    return x[:, None]


FRAMES = ImageSpec(resize=(1, 1))
"""How the frames of clips are scaled: -1 to 1, as ViT's are."""


def _changed(images: Tensor, augment: Augment, generator: torch.Generator) -> Tensor:
    least = 0.35 if augment == "strong" else 0.7
    strength = 0.4 if augment == "strong" else 0.2
    size = int(images.shape[-2]), int(images.shape[-1])
    images = random_resized_crop(images, size, scale=(least, 1.0), generator=generator)
    images = colour_jitter(images, brightness=strength, contrast=strength, saturation=strength, generator=generator)
    return horizontal_flip(images, generator=generator) if augment == "strong" else images


def _changed_clips(clips: Tensor, augment: Augment, generator: torch.Generator) -> Tensor:
    """All frames of a clip alike, as if they were channels of one picture; the colours are left."""
    size = int(clips.shape[-2]), int(clips.shape[-1])
    flat = random_resized_crop(
        clips.flatten(1, 2), size, scale=(0.35 if augment == "strong" else 0.7, 1.0), generator=generator
    )
    flat = horizontal_flip(flat, generator=generator) if augment == "strong" else flat
    return flat.view(clips.shape)
