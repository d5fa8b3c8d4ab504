"""Real pictures and what they show, made of registry packages in the cache: a CSV, and the files that it names.

    python -m benchmarks.data_captions

Emoji (fonts-noto-color-emoji, one picture a base emoji) with their English names (Unicode CLDR); stamps of a drawing
program with their captions (tuxpaint-stamps-default); clip art with its title, a row a title (openclipart); and people
(the emoji that have skin tones, emojibase), whose names are put together: who, what, and the tone. The split is by
caption, so that no caption of a picture that is tested on was learned; of people, other tones of the same were. Of
captions that begin alike (clock faces, playing cards), many of whose pictures are near-duplicates, few are kept.
"""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import xxhash
from PIL import Image

from scripts.fetch import cache_folder, debian, npm

SIDE = 128
_LONGEST = 60
"""Characters of a caption."""
_ALIKE = 6
"""Captions that begin with the same two words."""
_TESTED = 0.12
_MOST_PIXELS = 8_000_000
_SERIAL = re.compile(r"\d|^[a-z]$|\b(simple|icon|button|sign|flag|clock|o.clock|keycap)\b", re.IGNORECASE)

Row = tuple[str, str, str, io.BytesIO | Path]
"""Name, caption, where it is from, picture."""


def table(split: str) -> Path:
    """The CSV of "train" or "test": `image`, `caption`, `source`; made once."""
    folder = cache_folder() / "benchmarks" / "captions"
    if not (folder / "test.csv").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        chosen = [(_saved(find, folder, name), caption, source) for name, caption, source, find in _balanced(_rows())]
        rows = [(image, caption, source) for image, caption, source in chosen if image]
        for name in ("train", "test"):
            part = folder / f"{name}.part"
            with part.open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(["image", "caption", "source"])
                writer.writerows(row for row in rows if _is_tested(row[1]) == (name == "test"))
            part.rename(folder / f"{name}.csv")
    return folder / f"{split}.csv"


def _is_tested(caption: str) -> bool:
    return xxhash.xxh3_64_intdigest(caption.lower().encode()) < _TESTED * 2**64


def _balanced(rows: Iterator[Row]) -> Iterator[Row]:
    """One row a caption, few of a series, none of signs and numbers, whose names nothing of the picture tells."""
    begun, known = Counter[str](), set[str]()
    for name, told, source, find in rows:
        caption = " ".join(html.unescape(told).replace("_", " ").split()).strip(" .")
        start = " ".join(caption.lower().split()[:2])
        if not 3 <= len(caption) <= _LONGEST or _SERIAL.search(caption) or caption.lower() in known:
            continue
        if not caption.isascii() or (begun[start] >= _ALIKE and source != "people"):
            continue
        begun[start] += 1
        known.add(caption.lower())
        yield name, caption[0].lower() + caption[1:], source, find


def _rows() -> Iterator[Row]:
    yield from _people()
    yield from _emoji()
    yield from _stamps()
    yield from _clip_art()


def _emoji() -> Iterator[Row]:
    from fontTools.ttLib import TTFont

    font = TTFont(next(debian("fonts-noto-color-emoji").rglob("*.ttf")), lazy=True)
    strike, shapes = font["CBDT"].strikeData[0], font.getBestCmap()
    path = npm("cldr-annotations-full") / "package" / "annotations" / "en" / "annotations.json"
    names = json.loads(path.read_text(encoding="utf-8"))["annotations"]["annotations"]
    for code, glyph in shapes.items():
        told = names.get(chr(code), {}).get("tts")
        data = getattr(strike.get(glyph), "imageData", None)
        if told and data:
            yield f"emoji-{code:x}", told[0], "emoji", io.BytesIO(data)


def _people() -> Iterator[Row]:
    from fontTools.ttLib import TTFont

    font = TTFont(next(debian("fonts-noto-color-emoji").rglob("*.ttf")), lazy=True)
    strike, shapes = font["CBDT"].strikeData[0], font.getBestCmap()
    ligatures = _ligatures(font)
    path = npm("emojibase-data") / "package" / "en" / "data.json"
    for emoji in json.loads(path.read_text(encoding="utf-8")):
        for one in [emoji, *emoji["skins"]] if emoji.get("skins") else ():
            codes = [int(code, 16) for code in one["hexcode"].split("-") if code != "FE0F"]
            glyphs = _joined([shapes[code] for code in codes if code in shapes], ligatures)
            data = getattr(strike.get(glyphs[0]), "imageData", None) if len(glyphs) == 1 else None
            if data:
                yield f"person-{one['hexcode']}", one["label"], "people", io.BytesIO(data)


def _ligatures(font: Any) -> dict[tuple[str, ...], str]:
    """Sequences of glyphs that are shown as one."""
    found = {}
    for lookup in font["GSUB"].table.LookupList.Lookup:
        for part in lookup.SubTable:
            table = getattr(part, "ExtSubTable", part)
            for first, rest in getattr(table, "ligatures", {}).items():
                found |= {(first, *one.Component): one.LigGlyph for one in rest}
    return found


def _joined(glyphs: list[str], ligatures: Mapping[tuple[str, ...], str]) -> list[str]:
    """Longest sequences first, until nothing is joined any more."""
    for size in range(len(glyphs), 1, -1):
        for start in range(len(glyphs) - size + 1):
            one = ligatures.get(tuple(glyphs[start : start + size]))
            if one is not None:
                return _joined([*glyphs[:start], one, *glyphs[start + size :]], ligatures)
    return glyphs


def _stamps() -> Iterator[Row]:
    stamps = debian("tuxpaint-stamps-default") / "usr/share/tuxpaint/stamps"
    for number, path in enumerate(sorted(stamps.rglob("*.txt"))):
        picture = path.with_suffix(".png")
        if picture.is_file():
            caption = path.read_text(encoding="utf-8", errors="replace").splitlines()[0]
            yield f"stamp-{number}", caption, "stamps", picture


def _clip_art() -> Iterator[Row]:
    drawn = debian("openclipart-svg") / "usr/share/openclipart/svg"
    shown = debian("openclipart-png") / "usr/share/openclipart/png"
    for number, path in enumerate(sorted(drawn.rglob("*.svg"))):
        picture = shown / path.relative_to(drawn).with_suffix(".png")
        if not picture.is_file() or path.parts[-2] in ("computer", "shapes"):
            continue
        title = re.search(r"<dc:title>([^<]+)</dc:title>", path.read_text(encoding="utf-8", errors="replace"))
        if title is not None:
            yield f"clip-{number}", title[1], "openclipart", picture


def _saved(source: io.BytesIO | Path, folder: Path, name: str) -> str:
    """The picture on a white square; nothing where it is damaged, or far too large."""
    try:
        with Image.open(source) as opened:
            if opened.width * opened.height > _MOST_PIXELS:
                return ""
            image = opened.convert("RGBA")
    except (OSError, ValueError, SyntaxError):
        return ""
    image.thumbnail((SIDE, SIDE))
    ground = Image.new("RGBA", (SIDE, SIDE), (255, 255, 255, 255))
    ground.alpha_composite(image, ((SIDE - image.width) // 2, (SIDE - image.height) // 2))
    ground.convert("RGB").save(folder / f"{name}.png")
    return f"{name}.png"


def main() -> None:
    """Make them, and say how many there are."""
    for split in ("train", "test"):
        with table(split).open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        print(f"{split}: {len(rows)} at {table(split)}; {dict(Counter(row['source'] for row in rows))}")
        print("; ".join(row["caption"] for row in rows[:: max(1, len(rows) // 12)]))


if __name__ == "__main__":
    main()
