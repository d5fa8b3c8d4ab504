"""The rows of each modality as tensors, with and without augmentation.

Unusual: pictures are not mirrored unless that is asked for. What is written, or points somewhere, is another thing in
the mirror.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from sensorium.data.media import MediaColumn, normalised
from sensorium.data.ragged import Ragged
from sensorium.data.tables.batch import SenseInput
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import DataError
from sensorium.modalities.augment import frame_dropout, token_dropout
from sensorium.modalities.augment_images import colour_jitter, horizontal_flip, random_resized_crop
from sensorium.modalities.augment_sounds import spec_augment
from sensorium.modalities.pixels import ImageSpec

Rows = Int64[np.ndarray, " rows"]
_RATIO = (0.9, 1.1)


@dataclass(frozen=True, kw_only=True)
class Augment:
    """How training rows are changed at random; see `modalities.augment*`.

    Args:
        crop: the least share of a picture's or a frame's area that is shown; 1 shows all.
        flip: mirror pictures and clips, half of them.
        colour: how far brightness, contrast and saturation of pictures go.
        mask: the longest run of a spectrogram's frames and bands that is hidden, as a share.
        frames: how many frames of a clip are lost.
        words: how many tokens of a text are lost.
    """

    crop: float = 0.7
    flip: bool = False
    colour: float = 0.2
    mask: float = 0.1
    frames: float = 0.1
    words: float = 0.05


class SenseRows(ABC):
    """One modality of a table."""

    present: Bool[np.ndarray, " rows"]
    """In which rows it is there."""

    @abstractmethod
    def values(self, rows: Rows, augment: Augment, generator: torch.Generator | None) -> tuple[Tensor, Tensor | None]:
        """What `SenseInput` holds of rows in which it is there, and where that is valid. Changed at random, if there
        is a generator."""

    def input(self, rows: Rows, augment: Augment, generator: torch.Generator | None) -> SenseInput:
        """The rows of a batch."""
        present = self.present[rows]
        values, valid = self.values(rows[present], augment, generator)
        return SenseInput(values, torch.from_numpy(present), valid)


@dataclass(frozen=True, eq=False)
class Pictures(SenseRows):
    """Pictures of one size."""

    column: MediaColumn
    spec: ImageSpec
    present: Bool[np.ndarray, " rows"] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "present", self.column.present)

    def values(self, rows: Rows, augment: Augment, generator: torch.Generator | None) -> tuple[Tensor, Tensor | None]:
        pixels = self.column.rows(rows)
        if generator is not None and len(rows):
            if augment.crop < 1:
                pixels = random_resized_crop(
                    pixels, self.spec.size, scale=(augment.crop, 1.0), ratio=_RATIO, generator=generator
                )
            if augment.flip:
                pixels = horizontal_flip(pixels, generator=generator)
            if (far := augment.colour) > 0:
                pixels = colour_jitter(pixels, brightness=far, contrast=far, saturation=far, generator=generator)
        return normalised(pixels, self.spec), None


@dataclass(frozen=True, eq=False)
class Sounds(SenseRows):
    """Spectrograms of one length."""

    column: MediaColumn
    present: Bool[np.ndarray, " rows"] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "present", self.column.present)

    def values(self, rows: Rows, augment: Augment, generator: torch.Generator | None) -> tuple[Tensor, Tensor | None]:
        mels = self.column.rows(rows)
        if generator is not None and augment.mask > 0 and len(rows):
            mels = spec_augment(mels, time_share=augment.mask, mel_share=augment.mask, generator=generator)
        return mels, None


@dataclass(frozen=True, eq=False)
class Clips(SenseRows):
    """Frames of clips. All frames of a clip are cropped alike."""

    column: MediaColumn
    spec: ImageSpec
    present: Bool[np.ndarray, " rows"] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "present", self.column.present)

    def values(self, rows: Rows, augment: Augment, generator: torch.Generator | None) -> tuple[Tensor, Tensor | None]:
        frames = self.column.rows(rows)
        if generator is not None and len(rows):
            if augment.frames > 0:
                frames = frame_dropout(frames, p=augment.frames, generator=generator)
            size = frames.shape[-2], frames.shape[-1]
            together = frames.flatten(1, 2)
            if augment.crop < 1:
                together = random_resized_crop(
                    together, size, scale=(augment.crop, 1.0), ratio=_RATIO, generator=generator
                )
            if augment.flip:
                together = horizontal_flip(together, generator=generator)
            frames = together.unflatten(1, (-1, 3))  # type: ignore[no-untyped-call]
        return normalised(frames, self.spec), None


@dataclass(frozen=True, eq=False)
class Texts(SenseRows):
    """Token ids, the special ones around them; padded to a batch's longest.

    Args:
        ids: of every row; none where there is no text.
        pad, lost: ids of padding, and of what stands for a token that is lost.
        special: ids that are never lost.
    """

    ids: Ragged
    pad: int
    lost: int
    special: tuple[int, ...]
    present: Bool[np.ndarray, " rows"] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "present", self.ids.lengths > 0)

    @classmethod
    def of(cls, texts: Sequence[str | None], tokenizer: Tokenizer, *, length: int) -> Texts:
        """Tokenise; what is longer than `length` is cut.

        Raises:
            DataError: the tokenizer lacks a special token that is needed.
        """
        first = tokenizer.cls_id if tokenizer.cls_id is not None else tokenizer.bos_id
        last = tokenizer.sep_id if tokenizer.sep_id is not None else tokenizer.eos_id
        if first is None or last is None or tokenizer.pad_id is None:
            raise DataError(
                "the tokenizer has no tokens for beginning, end and padding", fix="Take the folder of an encoder"
            )
        plain = tokenizer.encode_raw([text or "" for text in texts])
        framed = [[first, *ids[: length - 2], last] if text else [] for ids, text in zip(plain, texts, strict=True)]
        lost = tokenizer.mask_id if tokenizer.mask_id is not None else tokenizer.unk_id
        special = (first, last, tokenizer.pad_id)
        return cls(Ragged.of(framed), tokenizer.pad_id, tokenizer.pad_id if lost is None else lost, special)

    def values(self, rows: Rows, augment: Augment, generator: torch.Generator | None) -> tuple[Tensor, Tensor | None]:
        parts = [torch.from_numpy(self.ids[int(row)]) for row in rows]
        longest = max(map(len, parts), default=0)
        ids = torch.full((len(parts), longest), self.pad, dtype=torch.long)
        valid = torch.zeros(len(parts), longest, dtype=torch.bool)
        for row, part in enumerate(parts):
            ids[row, : len(part)] = part
            valid[row, : len(part)] = True
        if generator is not None and augment.words > 0:
            ids = self.thinned(ids, augment.words, generator)
        return ids, valid

    def thinned(self, ids: Tensor, share: float, generator: torch.Generator) -> Tensor:
        """The same ids, a share of which is lost."""
        keep = torch.isin(ids, torch.tensor(self.special))
        return token_dropout(ids, p=share, replacement=self.lost, keep=keep, generator=generator)


@dataclass(frozen=True, eq=False)
class Numbers(SenseRows):
    """Numbers and categories, see `NumbersSpec.encode`."""

    matrix: Float32[np.ndarray, "rows width"]
    present: Bool[np.ndarray, " rows"]

    def values(self, rows: Rows, augment: Augment, generator: torch.Generator | None) -> tuple[Tensor, Tensor | None]:
        return torch.from_numpy(self.matrix[rows]), None
