"""Archives, PDF and columnar files; and what is packed to harm."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
import zipfile
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matplotlib.backends.backend_pdf import PdfPages
from pyarrow import feather

from sensorium.data.reading.files import read_file
from sensorium.data.reading.inputs import read_inputs
from sensorium.data.reading.packed import Limits, UnpackError, unpacked
from sensorium.data.reading.pdf import rejoined
from sensorium.data.reading.places import UnreadableError
from sensorium.data.sample import Ledger, Sample
from sensorium.errors import DataError

TEXTS = ["An owl sat in the old oak.", "夜里很安静。", "Größe und Maß"]


def samples(path: Path, ledger: Ledger | None = None, **options) -> list[Sample]:
    return list(read_inputs([path], ledger or Ledger(strict=True), **options))


def texts(path: Path, ledger: Ledger | None = None, **options) -> list[str]:
    return [sample.text for sample in samples(path, ledger, **options)]


MEMBERS = {
    "a/1.txt": TEXTS[0].encode(),
    "b/1.txt": TEXTS[1].encode(),
    "rows.jsonl.gz": gzip.compress(b'{"text": "row"}\n'),
    "picture.png": b"\x89PNG",
    ".hidden/2.txt": b"hidden",
    "inner.zip": b"PK",
    "../../etc/out.txt": b"named to get out",
}


def zipped(members: dict[str, bytes] = MEMBERS) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def tarred(mode: str = "w", members: dict[str, bytes] = MEMBERS) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    return file.getvalue()


ARCHIVES = {
    "a.zip": zipped(),
    "a.tar": tarred(),
    "a.tar.gz": tarred("w:gz"),
    "a.tgz": tarred("w:gz"),
    "a.tar.xz": tarred("w:xz"),
    "a.tar.bz2": tarred("w:bz2"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_members_of_archives_are_files_and_their_names_are_only_shown(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(ARCHIVES[name])
    before = sorted(tmp_path.rglob("*"))
    ledger = Ledger(strict=True)
    found = samples(tmp_path / name, ledger)
    assert [sample.text for sample in found] == [TEXTS[0], TEXTS[1], "row", "named to get out"]
    assert found[1].source == f"{tmp_path / name}!b/1.txt"
    assert found[2].source == f"{tmp_path / name}!rows.jsonl.gz:1"
    assert ledger.counts["files of other kinds"] == 2
    assert ledger.counts["links and special files in archives"] == ("tar" in name or "tgz" in name)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_damaged_member_is_listed_and_the_others_are_read(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.txt": b"one " * 500, "b.txt": b"two " * 500, "c.txt": b"\xff\xfe\xff", "d.txt": b""}))
    place = data.index(b"b.txt") + 12
    data[place] ^= 0xFF
    (tmp_path / "a.zip").write_bytes(data)
    ledger = Ledger()
    assert texts(tmp_path / "a.zip", ledger) == ["one " * 500]
    assert [problem["where"][-6:] for problem in ledger.problems] == ["!b.txt", "!c.txt", "!d.txt"]


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_that_is_cut_is_not_used(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(ARCHIVES[name][: len(ARCHIVES[name]) // 2])
    ledger = Ledger()
    assert texts(tmp_path / name, ledger) == []
    assert ledger.counts["problems"] == 1


def test_encrypted_members_are_problems(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.txt": b"secret"}))
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    ledger = Ledger()
    assert texts(tmp_path / "a.zip", ledger) == []
    assert ledger.problems[0]["reason"] == "is encrypted"


SMALL = Limits(ratio=50.0, ratio_from=100_000, unpacked=1 << 22, member=1 << 21, members=10)


@pytest.mark.parametrize("name", ["a.txt.gz", "a.txt.xz", "a.zip", "a.tar.gz", "a.warc.gz"])
def test_a_bomb_is_found_before_it_bursts(tmp_path: Path, name: str) -> None:
    zeros = b"0" * (1 << 20)
    data = {
        "a.txt.gz": gzip.compress(zeros),
        "a.txt.xz": lzma.compress(zeros),
        "a.zip": zipped({"a.txt": zeros}),
        "a.tar.gz": tarred("w:gz", {"a.txt": zeros}),
        "a.warc.gz": gzip.compress(
            b"WARC/1.0\r\nWARC-Type: conversion\r\nWARC-Record-ID: <urn:uuid:1>\r\nContent-Type: text/plain\r\n"
            b"Content-Length: 1048576\r\n\r\n" + zeros + b"\r\n\r\n"
        ),
    }[name]
    (tmp_path / name).write_bytes(data)
    assert len("".join(texts(tmp_path / name, limits=Limits(ratio=2000.0)))) == 1 << 20
    ledger = Ledger()
    assert texts(tmp_path / name, ledger, limits=SMALL) == []
    assert "as a compression bomb does" in ledger.problems[0]["reason"]


def test_an_archive_of_too_many_files_or_bytes_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "many.zip").write_bytes(zipped({f"{i}.txt": b"x" for i in range(11)}))
    (tmp_path / "much.tar").write_bytes(tarred(members={f"{i}.txt": b"x" * (1 << 20) for i in range(5)}))
    (tmp_path / "large.tar").write_bytes(tarred(members={"a.txt": b"x" * (3 << 20)}))
    ledger = Ledger()
    assert texts(tmp_path / "many.zip", ledger, limits=SMALL) == []
    assert ledger.problems[0]["reason"] == "holds more than 10 files"
    assert len("".join(texts(tmp_path / "much.tar", ledger, limits=SMALL))) == 4 << 20
    assert texts(tmp_path / "large.tar", ledger, limits=SMALL) == []
    assert [problem["reason"][:33] for problem in ledger.problems[1:]] == ["cannot be read: unpacks to more t"] * 2


def test_xz_that_wants_much_memory_is_refused() -> None:
    header = bytearray(lzma.compress(b"text", filters=[{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 29}]))
    with pytest.raises(UnpackError, match=r"[Mm]emory"):
        unpacked(io.BytesIO(bytes(header))).read()


def pdf(pages: list[list[str]]) -> bytes:
    file = io.BytesIO()
    with mpl.rc_context({"pdf.fonttype": 42}), PdfPages(file) as out:
        for lines in pages:
            figure = plt.figure(figsize=(6, 4))
            for number, line in enumerate(lines):
                figure.text(0.1, 0.9 - 0.06 * number, line, size=11)
            out.savefig(figure)
            plt.close(figure)
    return file.getvalue()


@pytest.mark.parametrize("name", ["a.pdf", "a.pdf.gz"])
def test_a_pdf_is_read_page_after_page_and_its_cut_words_are_rejoined(tmp_path: Path, name: str) -> None:
    data = pdf([["An owl sat in the for-", "est. It was a well-", "Known bird."], [], ["The second page."]])
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    assert texts(tmp_path / name) == ["An owl sat in the forest. It was a well-Known bird.\nThe second page."]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the docu\x02ment", "the document"),
        ("the docu\ufffe\r\nment", "the document"),
        ("the docu-\r\nment", "the document"),
        ("1990-\n2000", "1990-\n2000"),
        ("a - \nb", "a - \nb"),
    ],
)
def test_words_are_rejoined_and_numbers_are_not(text: str, expected: str) -> None:
    assert rejoined(text) == expected


def test_pdfs_that_cannot_be_read_are_problems(tmp_path: Path) -> None:
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4 and no more")
    (tmp_path / "scan.pdf").write_bytes(pdf([[]]))
    ledger = Ledger()
    assert texts(tmp_path, ledger) == []
    assert [problem["reason"][:19] for problem in ledger.problems] == ["not a readable PDF ", "holds no text, only"]


def columnar(name: str, table: pa.Table, path: Path) -> None:
    if name.endswith(".parquet"):
        pq.write_table(table, path)
    elif name.startswith("stream"):
        with pa.ipc.new_stream(path, table.schema) as out:
            out.write_table(table)
    elif name.endswith(".arrow"):
        with pa.ipc.new_file(path, table.schema) as out:
            out.write_table(table)
    else:
        feather.write_feather(table, path)


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "stream.arrow", "a.feather"])
def test_columnar_files_are_read_with_what_they_say_of_a_text(tmp_path: Path, name: str) -> None:
    table = pa.table({"url": ["u0", None, "u2"], "license": ["MIT", "MIT", None], "body": TEXTS, "n": [1, 2, 3]})
    columnar(name, table, tmp_path / name)
    found = samples(tmp_path / name, column="body")
    assert [sample.text for sample in found] == TEXTS
    assert [sample.meta for sample in found] == [{"url": "u0", "licence": "MIT"}, {"licence": "MIT"}, {"url": "u2"}]
    assert found[2].source == f"{tmp_path / name}:3"
    with pytest.raises(DataError, match=r"no column 'text'.*present: url, license, body, n"):
        texts(tmp_path / name)


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())])
def test_strings_of_every_kind_are_text(tmp_path: Path, kind: pa.DataType) -> None:
    columnar("a.arrow", pa.table({"text": pa.array(TEXTS).cast(kind)}), tmp_path / "a.arrow")
    assert texts(tmp_path / "a.arrow") == TEXTS


def test_a_string_that_is_no_utf8_is_a_problem_of_its_row(tmp_path: Path) -> None:
    bad = pa.array([b"good", b"\xff\xfe", b"also good", None]).view(pa.string())
    columnar("a.parquet", pa.table({"text": bad}), tmp_path / "a.parquet")
    ledger = Ledger()
    assert texts(tmp_path / "a.parquet", ledger) == ["good", "also good"]
    assert [problem["reason"] for problem in ledger.problems] == ["holds bytes, not text", "holds NoneType, not text"]


@pytest.mark.parametrize("name", ["a.arrow", "a.feather", "a.parquet"])
def test_a_columnar_file_that_is_none_or_cut_is_not_used(tmp_path: Path, name: str) -> None:
    columnar(name, pa.table({"text": TEXTS * 1000}), tmp_path / name)
    data = (tmp_path / name).read_bytes()
    for content in (data[: len(data) // 2], b"just text, no table at all"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnreadableError, match="not a readable"):
            list(read_file(tmp_path / name, Ledger()))
