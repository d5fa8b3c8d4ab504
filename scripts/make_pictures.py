"""Make the pictures that the tour searches: emoji whose concepts `default:align` has not seen, with their names.

    python -m scripts.make_pictures

Writes `src/sensorium/assets/pictures/pictures.zip`: 60 pictures of 64 pixels and `names.json`, the name of each in five
languages (`benchmarks/data_emoji.py` says where both come from).
"""

from __future__ import annotations

import io
import json
import random
import zipfile
from pathlib import Path

from PIL import Image

from benchmarks.data_emoji import tables

OUT = Path(__file__).parents[1] / "src" / "sensorium" / "assets" / "pictures" / "pictures.zip"
COUNT, EDGE = 60, 64


def main() -> None:
    """Choose, shrink, and pack."""
    chosen = random.Random(0).sample(tables().concepts, COUNT)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    names = {}
    with zipfile.ZipFile(OUT, "w", zipfile.ZIP_STORED) as packed:
        for number, emoji in enumerate(chosen):
            picture = Image.open(emoji.picture).convert("RGBA")
            picture.thumbnail((EDGE, EDGE))
            data = io.BytesIO()
            picture.save(data, "PNG", optimize=True)
            name = f"{number:02}.png"
            packed.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), data.getvalue())
            names[name] = emoji.names
        told = json.dumps(names, ensure_ascii=False, indent=1)
        packed.writestr(zipfile.ZipInfo("names.json", (2026, 1, 1, 0, 0, 0)), told)
    print(f"{OUT}: {COUNT} pictures, {OUT.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
