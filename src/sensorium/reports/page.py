"""A page in one file: HTML with its style and plots inside, no script, nothing that is fetched."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from sensorium.files import StrPath, write_text
from sensorium.reports.blocks import Block, Fact

_TEMPLATES = Path(__file__).parent / "templates"
_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True)
class Page:
    """A whole report.

    Args:
        title: its heading.
        lead: one or two sentences on what it is.
        facts: the numbers that stand at the top.
        sections: the rest, in order.
        footer: when, by what, on what it was made.
    """

    title: str
    lead: str
    sections: Sequence[Section]
    facts: Sequence[Fact] = ()
    footer: str = ""

    def html(self) -> str:
        """The page as text."""
        css = Markup((_TEMPLATES / "page.css").read_text(encoding="utf-8"))
        return _environment().get_template("page.html").render(page=self, css=css)

    def write(self, path: StrPath) -> None:
        """Write the page: all of it or nothing.

        Raises:
            DiskError: the disk is full or may not be written.
        """
        write_text(path, self.html())


def prose(text: str) -> Markup:
    """Escaped text, with code where there are backquotes."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["prose"] = prose
    return environment
