"""A page is whole HTML in one file: everything given is escaped and shown, and nothing is fetched."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from sensorium.reports.blocks import (
    Bar,
    Block,
    Code,
    Columns,
    Exhibit,
    Fact,
    Facts,
    Figure,
    HeatMap,
    Medium,
    Ranking,
    Sample,
    Table,
    Text,
)
from sensorium.reports.numbers import compact, duration
from sensorium.reports.page import Page, Section
from sensorium.reports.plots import Line, lines

EVIL = "<script>alert('x')</script> & \"quoted\" 春"
BLOCKS: list[Block] = [
    Text(EVIL),
    Code(EVIL),
    Facts([Fact(EVIL, EVIL, EVIL)]),
    Table([EVIL], [[EVIL]], caption=EVIL),
    Figure("<svg></svg>", alt=EVIL, caption=EVIL),
    HeatMap([EVIL], [EVIL], [[0.5]], title=EVIL),
    Ranking(EVIL, [Bar(EVIL, 0.5, EVIL)]),
    Sample(EVIL, EVIL, EVIL),
    Exhibit(
        [
            Medium("image", "image/png", b"\x89PNG", EVIL),
            Medium("audio", "audio/ogg", b"OggS", EVIL),
            Medium("video", "video/mp4", b"ftyp", EVIL),
        ],
        EVIL,
        EVIL,
    ),
    Columns([Text(EVIL)]),
]
VOID = {"meta", "br", "img", "link", "hr", "input"}


class Reader(HTMLParser):
    """The text, the attributes and the ids of a page; fails where a tag is not closed in turn."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())


def page(*blocks: Block) -> Page:
    return Page(title="A page", lead="What it is.", sections=[Section("First", blocks)])


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.kind)
def test_a_block_shows_what_it_is_given_and_nothing_else_gets_in(block: Block) -> None:
    html = page(block).html()
    reader = Reader(html)
    assert "script" not in reader.tags
    assert EVIL in reader.text or any(value.startswith(EVIL) for _, value in reader.attributes)
    assert "春" in html


def test_titles_facts_and_footer_are_escaped_too() -> None:
    whole = Page(title=EVIL, lead=EVIL, sections=[Section(EVIL, [])], facts=[Fact(EVIL, EVIL)], footer=EVIL)
    reader = Reader(whole.html())
    assert "script" not in reader.tags
    assert reader.text.count(EVIL) == 8  # title, heading, lead, label, value, contents, section, footer


def test_backquotes_in_prose_become_code_with_their_text_escaped() -> None:
    html = page(Text("Run `a < b` now.")).html()
    assert "<p>Run <code>a &lt; b</code> now.</p>" in html


def test_a_page_fetches_nothing() -> None:
    plot = lines([Line("one", [0, 1], [1, 0]), Line("two", [0, 1], [0, 1])], x_label="x", y_label="y")
    html = page(*BLOCKS, Figure(plot, alt="a plot")).html()
    reader = Reader(html)
    assert not {"script", "link", "iframe", "object"} & set(reader.tags)
    targets = [value for name, value in reader.attributes if name in ("href", "src", "xlink:href", "action", "data")]
    assert targets
    assert all(target.startswith(("#", "data:")) for target in targets)
    assert "@import" not in html
    assert not re.findall(r"url\((?!#)", html)
    assert "default-src 'none'" in html


def test_every_id_stands_once_and_every_reference_has_its_id() -> None:
    plots = [lines([Line("a", [0, 1], [1, rise])], x_label="x", y_label="y") for rise in (2, 3)]
    reader = Reader(page(*(Figure(plot, alt="plot") for plot in plots)).html())
    ids = [value for name, value in reader.attributes if name == "id"]
    used = {value[1:] for name, value in reader.attributes if name in ("href", "xlink:href")}
    used |= {name for _, value in reader.attributes for name in re.findall(r"url\(#([^)]+)\)", value)}
    assert len(ids) == len(set(ids))
    assert used
    assert used <= set(ids)


def test_a_heat_map_has_a_cell_a_pair_and_its_colour_is_the_value() -> None:
    html = page(HeatMap(["[CLS]", "春"], ["a", "b"], [[0.25, 0.75], [1.0, 0.0]])).html()
    assert re.findall(r"--v:([\d.]+)", html) == ["0.250", "0.750", "1.000", "0.000"]
    assert 'title="春 → a: 100%"' in html


def test_a_page_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("old")
    broken = page(HeatMap(["a"], ["b"], [[0.5, 0.5]]))
    with pytest.raises(UndefinedError):
        broken.write(tmp_path / "page.html")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert (tmp_path / "page.html").read_text() == "old"
    page(Text("new")).write(tmp_path / "page.html")
    assert "<p>new</p>" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_numbers_are_short() -> None:
    assert [compact(n) for n in (7, 999, 32_396, 1_424_000, 2e9)] == ["7", "999", "32.4 k", "1.42 M", "2 B"]
    assert [duration(s) for s in (0.4, 59, 60, 204)] == ["0 s", "59 s", "1.0 min", "3.4 min"]
