"""Emoji and what they are called in several languages: pictures with captions, of two registry packages in the cache.

    python -m benchmarks.data_emoji

Pictures: fonts-noto-color-emoji (Debian; OFL / Apache-2.0), PNGs of 136 × 128 out of the font. Names and keywords:
cldr-annotations-full (npm; Unicode-3.0). Each emoji is a concept; those that differ in skin tone alone are left out.

Held out are (a) whole concepts, in every language, chosen by a hash of the character; and (b) of other concepts one
language each: the model sees the concept in four languages, and is asked for it in the fifth.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import xxhash

from scripts.fetch import cache_folder, debian, npm

LANGUAGES = ("en", "fr", "de", "es", "zh")
_HELD_CONCEPTS, _HELD_LANGUAGES = 0.1, 0.25
_KEYWORDS = 4
"""Of a concept in a language, at most."""
_VARIATION = "\ufe0f"


@dataclass(frozen=True)
class Emoji:
    """A concept."""

    character: str
    picture: Path
    names: dict[str, str]
    """By language."""
    keywords: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Query:
    """A name to find a picture by."""

    text: str
    language: str
    picture: Path


@dataclass(frozen=True)
class Tables:
    """What is learned from, and what is asked."""

    train: Path
    """A CSV of the concepts to learn: a picture, and in each language a name and some keywords, a column each."""
    learned: tuple[Emoji, ...]
    withheld: dict[str, str]
    """Character → the language in which it is not learned."""
    concepts: tuple[Emoji, ...]
    """Held out as a whole."""

    @property
    def of_new_concepts(self) -> list[Query]:
        """Names of what was never seen, in every language."""
        return [Query(e.names[lang], lang, e.picture) for e in self.concepts for lang in LANGUAGES]

    @property
    def of_new_languages(self) -> list[Query]:
        """Names of learned concepts in the language that was kept back."""
        return [
            Query(e.names[lang], lang, e.picture)
            for e in self.learned
            if (lang := self.withheld.get(e.character)) is not None
        ]

    @property
    def of_learned_languages(self) -> list[Query]:
        """Names of the same concepts in a language that was learned."""
        return [
            Query(e.names[lang], lang, e.picture)
            for e in self.learned
            if e.character in self.withheld
            for lang in LANGUAGES
            if lang != self.withheld[e.character]
        ]


def tables(work: Path | None = None) -> Tables:
    """The split, its pictures and its CSV, made once."""
    work = work or cache_folder() / "benchmarks" / "emoji"
    found = emoji(work)
    concepts = tuple(e for e in found if _share(e.character, "concept") < _HELD_CONCEPTS)
    learned = tuple(e for e in found if _share(e.character, "concept") >= _HELD_CONCEPTS)
    withheld = {
        e.character: LANGUAGES[int(_share(e.character, "which") * len(LANGUAGES))]
        for e in learned
        if _share(e.character, "language") < _HELD_LANGUAGES
    }
    made = Tables(work / "train.csv", learned, withheld, concepts)
    with made.train.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        columns = ["name", *(f"keyword_{number}" for number in range(1, _KEYWORDS + 1))]
        writer.writerow(["picture", *(f"{lang}_{column}" for lang in LANGUAGES for column in columns)])
        for e in learned:
            cells = [e.picture.relative_to(work)]
            for lang in LANGUAGES:
                texts = [] if withheld.get(e.character) == lang else [e.names[lang], *e.keywords[lang][:_KEYWORDS]]
                cells += [*texts, *[""] * (len(columns) - len(texts))]
            writer.writerow(cells)
    return made


def emoji(work: Path) -> list[Emoji]:
    """Every emoji that has a picture, and a name and keywords in each language."""
    pictures, folder = _pictures(), work / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    texts = {lang: _annotations(lang) for lang in LANGUAGES}
    shared = sorted(pictures.keys() & set.intersection(*(set(texts[lang]) for lang in LANGUAGES)))
    found = []
    for character in shared:
        path = folder / f"{'-'.join(f'{ord(part):x}' for part in character)}.png"
        if not path.is_file():
            path.write_bytes(pictures[character])
        names = {lang: texts[lang][character][0] for lang in LANGUAGES}
        keywords = {lang: texts[lang][character][1] for lang in LANGUAGES}
        found.append(Emoji(character, path, names, keywords))
    return found


def _pictures() -> dict[str, bytes]:
    """Emoji without variation selectors → PNG."""
    from fontTools.ttLib import TTFont

    font = TTFont(next(debian("fonts-noto-color-emoji").rglob("*.ttf")))
    glyphs, strike = font.getBestCmap(), font["CBDT"].strikeData[0]
    characters: dict[str, list[int]] = defaultdict(list)
    for code, glyph in glyphs.items():
        characters[glyph].append(code)
    named = {chr(code): glyph for code, glyph in glyphs.items()}
    for first, ligature in _ligatures(font):
        parts = [first, *ligature.Component]
        if all(part in characters for part in parts):
            named["".join(chr(characters[part][0]) for part in parts)] = ligature.LigGlyph
    found = {}
    for character, glyph in named.items():
        data = getattr(strike.get(glyph), "imageData", None)
        if data:
            found[character.replace(_VARIATION, "")] = data
    return found


def _ligatures(font: object) -> Iterator[tuple[str, object]]:
    """Sequences of characters that are drawn as one."""
    for lookup in font["GSUB"].table.LookupList.Lookup:
        for table in lookup.SubTable:
            whole = getattr(table, "ExtSubTable", table)
            for first, ligatures in getattr(whole, "ligatures", {}).items():
                for ligature in ligatures:
                    yield first, ligature


def _annotations(language: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Emoji without variation selectors → name, keywords."""
    path = npm("cldr-annotations-full") / "package" / "annotations" / language / "annotations.json"
    told = json.loads(path.read_text(encoding="utf-8"))["annotations"]["annotations"]
    return {
        character.replace(_VARIATION, ""): (entry["tts"][0], tuple(entry["default"]))
        for character, entry in told.items()
        if entry.get("tts") and entry.get("default")
    }


def _share(character: str, salt: str) -> float:
    """A number from 0 to 1 that is the character's own."""
    return xxhash.xxh3_64_intdigest(f"{salt} {character}".encode()) / 2**64


if __name__ == "__main__":
    made = tables()
    print(f"{len(made.learned)} concepts to learn, {len(made.concepts)} held out, in {', '.join(LANGUAGES)}")
    print(f"{len(made.withheld)} of those to learn lack one language; table: {made.train}")
