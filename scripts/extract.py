"""Documents out of package files: HTML pages, reStructuredText, R data, WordNet, poem collections.

Each function yields plain text with paragraphs parted by blank lines. Code, tables, menus and markup are left out:
what stays is what a reader would read aloud. Standard library only.
"""

from __future__ import annotations

import gzip
import html
import json
import re
import struct
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

HAN = re.compile("[\u3400-\u9fff]")
_SPACE = re.compile(r"\s+")
_BLOCKS = frozenset(
    re.findall(
        r"\w+", "p li h1 h2 h3 h4 h5 h6 dt dd td th blockquote title div section tr br ul ol dl pre body article"
    )
)
_SKIPPED = frozenset(re.findall(r"\w+", "script style nav pre header footer table title"))


def read(path: Path) -> str:
    """A text file, gzipped or not."""
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8", "replace")


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.paragraphs: list[str] = []
        self._piece: list[str] = []
        self._depth = 0

    def end_paragraph(self) -> None:
        text = _SPACE.sub(" ", "".join(self._piece)).strip()
        self._piece = []
        if text:
            self.paragraphs.append(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in _BLOCKS:
            self.end_paragraph()
        self._depth += tag in _SKIPPED

    def handle_endtag(self, tag: str) -> None:
        if tag in _BLOCKS:
            self.end_paragraph()
        if tag in _SKIPPED:
            self._depth = max(0, self._depth - 1)

    def handle_data(self, data: str) -> None:
        if not self._depth:
            self._piece.append(data)


def html_page(path: Path) -> list[str]:
    """The paragraphs of a web page."""
    page = _Page()
    page.feed(read(path))
    page.end_paragraph()
    return page.paragraphs


def rst_page(path: Path) -> list[str]:
    """The prose of a reStructuredText file: no directives, literal blocks, tables or headings' underlines."""
    return [text for block in re.split(r"\n\s*\n", read(path)) if (text := _rst_block(block))]


def _rst_block(block: str) -> str:
    block = re.sub(r"^[=\-~^*+#\"'`.]{3,}\s*$", "", block.strip("\n"), flags=re.M)
    if not block.strip() or block[0] in " \t|+:" or block.startswith((".. ", "..\n", ">>>", "$ ")):
        return ""
    block = re.sub(r"^(\*|-|#\.|\d+\.)\s+", "", block)
    block = re.sub(r":[\w:+-]+:`[~!]?([^`<]*?)(?:\s*<[^`]*>)?`", r"\1", block)
    block = re.sub(r"`([^`<]+?)(?:\s*<[^`]*>)?`__?", r"\1", block)
    block = re.sub(r"``([^`]*)``|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*", lambda m: m[1] or m[2] or m[3] or "", block)
    block = block.replace("::", ":").replace("\\ ", "").replace("|version|", "3.11")
    text = _SPACE.sub(" ", block).strip()
    return "" if re.search(r"[{};|]\s*$", text) or re.search(r"\w\(\w*\*|->|&&|==|\|\|", text) else text


def mallard_page(path: Path) -> list[str]:
    """The paragraphs of a GNOME help page (Mallard XML)."""
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError:
        return []
    space = "{http://projectmallard.org/1.0/}"
    for info in root.iter(f"{space}info"):
        info.clear()
    found = (element for element in root.iter() if element.tag in (f"{space}p", f"{space}title"))
    return [text for element in found if (text := _SPACE.sub(" ", "".join(element.itertext())).strip())]


def austen_chapters(folder: Path) -> Iterator[tuple[str, str]]:
    """(title, chapter) of the six novels in the R package `janeaustenr`."""
    for lines in _r_strings(next(folder.rglob("Rdata.rdb"))):
        if len(lines) < 1000:
            continue
        title = lines[0].title().replace(" And ", " and ")
        chapters: list[list[str]] = [[]]
        for line in lines:
            if re.match(r"(?:chapter|letter)\s+[\divxlc]+\b", line.strip(), flags=re.I):
                chapters.append([])
            elif not re.fullmatch(r"\s*(?:volume [ivx\d]+|finis|the end)\.?\s*", line, flags=re.I):
                chapters[-1].append(line.rstrip())
        for chapter in chapters[1:]:
            blocks = re.split(r"\n\s*\n", "\n".join(chapter))
            yield title, "\n\n".join(text for block in blocks if (text := _SPACE.sub(" ", block).strip()))


def _r_strings(path: Path) -> Iterator[list[str]]:
    """The character vectors of an R lazy-load data base, of which each record is a length and a zlib stream."""
    data, start = path.read_bytes(), 0
    while start < len(data) - 6:
        if data[start + 4 : start + 5] != b"x":
            start += 1
            continue
        stream = zlib.decompressobj()
        record = stream.decompress(data[start + 4 :])
        start = len(data) - len(stream.unused_data)
        marks = re.finditer(rb"\0[\x04\x02\0]\0\x09", record)
        sizes = ((mark.end() + 4, struct.unpack(">i", record[mark.end() : mark.end() + 4])[0]) for mark in marks)
        yield [record[at : at + size].decode("utf-8", "replace") for at, size in sizes if 0 <= size < 10_000]


def wordnet_entries(folder: Path) -> Iterator[str]:
    """Each synset as sentences: "Head: definition. Example.", in WordNet's order."""
    for path in sorted(folder.rglob("data.*")):
        if path.suffix not in (".noun", ".verb", ".adj", ".adv"):
            continue
        for line in read(path).splitlines():
            if line.startswith("  ") or "|" not in line:
                continue
            word = re.sub(r"\(\w+\)$", "", line.split()[4]).replace("_", " ")
            gloss = line.split("|", 1)[1].strip()
            examples = [text.strip() for text in re.findall(r'"([^"]{12,})"', gloss) if " " in text]
            meaning = re.split(r';?\s*"', gloss, maxsplit=1)[0].strip(" ;")
            if meaning:
                yield " ".join([_sentence(f"{word}: {meaning}"), *(_sentence(text) for text in examples)])


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")


def poems(path: Path) -> Iterator[str]:
    """Every poem or chapter of a collection of `chinese-poetry`: its title, then its lines."""
    pending: list[Any] = [json.loads(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending.extend(reversed(node))
        elif isinstance(node, dict):
            lines = node.get("paragraphs") or node.get("content") or node.get("para")
            lines = [lines] if isinstance(lines, str) else lines
            if isinstance(lines, list) and lines and all(isinstance(line, str) for line in lines):
                title = node.get("title") or node.get("chapter") or node.get("rhythmic") or ""
                text = "\n".join([title, *lines] if title else lines)
                yield html.unescape(re.sub(r"[ \t\u3000]+", " ", text)).strip()
            else:
                pending.extend(reversed(list(node.values())))
