"""Hostile, odd and huge input, from the shell: what is usable of it is used, the rest is told, and nothing is left."""

from __future__ import annotations

import gzip
import json
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sensorium.data.reading.documents import MAX_DOCUMENT
from sensorium.data.shards import SPLITS, Corpus
from tests.cli.shell import Done, shell, tree

TEXT = "The cat sat on the mat, and the dog lay by the door. "
BOMB = 68 << 20
"""Bytes of nothing, which a thousandth holds."""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture(scope="module")
def bomb() -> bytes:
    return gzip.compress(b"0" * BOMB)


def put(name: str, content: str | bytes) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def prepared(*arguments: str) -> Done:
    return shell("prepare", *arguments, "--out", "new", "--workers", "1")


def manifest_of(*arguments: str) -> dict[str, Any]:
    """Of the corpus that they give; nothing but the corpus has come to be."""
    before = tree(Path())
    done = prepared(*arguments, "--json")
    assert (done.code, done.err) == (0, ""), done
    after = tree(Path())
    assert {path for path in after if path.split("/")[0] != "new"} == before.keys()
    return json.loads(done.out)


def refused(*arguments: str, told: str) -> None:
    """One line, exit code 2, and nothing has changed."""
    before = tree(Path())
    done = prepared(*arguments)
    assert (done.code, done.out) == (2, ""), done
    assert done.err.startswith("error: "), done.err
    assert done.err.count("\n") == 1, done.err
    assert told in done.err
    assert tree(Path()) == before


def held() -> list[str]:
    """The documents of the corpus."""
    corpus = Corpus.open("new")
    shards = [getattr(corpus, split) for split in SPLITS]
    return sorted(corpus.tokenizer.decode(one.document(i)) for one in shards for i in range(len(one)))


def unreadable(manifest: dict[str, Any]) -> dict[str, str]:
    return {one["where"]: one["reason"] for one in manifest["input"]["unreadable"]}


def paths(manifest: dict[str, Any]) -> list[str]:
    return [file["path"] for file in manifest["input"]["files"]]


def test_a_bomb_in_an_archive_is_passed_over() -> None:
    with zipfile.ZipFile("a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.txt", b"0" * BOMB)
        archive.writestr("good.txt", TEXT * 9)
    manifest = manifest_of("a.zip")
    assert held() == [(TEXT * 9).strip()]
    assert "as a compression bomb does" in unreadable(manifest)["a.zip!bomb.txt"]


def test_a_packed_bomb_is_passed_over(bomb: bytes) -> None:
    put("bomb.txt.gz", bomb)
    put("good.txt", TEXT * 9)
    manifest = manifest_of("bomb.txt.gz", "good.txt")
    assert held() == [(TEXT * 9).strip()]
    assert "as a compression bomb does" in unreadable(manifest)["bomb.txt.gz"]
    assert paths(manifest) == ["good.txt"]


def test_a_bomb_ends_a_strict_run(bomb: bytes) -> None:
    put("bomb.txt.gz", bomb)
    refused("bomb.txt.gz", "--strict", told="bomb.txt.gz: cannot be read: unpacks to more than 250 times its size")


def test_links_that_leave_the_folder_are_not_followed() -> None:
    put("in/a.txt", TEXT)
    put("secret/b.txt", "A secret.")
    Path("in/file.txt").symlink_to(Path("secret/b.txt").absolute())
    Path("in/folder").symlink_to(Path("secret").absolute())
    manifest = manifest_of("in")
    assert held() == [TEXT.strip()]
    assert unreadable(manifest) == dict.fromkeys(("in/file.txt", "in/folder"), "a link that leaves the input folder")
    assert manifest["input"]["counts"]["links that leave the folder"] == 2


def test_links_that_leave_the_folder_end_a_strict_run() -> None:
    put("in/a.txt", TEXT)
    Path("in/link.txt").symlink_to(put("b.txt", TEXT).absolute())
    refused("in", "--strict", told="in/link.txt: a link that leaves the input folder")


def test_files_of_one_name_are_told_apart() -> None:
    put("x/books/1.txt", f"One. {TEXT}")
    put("y/books/1.txt", f"Two. {TEXT}")
    assert paths(manifest_of("x/books", "y/books")) == ["x/books/1.txt", "y/books/1.txt"]
    counted = json.loads(Path("new/report.json").read_bytes())["after"]["files"]["counts"]
    assert {name: one["documents"] for name, one in counted.items()} == {"x/books/1.txt": 1, "y/books/1.txt": 1}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", f"a\0b\0 {TEXT}"),
        ("a.jsonl", json.dumps({"text": f"a\0b\0 {TEXT}"})),
        ("a.csv", f'text\n"a\0b\0 {TEXT}"\n'),
    ],
)
def test_zero_bytes_are_taken_out(name: str, content: str) -> None:
    put(name, content)
    assert manifest_of(name)["input"]["counts"]["zero characters taken out"] == 2
    assert held() == [f"ab {TEXT}".strip()]


def test_halves_of_surrogate_pairs_become_one_mark() -> None:
    half, pair = f"half \ud83d, {TEXT}", f"pair \ud83d\ude00, {TEXT}"
    put("a.jsonl", "".join(json.dumps({"text": text}) + "\n" for text in (half, pair)))
    assert manifest_of("a.jsonl")["input"]["counts"]["halves of surrogate pairs replaced"] == 1
    assert held() == [f"half \ufffd, {TEXT}".strip(), f"pair 😀, {TEXT}".strip()]


@pytest.mark.parametrize("others", [[], ["good.txt"]])
def test_a_parquet_file_without_the_column_names_those_it_has(others: list[str]) -> None:
    pq.write_table(pa.table({"body": [TEXT], "title": ["A cat"]}), "a.parquet")
    put("good.txt", TEXT)
    refused("a.parquet", *others, told="a.parquet: no column 'text'. Choose one with --column (present: body, title)")
    manifest_of("a.parquet", "--column", "body")
    assert held() == [TEXT.strip()]


def test_many_empty_documents_are_counted_and_not_listed() -> None:
    put("a.jsonl", '{"text": ""}\n' * 10_000 + json.dumps({"text": TEXT}) + "\n")
    manifest = manifest_of("a.jsonl")
    assert manifest["dropped"] == {"empty": 10_000}
    assert unreadable(manifest) == {}
    assert held() == [TEXT.strip()]


def test_empty_documents_alone_give_nothing() -> None:
    put("a.jsonl", '{"text": ""}\n' * 10_000)
    refused("a.jsonl", told="no usable document (10000 empty)")


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl"])
def test_a_long_document_is_cut_and_nothing_is_lost(name: str) -> None:
    text = "".join(f"{number // 1000}. {TEXT}\n" for number in range(92_000))
    assert len(text) > 5_000_000
    put(name, text if name == "a.txt" else json.dumps({"text": text}) + "\n")
    manifest = manifest_of(name, "--keep-text")
    assert manifest["input"]["counts"]["documents"] == sum(of["documents"] for of in manifest["splits"].values()) > 50
    kept = pq.read_table("new/documents")["text"].to_pylist()
    whole = " ".join(kept).split() == text.split()
    assert whole
    assert max(map(len, kept)) <= MAX_DOCUMENT


LONG = TEXT * (20_000_000 // len(TEXT))
"""What takes so long to read that another thread has its turn."""


@contextmanager
def growing(path: Path) -> Iterator[None]:
    """The file grows for as long as this lasts."""
    stop, grown = threading.Event(), threading.Event()

    def write() -> None:
        while not stop.wait(0.001):
            with path.open("a") as file:
                file.write("One line more.\n")
            grown.set()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert grown.wait(10)
        yield
    finally:
        stop.set()
        thread.join()


def test_a_file_that_changes_while_it_is_read_is_not_used() -> None:
    put("log.txt", LONG)
    put("good.txt", TEXT)
    with growing(Path("log.txt")):
        done = prepared("log.txt", "good.txt", "--json")
    assert done.code == 0, done.err
    manifest = json.loads(done.out)
    assert held() == [TEXT.strip()]
    assert "the file changed" in unreadable(manifest)["log.txt"]
    assert paths(manifest) == ["good.txt"]


def test_a_file_that_changes_while_it_is_read_ends_a_strict_run() -> None:
    put("log.txt", LONG)
    with growing(Path("log.txt")):
        done = prepared("log.txt", "--strict")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "log.txt: " in done.err
    assert "changed" in done.err
    assert list(tree(Path())) == ["log.txt"]
