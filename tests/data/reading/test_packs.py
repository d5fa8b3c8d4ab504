"""Archives and PDF; and what is packed to harm."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
import zipfile
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from matplotlib.backends.backend_pdf import PdfPages

from sensorium.data.reading import files
from sensorium.data.reading.inputs import read_inputs
from sensorium.data.reading.packed import Limits, UnpackError, unpacked
from sensorium.data.reading.pdf import rejoined
from sensorium.data.sample import Ledger, Sample

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


def test_members_that_are_harmless_one_by_one_may_be_a_bomb_together(tmp_path: Path) -> None:
    limits = Limits(ratio=50.0, ratio_from=1 << 20)
    (tmp_path / "a.zip").write_bytes(zipped({f"{i}.txt": b"0" * (1 << 19) for i in range(5)}))
    ledger = Ledger()
    assert texts(tmp_path / "a.zip", ledger, limits=limits) == []
    assert ledger.counts["problems"] == 1
    assert ledger.problems[0]["where"] == str(tmp_path / "a.zip")
    assert "as a compression bomb does" in ledger.problems[0]["reason"]


def test_a_member_without_a_name_is_listed_and_the_others_are_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        nameless = zipfile.ZipInfo("x")
        nameless.filename = ""
        archive.writestr(nameless, b"hello")
        archive.writestr("good.txt", b"good")
    ledger = Ledger()
    assert texts(tmp_path / "a.zip", ledger) == ["good"]
    assert ledger.problems[0]["reason"] == "a member without a name"


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_tar_header_that_would_take_much_memory_is_refused(tmp_path: Path, kind: bytes) -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.size, header.type = 1 << 40, kind
    (tmp_path / "a.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT) + bytes(4096))
    ledger = Ledger()
    assert texts(tmp_path / "a.tar", ledger) == []
    assert "a header of 1099511627776 bytes" in ledger.problems[0]["reason"]


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_in_a_tar_are_read(tmp_path: Path, form: int) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=form) as archive:
        info = tarfile.TarInfo("静" * 300 + ".txt")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"text"))
    (sample,) = samples(tmp_path / "a.tar")
    assert sample.source == f"{tmp_path / 'a.tar'}!{'静' * 300}.txt"


def test_what_nobody_foresaw_costs_a_file_or_a_member_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = files._decoded

    def fails_on_some(stream: io.BufferedReader, encoding: str):
        for block in decode(stream, encoding):
            yield "" if block.startswith("bad") and {}["what the package says"] else block

    monkeypatch.setattr(files, "_decoded", fails_on_some)
    (tmp_path / "a.txt").write_text("bad")
    (tmp_path / "b.txt").write_text("good")
    (tmp_path / "c.zip").write_bytes(zipped({"1.txt": b"bad", "2.txt": b"a good member"}))
    ledger = Ledger()
    assert texts(tmp_path, ledger) == ["good", "a good member"]
    assert [problem["where"][-6:] for problem in ledger.problems] == ["/a.txt", "!1.txt"]
    assert {problem["reason"] for problem in ledger.problems} == {"cannot be read: KeyError: 'what the package says'"}


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
