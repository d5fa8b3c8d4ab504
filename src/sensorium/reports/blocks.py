"""What a section of a report is made of: plain records. How they look stands in `templates/blocks.html`.

All text is escaped when the page is written; in prose, `backquotes` make code.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from sensorium.reports.numbers import Number


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True, slots=True)
class Code:
    """Lines to type or to read as they stand."""

    kind: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True, slots=True)
class Fact:
    """A number that stands for itself."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """The few numbers that a reader takes away."""

    kind: ClassVar[str] = "facts"
    items: Sequence[Fact]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells."""

    kind: ClassVar[str] = "table"
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: Sequence[int] = ()
    """Columns whose cells are numbers: they stand right."""
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot of `sensorium.reports.plots`."""

    kind: ClassVar[str] = "figure"
    svg: str
    """Trusted: it goes into the page as it is."""
    alt: str
    """What it shows, for those who cannot see it."""
    caption: str = ""


@dataclass(frozen=True, slots=True)
class HeatMap:
    """A matrix as coloured cells; a table and no plot, so that every script's labels come out."""

    kind: ClassVar[str] = "heatmap"
    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[Number]]
    """0 (empty) to 1 (full colour)."""
    title: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of a ranking."""

    label: str
    share: Number
    """Length of the bar, 0 to 1."""
    value: str
    """The number as it is printed."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """Labels with bars, best first."""

    kind: ClassVar[str] = "ranking"
    title: str
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True)
class Sample:
    """What a model wrote, after what it was given."""

    kind: ClassVar[str] = "sample"
    given: str
    written: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Medium:
    """A picture, a sound or a clip inside the page."""

    kind: Literal["image", "audio", "video"]
    mime: str
    """What its bytes are: `image/png`."""
    data: bytes
    alt: str

    @property
    def uri(self) -> str:
        """The bytes as an address that needs no fetching."""
        return f"data:{self.mime};base64,{base64.b64encode(self.data).decode()}"


@dataclass(frozen=True, slots=True)
class Exhibit:
    """Something to see and to hear, and what is said of it."""

    kind: ClassVar[str] = "exhibit"
    media: Sequence[Medium]
    title: str
    text: str
    """Prose."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Blocks side by side where there is room."""

    kind: ClassVar[str] = "columns"
    blocks: Sequence[Block]


Block = Text | Code | Facts | Table | Figure | HeatMap | Ranking | Sample | Exhibit | Columns
