"""How each modality of a table is read, and the tensors that come of it.

The same settings read the rows that are learned from and, later, those that are predicted; a fused model keeps them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sensorium.data.decoded import ClipSpec, Kind, Spec
from sensorium.data.media import MediaColumn, load_media, unread_told
from sensorium.data.tables.cells import text_of, words_of
from sensorium.data.tables.numbers import NumbersSpec
from sensorium.data.tables.schema import Sense
from sensorium.data.tables.senses import Clips, Numbers, Pictures, SenseRows, Sounds, Texts
from sensorium.data.tables.table import Table
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import CheckpointError, ConfigError, DataError, InputError, require
from sensorium.modalities.mel import MelSpec
from sensorium.modalities.pixels import ImageSpec
from sensorium.modalities.video import read_video

Problems = dict[str, dict[str, str]]
"""By column: each file that could not be read, in the order of the rows, and why."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SenseSpec:
    """How one modality is read; what is of another kind of modality is None.

    Args:
        sense: its name, its kind and its columns.
        image: of pictures; of clips, how their frames are normalised.
        mel: of sounds, and of the sound tracks of clips.
        clip: of clips and their sound tracks.
        tokenizer, length: of texts.
        numbers: of numbers and categories.
    """

    sense: Sense
    image: ImageSpec | None = None
    mel: MelSpec | None = None
    clip: ClipSpec | None = None
    tokenizer: Tokenizer | None = None
    length: int | None = None
    numbers: NumbersSpec | None = None

    @property
    def media(self) -> Spec | None:
        """How its files are brought to one size, where it is of files."""
        return self.clip or self.mel or self.image

    def to_dict(self) -> dict[str, Any]:
        """All but the tokenizer, ready for JSON."""
        return {
            "kind": self.sense.kind,
            "columns": list(self.sense.columns),
            "track": self.sense.track,
            "image": None if self.image is None else self.image.to_dict(),
            "mel": None if self.mel is None else dataclasses.asdict(self.mel),
            "clip": None if self.clip is None else dataclasses.asdict(self.clip),
            "length": self.length,
            "numbers": None if self.numbers is None else self.numbers.to_dict(),
        }

    @classmethod
    def from_dict(cls, name: str, saved: Mapping[str, Any], tokenizer: Tokenizer | None) -> SenseSpec:
        """The inverse of `to_dict`.

        Raises:
            CheckpointError: it is damaged.
        """
        try:
            clip = saved["clip"]
            sound = None if clip is None or clip["sound"] is None else MelSpec(**clip["sound"])
            return cls(
                sense=Sense(name, saved["kind"], tuple(map(str, saved["columns"])), bool(saved["track"])),
                image=None if saved["image"] is None else ImageSpec.from_dict(saved["image"]),
                mel=None if saved["mel"] is None else MelSpec(**saved["mel"]),
                clip=None if clip is None else ClipSpec(frames=clip["frames"], size=clip["size"], sound=sound),
                tokenizer=tokenizer,
                length=saved["length"],
                numbers=None if saved["numbers"] is None else NumbersSpec.from_dict(saved["numbers"]),
            )
        except (KeyError, TypeError, ValueError, ConfigError) as error:
            raise CheckpointError(
                f"how {name!r} is read is damaged: {error!r}", fix="Copy the folder of the model anew"
            ) from error


def read_senses(
    specs: Sequence[SenseSpec],
    table: Table,
    *,
    some: bool,
    cache: Path | None = None,
    show_progress: bool | None = None,
) -> tuple[dict[str, SenseRows], list[str]]:
    """The rows of every modality, and what could not be read.

    Args:
        specs: how.
        table: the rows. A column that it lacks is missing in all of them.
        some: raise if not one file of a column can be read.
        cache: see `load_media`.
        show_progress: None shows a bar if stderr is a terminal.

    Raises:
        DataError: `some`, and a column has no file that can be read.
        CapabilityError: an extra is not installed.
    """
    found, problems = decode_senses(specs, table, some=some, cache=cache, show_progress=show_progress)
    return found, reading_notes(specs, table, problems)


def decode_senses(
    specs: Sequence[SenseSpec],
    table: Table,
    *,
    some: bool,
    cache: Path | None = None,
    show_progress: bool | None = None,
) -> tuple[dict[str, SenseRows], Problems]:
    """`read_senses`, with what is wrong with files still apart. Arguments and errors are the same."""
    clips, problems, found = dict[str, MediaColumn](), Problems(), dict[str, SenseRows]()
    for spec in specs:
        name, kind, column = spec.sense.name, spec.sense.kind, spec.sense.columns[0]
        cells = table.columns.get(column, [None] * table.rows)
        if kind == "numbers" and spec.numbers is not None:
            found[name] = Numbers(*spec.numbers.encode(table.columns, table.rows))
        elif kind == "text" and spec.tokenizer is not None and spec.length is not None:
            found[name] = Texts.of([words_of(cell) for cell in cells], spec.tokenizer, length=spec.length)
        else:
            paths = [text_of(cell) for cell in cells]
            media = _media(spec, paths, table, clips, some=some, cache=cache, show=show_progress)
            problems[column] = dict(media.problems)
            found[name] = _rows(spec, media)
    return found, problems


def reading_notes(specs: Sequence[SenseSpec], table: Table, problems: Problems) -> list[str]:
    """A line about each column that is absent, then about the files, then about the cells that could not be read.

    Args:
        specs: how the table was read.
        table: all rows.
        problems: of all its files.
    """
    absent = dict.fromkeys(name for spec in specs for name in spec.sense.columns if name not in table.columns)
    notes, strange = [f"column {name!r} is not there: predictions do without it" for name in absent], list[str]()
    for column, bad in problems.items():
        if bad:
            unread = sum(text_of(cell) in bad for cell in table.columns[column])
            notes.append(unread_told(tuple(bad.items()), unread, column))
    for spec in specs:
        if spec.numbers is not None:
            strange += spec.numbers.strange(table.columns)
        elif spec.sense.kind == "text":
            name = spec.sense.columns[0]
            if mended := sum(text_of(cell) != words_of(cell) for cell in table.columns.get(name, ())):
                told = "1 text is" if mended == 1 else f"{mended:,} texts are"
                strange.append(f"column {name!r}: {told} not valid Unicode, and read with \ufffd for what is not")
    return notes + strange


def _media(
    spec: SenseSpec,
    cells: Sequence[str | None],
    table: Table,
    clips: dict[str, MediaColumn],
    *,
    some: bool,
    cache: Path | None,
    show: bool | None,
) -> MediaColumn:
    """The files of a column, decoded; clips once for their frames and their sound."""
    column = spec.sense.columns[0]
    how = spec.media
    kind: Kind = "video" if spec.clip is not None else "audio" if spec.mel is not None else "image"
    if how is None:
        raise CheckpointError(f"how {spec.sense.name!r} is read is not told", fix="Copy the folder of the model anew")
    if column not in clips or kind != "video":
        clips[column] = load_media(
            cells, kind, how, root=table.root, cache=cache, name=f"{table.source}, column {column!r}", some=some,
            show_progress=show,
        )  # fmt: skip
    return clips[column]


def _rows(spec: SenseSpec, column: MediaColumn) -> SenseRows:
    if spec.sense.kind == "image" and spec.image is not None:
        return Pictures(column, spec.image)
    if spec.sense.kind == "video" and spec.image is not None:
        return Clips(column, spec.image)
    if spec.sense.track:
        silent = np.full(len(column), -1, np.int64)
        empty = MediaColumn(kind="audio", files=silent, values=np.zeros((0, 1, 1), np.float16))
        return Sounds(column.sound if column.sound is not None else empty)
    return Sounds(column)


def sound_seconds(paths: Sequence[str | None], root: Path, *, most: int = 200) -> list[float]:
    """Seconds of up to `most` sounds of a column, by their headers; what cannot be opened is passed over.

    Raises:
        CapabilityError: the extra `audio` is not installed.
    """
    soundfile = require("soundfile", extra="audio", purpose="reading sound")
    found = []
    for path in list(dict.fromkeys(path for path in paths if path))[:most]:
        with suppress(soundfile.SoundFileError, OSError, RuntimeError, ValueError):
            found.append(float(soundfile.info(str(root / path)).duration))
    return found


def clip_seconds(paths: Sequence[str | None], root: Path, *, most: int = 16) -> list[float]:
    """Seconds of up to `most` clips of a column; what cannot be opened is passed over.

    Raises:
        CapabilityError: the extra `video` is not installed.
    """
    found = []
    for path in list(dict.fromkeys(path for path in paths if path))[:most]:
        with suppress(InputError, DataError, ValueError):
            found.append(read_video(root / path, frames=1, size=8, sound_rate=None).duration)
    return found
