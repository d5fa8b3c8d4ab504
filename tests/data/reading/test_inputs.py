"""Whatever a file is packed in, its documents come out; what is damaged is skipped, counted and listed."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sensorium.data.prepare.prepare import prepare
from sensorium.data.reading import tables
from sensorium.data.reading.documents import MAX_DOCUMENT
from sensorium.data.reading.inputs import read_inputs
from sensorium.data.reading.listing import list_files
from sensorium.data.sample import Ledger
from sensorium.errors import DataError, InputError

TEXTS = ['She said: "It, too, is warm."', "第一行\n第二行，还有。", "Größe\tund Maß\r\nA last line."]


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as out:
        out.write(data)
    return sink.getvalue().to_pybytes()


def jsonl() -> str:
    return "".join(json.dumps({"text": text, "id": i}, ensure_ascii=False) + "\n" for i, text in enumerate(TEXTS))


def table(separator: str) -> str:
    file = io.StringIO(newline="")
    rows = csv.writer(file, delimiter=separator)
    rows.writerows([["id", "text"], *enumerate(TEXTS)])
    return file.getvalue()


def parquet(**options) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"id": [0, 1, 2], "text": TEXTS}), sink, **options)
    return sink.getvalue()


def read(*paths: Path, ledger: Ledger | None = None, **options) -> list[str]:
    return [sample.text for sample in read_inputs(list(paths), ledger or Ledger(strict=True), **options)]


ENCODINGS = {"utf-8": "utf-8", "utf-8 with a mark": "utf-8-sig", "utf-16": "utf-16"}
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstd,
    ".xz": lzma.compress,
    ".bz2": bz2.compress,
}


def damaged(data: bytes) -> bytes:
    """With a bit turned where the content is."""
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 4]) + data[len(data) // 2 + 1 :]


@pytest.mark.parametrize("packed", PACKERS)
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".csv", ".tsv", ".JSONL"])
def test_rows_are_documents(tmp_path: Path, suffix: str, encoding: str, packed: str) -> None:
    text = table("\t" if suffix == ".tsv" else ",") if suffix in (".csv", ".tsv") else jsonl()
    path = tmp_path / f"rows{suffix}{packed}"
    path.write_bytes(PACKERS[packed](text.encode(ENCODINGS[encoding])))
    assert read(path) == TEXTS


@pytest.mark.parametrize("packed", PACKERS)
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("suffix", [".txt", ".md", ".markdown", ".text", ".TXT"])
def test_a_text_file_is_a_document(tmp_path: Path, suffix: str, encoding: str, packed: str) -> None:
    path = tmp_path / f"text{suffix}{packed}"
    path.write_bytes(PACKERS[packed](TEXTS[2].encode(ENCODINGS[encoding])))
    assert read(path) == [TEXTS[2]]


@pytest.mark.parametrize("options", [{}, {"compression": "zstd"}, {"use_dictionary": False, "row_group_size": 1}])
def test_parquet_rows_are_documents(tmp_path: Path, options: dict) -> None:
    (tmp_path / "rows.parquet").write_bytes(parquet(**options))
    assert read(tmp_path / "rows.parquet") == TEXTS


def test_big_endian_utf16_is_told_by_its_mark(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(("\ufeff" + TEXTS[1]).encode("utf-16-be"))
    assert read(tmp_path / "a.txt") == [TEXTS[1]]


@pytest.mark.parametrize("packed", PACKERS)
def test_files_packed_in_several_parts_are_read_to_the_end(tmp_path: Path, packed: str) -> None:
    path, pack = tmp_path / f"a.txt{packed}", PACKERS[packed]
    path.write_bytes(b"".join(pack(part) for part in (b"one ", b"two ", b"three")))
    assert read(path) == ["one two three"]


@pytest.mark.parametrize("packed", PACKERS)
@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.txt.bz2"])
def test_how_a_file_is_packed_is_seen_from_its_bytes(tmp_path: Path, name: str, packed: str) -> None:
    (tmp_path / name).write_bytes(PACKERS[packed](TEXTS[1].encode()))
    assert read(tmp_path / name) == [TEXTS[1]]


def test_another_column_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "title", "body": "the body"}\n')
    (tmp_path / "b.csv").write_text("text,body\ntitle,the body\n")
    pq.write_table(pa.table({"text": ["title"], "body": ["the body"]}), tmp_path / "c.parquet")
    assert read(tmp_path, column="body") == ["the body"] * 3
    for name in ("a.jsonl", "b.csv", "c.parquet"):
        with pytest.raises(DataError, match=r"no column 'content'.*present: text, body"):
            read(tmp_path / name, column="content")


def test_a_folder_is_read_in_the_order_of_its_paths_without_what_is_hidden_or_foreign(tmp_path: Path) -> None:
    for name in ("b/2.txt", "b/10.md", "a.txt", "c.d/e.txt", ".git/hidden.txt", "b/.hidden.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    for name in ("picture.png", "b/paper.doc", "b/archive.7z", "noname"):
        (tmp_path / name).write_bytes(bz2.compress(b"text"))
    (tmp_path / "broken.txt").symlink_to(tmp_path / "nowhere.txt")
    ledger = Ledger()
    assert read(tmp_path, ledger=ledger) == ["a.txt", "b/10.md", "b/2.txt", "c.d/e.txt"]
    assert ledger.counts["files of other kinds"] == 4
    assert ledger.counts["files"] == 4
    assert not ledger.problems


def test_inputs_come_in_the_order_given(tmp_path: Path) -> None:
    for name in ("z.txt", "a.txt"):
        (tmp_path / name).write_text(name)
    assert read(tmp_path / "z.txt", tmp_path / "a.txt", tmp_path / "z.txt") == ["z.txt", "a.txt", "z.txt"]
    with pytest.raises(InputError, match="no input given"):
        list_files([])


DAMAGED: dict[str, tuple[bytes, str]] = {
    "binary.txt": (b"MZ\0\0" * 20, "a binary file, not text"),
    "latin.txt": ("schön und gut".encode("latin-1"), "not valid UTF-8 near byte 3"),
    "late.txt": (b"x" * (3 << 20) + b"\xe9", "not valid UTF-8 near byte 3145728"),
    "half.txt": (TEXTS[1].encode("utf-16")[:-1], "not valid UTF-16"),
    "empty.md": (b"", "the file is empty"),
    "cut.txt.gz": (gzip.compress(jsonl().encode())[:-9], "cannot be read: Compressed file ended"),
    "crc.txt.gz": (gzip.compress(b"abc")[:-8] + b"\1" * 8, "cannot be read: CRC check failed"),
    "cut.txt.zst": (zstd(jsonl().encode())[:-9], "cannot be read: Truncated"),
    "tail.txt.zst": (zstd(b"text") + b"and more", "cannot be read: ZSTD"),
    "cut.txt.xz": (lzma.compress(jsonl().encode())[:-9], "cannot be read: Compressed file ended"),
    "check.txt.xz": (damaged(lzma.compress(b"abc")), "cannot be read: Corrupt input data"),
    "cut.txt.bz2": (bz2.compress(jsonl().encode())[:-9], "cannot be read: Compressed file ended"),
    "check.txt.bz2": (damaged(bz2.compress(b"abc")), "cannot be read: Invalid data stream"),
    "cut.parquet": (parquet()[:-40], "not a readable Parquet file"),
    "plain.parquet": (b"just text", "not a readable Parquet file"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_skipped_counted_and_listed(tmp_path: Path, name: str) -> None:
    content, reason = DAMAGED[name]
    (tmp_path / "0.txt").write_text("before")
    (tmp_path / name).write_bytes(content)
    (tmp_path / "z.txt").write_text("after")
    ledger = Ledger()
    assert read(tmp_path, ledger=ledger) == ["before", "after"]
    assert ledger.counts["problems"] == 1
    assert ledger.problems[0]["where"] == str(tmp_path / name)
    assert ledger.problems[0]["reason"].startswith(reason)
    with pytest.raises(DataError, match="without --strict") as raised:
        read(tmp_path)
    assert str(raised.value).startswith(f"{tmp_path / name}: {reason}")


ROWS: dict[str, tuple[str, list[tuple[int, str]]]] = {
    "rows.jsonl": (
        '{"text": "good"}\n\n{"text": "cut\n[1, 2]\n{"body": 1}\n{"text": 7}\n{"text": null}\n'
        f'{{"text": "", "n": {"9" * 5000}}}\n{"[" * 99_999}\n{{"text": "also good"}}\n',
        [
            (3, "not valid JSON"),
            (4, "not a JSON object"),
            (5, "no key 'text'"),
            (6, "holds int, not text"),
            (7, "holds NoneType, not text"),
            (8, "not valid JSON"),
            (9, "not valid JSON"),
        ],
    ),
    "rows.csv": ('id,text\n1,good\n2\n3,"also\ngood"\n', [(3, "has 1 cells, the text is in cell 2")]),
}


@pytest.mark.parametrize("name", ROWS)
def test_a_damaged_row_is_skipped_and_listed_with_its_line(tmp_path: Path, name: str) -> None:
    content, expected = ROWS[name]
    (tmp_path / name).write_text(content)
    ledger = Ledger()
    assert [text.replace("\n", " ") for text in read(tmp_path / name, ledger=ledger)] == ["good", "also good"]
    found = [(problem["where"], problem["reason"]) for problem in ledger.problems]
    assert [where for where, _ in found] == [f"{tmp_path / name}:{line}" for line, _ in expected]
    for (_, reason), (_, start) in zip(found, expected, strict=True):
        assert reason.startswith(start)
    with pytest.raises(DataError, match=rf"{name}:{expected[0][0]}: {expected[0][1]}"):
        read(tmp_path / name)


def test_parquet_rows_that_are_no_text_are_listed(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["good", None]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": [b"\xff", b"bytes"]}), tmp_path / "b.parquet")
    ledger = Ledger()
    assert read(tmp_path, ledger=ledger) == ["good"]
    assert [problem["reason"] for problem in ledger.problems] == [
        "holds NoneType, not text",
        "holds bytes, not text",
        "holds bytes, not text",
    ]


def test_a_row_without_an_end_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_ROW", 1000)
    endless = '{"text": "' + "x" * 5000
    (tmp_path / "a.jsonl").write_text(f'{{"text": "one"}}\n{endless}\n{{"text": "three"}}\n{endless}')
    ledger = Ledger()
    assert read(tmp_path / "a.jsonl", ledger=ledger) == ["one", "three"]
    assert [problem["where"][-2:] for problem in ledger.problems] == [":2", ":4"]
    (tmp_path / "b.csv").write_text('text\none\n"never closed ' + "x" * 5000)
    ledger = Ledger()
    assert read(tmp_path / "b.csv", ledger=ledger) == []
    assert "field larger than field limit" in ledger.problems[0]["reason"]


def test_only_the_first_problems_are_listed_and_all_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "good"}\n' + "bad\n" * (Ledger.LISTED + 5))
    ledger = Ledger()
    assert read(tmp_path / "a.jsonl", ledger=ledger) == ["good"]
    assert ledger.counts["problems"] == Ledger.LISTED + 5
    assert len(ledger.problems) == Ledger.LISTED


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_standard_input_is_one_text(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    piped = io.TextIOWrapper(io.BufferedReader(io.BytesIO("\n\n".join(TEXTS).encode(encoding))))
    monkeypatch.setattr("sys.stdin", piped)
    assert read(Path("-")) == ["\n\n".join(TEXTS)]


@pytest.mark.parametrize(
    "text", ["word " * 90_000, "字" * 250_000, "Line.\n" * 60_000, "A b. " * 50_000 + "\n\n" + "c" * 99]
)
def test_a_long_text_is_cut_and_nothing_is_lost(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": text}), encoding="utf-8")
    parts = read(tmp_path / "a.txt")
    assert "".join(parts) == text
    assert all(MAX_DOCUMENT / 2 < len(part) <= MAX_DOCUMENT for part in parts[:-1])
    assert read(tmp_path / "a.jsonl") == parts


def test_prepare_tells_in_the_manifest_what_it_could_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(30):
        (folder / f"{i:02}.txt").write_text(f"Text number {i} tells of {i * i} birds that sang.")
    for name, (content, _) in DAMAGED.items():
        (folder / name).write_bytes(content)
    (folder / "paper.doc").write_bytes(b"of another kind")
    manifest = prepare(folder, out=tmp_path / "corpus").manifest
    assert [problem["where"] for problem in manifest["input"]["unreadable"]] == [
        str(folder / n) for n in sorted(DAMAGED)
    ]
    assert manifest["input"]["counts"]["problems"] == len(DAMAGED)
    assert manifest["input"]["counts"]["files of other kinds"] == 1
    assert sum(split["documents"] for split in manifest["splits"].values()) == 30
    with pytest.raises(DataError, match="without --strict"):
        prepare(folder, out=tmp_path / "strict", strict=True)
    assert not (tmp_path / "strict").exists()


def test_a_parquet_file_with_changed_bytes_never_ends_in_a_defect_of_ours(tmp_path: Path) -> None:
    draw, whole = random.Random(0), parquet()
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[draw.randrange(len(whole))] = draw.randrange(256)
        (tmp_path / "a.parquet").write_bytes(damaged)
        ledger = Ledger()
        with suppress(DataError):
            texts = read(tmp_path / "a.parquet", ledger=ledger)
            assert texts == TEXTS or ledger.problems or len(texts) == len(TEXTS)
