"""Plots are bare SVG in the page's own colours and font, the same bytes each time."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from sensorium.reports.plots import Bars, Line, Spread, bars, lines, spreads


def curves() -> str:
    return lines(
        [Line("training", [0, 1, 2], [3, 2, 1], "muted"), Line("held out", [0, 2], [3, 1.5], marked=True)],
        x_label="tokens & more",
        y_label="loss",
    )


def columns() -> str:
    return bars(["English", "Chinese"], [Bars("a", [1, 2], "faint"), Bars("b", [3.25, 4])], y_label="%", form="{:.1f}")


def intervals() -> str:
    return spreads([Spread("a", 1, 0, 2), Spread("b", 3, 2.5, 3.5, "second")], x_label="%", line=1.5)


@pytest.mark.parametrize("plot", [curves, columns, intervals])
def test_a_plot_is_well_formed_and_bare(plot) -> None:
    svg = plot()
    assert ElementTree.fromstring(svg).tag.endswith("svg")
    assert svg.startswith("<svg")
    assert "viewBox" in svg
    assert not re.search(r"<style|<metadata|font-family|<\?xml|<!DOCTYPE", svg)


@pytest.mark.parametrize("plot", [curves, columns, intervals])
def test_every_colour_is_one_of_the_page(plot) -> None:
    painted = re.findall(r"(?:fill|stroke): ([^;\"]+)", plot())
    assert {"var(--ink)", "var(--grid)", "var(--accent)"} <= set(painted)
    assert all(colour == "none" or colour.startswith(("var(--", "url(#")) for colour in painted)


def test_labels_and_values_stand_in_the_plot_as_text() -> None:
    texts = {text.text for text in ElementTree.fromstring(curves()).iter("{http://www.w3.org/2000/svg}text")}
    assert {"training", "held out", "tokens & more", "loss"} <= texts
    texts = {text.text for text in ElementTree.fromstring(columns()).iter("{http://www.w3.org/2000/svg}text")}
    assert {"English", "Chinese", "a", "b", "%", "1.0", "2.0", "3.2", "4.0"} <= texts


def test_a_bar_is_as_high_as_its_value() -> None:
    heights = []
    for path in re.findall(r'<path d="([^"]+)" clip-path[^>]+style="fill: var\(--accent\)', columns()):
        ys = [float(y) for y in re.findall(r"[ML] [\d.]+ ([\d.]+)", path)]
        heights.append(max(ys) - min(ys))
    assert len(heights) == 2
    assert heights[0] / heights[1] == pytest.approx(3.25 / 4, rel=1e-3)


def test_the_same_plot_is_the_same_text_and_others_share_no_ids() -> None:
    assert curves() == curves()
    one, other = (set(re.findall(r'id="([^"]+)"', plot())) for plot in (curves, columns))
    assert one
    assert other
    assert not one & other
