"""Plots as SVG that becomes part of a page: its text is the page's font, its colours follow the page's light and dark.

Matplotlib draws with colours that stand for roles; they are replaced by the page's CSS variables afterwards.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sensorium.files import text_hash
from sensorium.reports.numbers import Number

Colour = Literal["accent", "second", "muted", "faint"]
_ROLES = {"ink": "#010101", "grid": "#020202", "accent": "#030303", "second": "#040404", "muted": "#050505",
          "faint": "#060606"}  # fmt: skip
_STYLE: Any = {
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "sensorium",
    "text.color": _ROLES["ink"],
    "axes.labelcolor": _ROLES["ink"],
    "axes.edgecolor": _ROLES["grid"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.prop_cycle": "cycler('color', ['#030303'])",
    "grid.color": _ROLES["grid"],
    "grid.linewidth": 0.6,
    "xtick.color": _ROLES["grid"],
    "ytick.color": _ROLES["grid"],
    "xtick.labelcolor": _ROLES["ink"],
    "ytick.labelcolor": _ROLES["ink"],
    "ytick.major.size": 0,
    "legend.frameon": False,
}
_INCHES = (4.9, 2.9)
"""Small, so that its text can still be read at the width of a phone."""
_UNWANTED = re.compile(
    r"""^.*?(?=<svg)                                 # the XML prologue
      | <(metadata|style)\b.*?</\1>\s*                # whose rules would hold for the whole page
      | (?<=<g)\ id="[^"]*"                          # the same names in every figure
      | \ (width|height)="[\d.]+pt"
      | font-family:\ [^;"]*;?\s?""",
    flags=re.DOTALL | re.VERBOSE,
)
_SHORTHAND = re.compile(r"font: ([\d.]+px) [^;\"]*")
_NAME = re.compile(r'(\bid="|href="#|url\(#)')


@dataclass(frozen=True, slots=True)
class Line:
    """A curve."""

    label: str
    xs: Sequence[Number]
    ys: Sequence[Number]
    colour: Colour = "accent"
    marked: bool = False
    """A dot at every point."""


@dataclass(frozen=True, slots=True)
class Bars:
    """One bar in every group."""

    label: str
    values: Sequence[Number]
    colour: Colour = "accent"


@dataclass(frozen=True, slots=True)
class Spread:
    """A value with its interval, one row of a plot."""

    label: str
    value: Number
    low: Number
    high: Number
    colour: Colour = "accent"


def spreads(rows: Sequence[Spread], *, x_label: str, line: Number | None = None) -> str:
    """A dot and its interval for each row, the first on top.

    Args:
        rows: what is compared.
        x_label: what is measured.
        line: a value to compare all with, drawn down the plot.
    """

    def draw(axes: Any) -> None:
        for place, row in enumerate(rows):
            colour = _ROLES[row.colour]
            axes.plot([row.low, row.high], [place, place], color=colour, lw=1.8, solid_capstyle="round")
            axes.plot([row.value], [place], color=colour, marker="o", ms=5)
        if line is not None:
            axes.axvline(line, color=_ROLES["muted"], lw=1, ls=":")
        axes.set_yticks(range(len(rows)), [row.label for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(visible=True, axis="x")
        axes.grid(visible=False, axis="y")
        axes.set_xlabel(x_label)

    return _svg(draw, legend=0, height=max(_INCHES[1], 0.24 * len(rows) + 0.7))


def lines(series: Sequence[Line], *, x_label: str, y_label: str) -> str:
    """Curves over one x axis."""

    def draw(axes: Any) -> None:
        for line in series:
            dots = {"marker": "o", "ms": 3.5} if line.marked else {}
            axes.plot(
                line.xs, line.ys, label=line.label, color=_ROLES[line.colour], lw=1.8 if line.marked else 1, **dots
            )
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)

    return _svg(draw, legend=len(series))


def bars(groups: Sequence[str], series: Sequence[Bars], *, y_label: str, form: str = "{:.2f}") -> str:
    """Groups of bars with their values above them.

    Args:
        groups: names under the groups.
        series: the bars, one a group.
        y_label: what they measure.
        form: how a value is printed.
    """

    def draw(axes: Any) -> None:
        width = 0.84 / len(series)
        for number, one in enumerate(series):
            places = [group + (number - (len(series) - 1) / 2) * width for group in range(len(groups))]
            drawn = axes.bar(places, one.values, width * 0.92, label=one.label, color=_ROLES[one.colour])
            axes.bar_label(drawn, labels=[form.format(value) for value in one.values], padding=2, fontsize=7.5)
        axes.set_xticks(range(len(groups)), groups)
        axes.tick_params(axis="x", length=0)
        axes.margins(y=0.14)
        axes.set_ylabel(y_label)

    return _svg(draw, legend=len(series))


def _svg(draw: Any, *, legend: int, height: float = _INCHES[1]) -> str:
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    file = io.StringIO()
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_INCHES[0], height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        if legend > 1:
            figure.legend(loc="outside upper left", ncols=legend, fontsize=8.5, handlelength=1.2, columnspacing=1.2)
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return _themed(file.getvalue())


def _themed(svg: str) -> str:
    """The bare <svg> element in the page's colours and font; its ids are unlike those of other figures."""
    svg = _UNWANTED.sub("", _SHORTHAND.sub(r"font-size: \1", svg))
    for role, colour in _ROLES.items():
        svg = svg.replace(colour, f"var(--{role})")
    return _NAME.sub(rf"\g<1>{text_hash(svg)[:8]}-", svg.strip())
