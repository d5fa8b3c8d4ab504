"""Real English texts and their translations, out of Debian packages: software, its help, a book, a game's stories.

    python -m benchmarks.data_parallel zh fr          # en-zh.tsv, en-fr.tsv in the cache: package, en, xx
    python -m benchmarks.data_parallel zh --out data --test wesnoth-1.16-data klettres-data

The packages are fetched once (`scripts/fetch.py`; it says what to do where that fails). What aligns a pair: the same
message of a catalogue, the same paragraph id of LibreOffice's help, the same place in an XML or HTML tree of equal
shape, the same caption. The pairs then pass the rules of `sensorium prepare --parallel`, and must hold the same
numbers, which tells most of what is misaligned. With `--test`, the pairs of those packages go into a file of their
own, without those of which a string stands in another package too.
"""

from __future__ import annotations

import argparse
import html
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

from scripts.fetch import FetchError, cache_folder, debian
from sensorium.data.parallel.holdout import LEAKED, HoldOut
from sensorium.data.parallel.pairs import PairFilter, PairRules
from sensorium.data.parallel.po import CatalogueError, read_mo
from sensorium.data.sample import Ledger

Pairs = Iterator[tuple[str, str]]

SPELLINGS = {"zh": ("zh_CN", "zh-CN"), "fr": ("fr", "fr-FR"), "de": ("de", "de-DE")}
"""How the packages spell a language: with an underscore, with a hyphen."""
_SPACE = re.compile(r"\s+")
_TAG = re.compile(r"<[^<>]{1,2000}>")
_PARAGRAPH = re.compile(r'<(p|h[1-6])\s+id="([^"]+)"[^>]*>(.*?)</\1>', re.DOTALL)
_BLOCKS = frozenset(["p", "title", "desc", "td", "para", "term"])
_NO_PROSE = frozenset(["credit", "include", "years", "screen", "code", "programlisting", "revision"])
_DOCTYPE = re.compile(r"<!DOCTYPE[^\[>]*(?:\[.*?\]\s*)?>", re.DOTALL)
_UNKNOWN_ENTITY = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#\d+|#x[0-9a-fA-F]+);)\w+;")
_CONTEXT = re.compile(r"^(?:[a-z][\w ,+-]*\^|_: .*?\\?n)", re.DOTALL)
_NO_TEXT = re.compile(r"\bmain=|(?:[^\s,]+,){8}")
"""Grammars and lists that names are made of."""
_NUMBER = re.compile(r"\d+")


def catalogues(package: str, language: str) -> Pairs:
    """The messages of a package's catalogues. A context that stands before a message (`female^Name`) is no text."""
    for path in sorted(debian(package).rglob(f"{SPELLINGS[language][0]}/LC_MESSAGES/*.mo")):
        try:
            catalogue = read_mo(path.read_bytes())
        except CatalogueError as error:
            print(f"{path}: {error}")
            continue
        for entry in catalogue.entries:
            if _NO_TEXT.search(entry.source):
                continue
            yield _CONTEXT.sub("", entry.source), entry.target


def libreoffice(language: str) -> Pairs:
    """Paragraphs of LibreOffice's help, which carry the same id in every language."""
    code = SPELLINGS[language][1].removesuffix("-FR").removesuffix("-DE")
    base = debian("libreoffice-help-en-us") / "usr/share/libreoffice/help/en-US"
    other = debian(f"libreoffice-help-{code.lower()}") / "usr/share/libreoffice/help" / code
    for path in sorted(base.rglob("*.html")):
        translated = other / path.relative_to(base)
        if translated.exists():
            a, b = _paragraphs(path), _paragraphs(translated)
            yield from ((text, b[key]) for key, text in a.items() if key in b)


def _paragraphs(path: Path) -> dict[tuple[str, int], str]:
    counts, found = Counter[str](), dict[tuple[str, int], str]()
    for _, key, body in _PARAGRAPH.findall(path.read_text(encoding="utf-8", errors="replace")):
        counts[key] += 1
        found[key, counts[key]] = _plain(_TAG.sub("", body))
    return found


def gnome_help(package: str, language: str) -> Pairs:
    """Paragraphs of GNOME's help (Mallard, DocBook) where both languages' pages have the same shape."""
    base = debian(package) / "usr/share/help"
    for path in sorted((base / "C").rglob("*")):
        translated = base / SPELLINGS[language][0] / path.relative_to(base / "C")
        if path.suffix in (".page", ".docbook", ".xml") and translated.is_file():
            a, b = _xml_blocks(path), _xml_blocks(translated)
            if [place for place, _ in a] == [place for place, _ in b]:
                yield from ((one, other) for (_, one), (_, other) in zip(a, b, strict=True))


def _xml_blocks(path: Path) -> list[tuple[str, str]]:
    text = _DOCTYPE.sub("", path.read_text(encoding="utf-8"), count=1)
    try:
        root = ElementTree.fromstring(_UNKNOWN_ENTITY.sub(" ", text))
    except ElementTree.ParseError:
        return []
    found = list[tuple[str, str]]()

    def walk(element: ElementTree.Element, place: str) -> None:
        for child in element:
            name = child.tag.split("}")[-1] if isinstance(child.tag, str) else ""
            if name in _BLOCKS:
                found.append((f"{place}/{name}", _plain("".join(child.itertext()))))
            elif name and name not in _NO_PROSE:
                walk(child, f"{place}/{name}")

    walk(root, "")
    return found


def handbook(language: str) -> Pairs:
    """Paragraphs of the Debian handbook, where both languages' chapters have the same sequence of blocks."""
    base = debian("debian-handbook") / "usr/share/doc/debian-handbook/html"
    for path in sorted((base / "en-US").glob("*.html")):
        translated = base / SPELLINGS[language][1] / path.name
        if translated.exists():
            a, b = _html_blocks(path), _html_blocks(translated)
            if [name for name, _ in a] == [name for name, _ in b]:
                yield from ((one, other) for (_, one), (_, other) in zip(a, b, strict=True))


class _Blocks(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self._inside: str | None = None
        self._pieces: list[str] = []
        self._skipped = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._skipped += tag in ("pre", "script", "style")
        if tag in ("p", "h1", "h2", "h3", "h4", "dt") and self._inside is None:
            self._inside, self._pieces = tag, []

    def handle_endtag(self, tag: str) -> None:
        if tag in ("pre", "script", "style") and self._skipped:
            self._skipped -= 1
        if tag == self._inside:
            self.found.append((tag, _plain("".join(self._pieces))))
            self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside and not self._skipped:
            self._pieces.append(data)


def _html_blocks(path: Path) -> list[tuple[str, str]]:
    page = _Blocks()
    page.feed(path.read_text(encoding="utf-8"))
    return page.found


def captions(language: str) -> Pairs:
    """What Tux Paint's stamps show, in one sentence each."""
    for path in sorted(debian("tuxpaint-stamps-default").rglob("stamps/**/*.txt")):
        english, *others = path.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
        known = dict(line.split(".utf8=", 1) for line in others if ".utf8=" in line)
        if translated := known.get(SPELLINGS[language][0]):
            yield english, translated


def _plain(text: str) -> str:
    return _SPACE.sub(" ", html.unescape(text)).strip()


SOURCES: dict[str, Callable[[str], Pairs]] = {
    "libreoffice-help": libreoffice,
    "krita-l10n": lambda language: catalogues("krita-l10n", language),
    "evolution-common": lambda language: catalogues("evolution-common", language),
    "evolution-common ": lambda language: gnome_help("evolution-common", language),
    "gnucash-common": lambda language: catalogues("gnucash-common", language),
    "wesnoth-1.16-data": lambda language: catalogues("wesnoth-1.16-data", language),
    "gnome-user-docs": lambda language: gnome_help("gnome-user-docs", language),
    "debian-handbook": handbook,
    "tuxpaint-stamps-default": captions,
    "klettres-data": lambda language: catalogues("klettres-data", language),
}
"""By package; what the same package gives in another way has a space after it."""


def extract(language: str) -> tuple[list[tuple[str, str, str]], Ledger]:
    """Package, English text, translation; and what was dropped."""
    ledger, rows = Ledger(), list[tuple[str, str, str]]()
    rules = PairFilter(PairRules(), ledger)
    for name, read in SOURCES.items():
        for source, target in read(language):
            for a, b in rules.keep(source, target, ("en", language)):
                if sorted(_NUMBER.findall(a)) == sorted(_NUMBER.findall(b)):
                    rows.append((name.strip(), a, b))
                else:
                    ledger.drop("numbers that differ")
    return rows, ledger


def pairs(language: str, folder: Path | None = None) -> Path:
    """The table of all pairs, made if it isn't there."""
    path = (folder or cache_folder() / "benchmarks" / "parallel") / f"en-{language}.tsv"
    if not path.exists():
        rows, ledger = extract(language)
        _write(path, language, rows)
        print(f"{path}: {len(rows):,} pairs; {dict(Counter(name for name, _, _ in rows))}")
        print(f"dropped: {dict(ledger.dropped)}")
    return path


def split(language: str, test: list[str], folder: Path | None = None) -> tuple[Path, Path]:
    """Tables to train on and to test on: the test packages, without strings that the others have too."""
    path = pairs(language, folder)
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()[1:]]
    held = HoldOut(0.0, 0, test)
    for name, a, b in rows:
        held.add(a, b, name)
    fates, _ = held.decide()
    parts = {"train": [], "test": []}
    for (name, a, b), fate in zip(rows, fates.tolist(), strict=True):
        if fate != LEAKED:
            parts["test" if name in test else "train"].append((name, a, b))
    paths = {part: path.with_name(f"{part}.en-{language}.tsv") for part in parts}
    for part, chosen in parts.items():
        _write(paths[part], language, chosen)
        print(f"{paths[part]}: {len(chosen):,} pairs")
    return paths["train"], paths["test"]


def _write(path: Path, language: str, rows: list[tuple[str, str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    lines = (f"{name}\t{a}\t{b}\n" for name, a, b in [("package", "en", language), *rows])
    part.write_text("".join(lines), encoding="utf-8")
    part.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("languages", nargs="+", choices=SPELLINGS)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--test", nargs="*", default=[], help="packages to hold out")
    given = parser.parse_args()
    for language in given.languages:
        pairs(language, given.out)
        if given.test:
            split(language, given.test, given.out)


if __name__ == "__main__":
    try:
        main()
    except FetchError as error:
        sys.exit(f"error: {error}")
