"""Pages of HTML and of crawls: their main text, whatever encoding they claim; what hurts is passed over."""

from __future__ import annotations

import bz2
import gzip
import io
import re
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from fastwarc.warc import ArchiveIterator

from sensorium.data.reading.html import PageError, decode_page, read_page
from sensorium.data.reading.inputs import read_inputs
from sensorium.data.sample import Ledger, Sample
from sensorium.errors import DataError

NAV = "<nav><a href='/'>Home</a> <a href='/about'>About us</a></nav>"
BODY = "<article><h1>The owl</h1><p>An owl sat in the old oak &amp; sang.</p><p>夜里很安静。</p></article>"


def page(title: str = "Owls", body: str = BODY, charset: str = "utf-8") -> str:
    return (
        f"<!doctype html><html><head><meta charset={charset}><title> {title}\n</title><style>p {{}}</style></head>"
        f"<body>{NAV}{body}<script>track()</script><footer>All rights reserved</footer></body></html>"
    )


def samples(path: Path, ledger: Ledger | None = None, **options) -> list[Sample]:
    return list(read_inputs([path], ledger or Ledger(strict=True), **options))


@pytest.mark.parametrize("suffix", [".html", ".htm", ".xhtml", ".HTML"])
def test_a_page_is_its_title_and_main_content(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a{suffix}").write_text(page(), encoding="utf-8")
    (sample,) = samples(tmp_path / f"a{suffix}")
    assert sample.text == "Owls\n\nThe owl\n\nAn owl sat in the old oak & sang.\n\n夜里很安静。"
    assert sample.meta == {"title": "Owls"}


def test_a_title_that_heads_the_text_is_not_said_twice() -> None:
    assert read_page(page("The owl").encode()).text.startswith("The owl\n\nAn owl")


def test_a_page_without_main_content_is_taken_whole() -> None:
    assert "短文" in read_page("<html><body><div class=nav>短文</div></body></html>".encode()).text


@pytest.mark.parametrize(
    ("charset", "written"),
    [("gb2312", "gbk"), ("big5", "big5"), ("shift_jis", "shift_jis"), ("euc-kr", "cp949"), ("utf-8", "gb18030")],
)
def test_a_page_is_decoded_as_it_says_unless_that_is_wrong(charset: str, written: str) -> None:
    text = {
        "big5": "這是一篇關於貓頭鷹的文章，夜裡很安靜。",
        "shift_jis": "これはふくろうの話です。夜は静かでした。",
    }.get(
        written,
        "올빼미가 오래된 나무에서 노래했습니다. 밤은 조용했다." if written == "cp949" else "这是一篇关于猫头鹰的文章。",
    )
    data = page("T", f"<article><p>{text * 4}</p></article>", charset).encode(written)
    assert text in read_page(data).text


def test_some_broken_characters_do_not_cost_a_page() -> None:
    data = ("静" * 400).encode("gb18030") + b"\xff " + "夜".encode("gb18030")
    assert decode_page(b"<meta charset=gbk>" + data).count("静") == 400
    with pytest.raises(PageError, match="binary"):
        decode_page(b"\x00\x01\x02\xff" * 50)


def test_a_page_of_elements_within_elements_takes_no_time() -> None:
    begin = time.perf_counter()
    assert read_page(("<div>" * 200_000 + "x" + "</div>" * 200_000).encode()).text == "x"
    assert time.perf_counter() - begin < 5


def test_a_page_that_is_too_long_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_bytes(b"<p>" + b"x" * (1 << 24))
    ledger = Ledger()
    assert samples(tmp_path / "a.html", ledger) == []
    assert "a page of more than" in ledger.problems[0]["reason"]


def record(
    uri: str,
    body: bytes,
    content_type: str = "text/html; charset=utf-8",
    *,
    status: str = "200 OK",
    warc_type: str = "response",
    headers: str = "",
) -> bytes:
    if warc_type == "response":
        body = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\n{headers}\r\n".encode() + body
        content_type = "application/http; msgtype=response"
    head = (
        f"WARC/1.0\r\nWARC-Type: {warc_type}\r\nWARC-Target-URI: {uri}\r\nWARC-Date: 2024-05-06T07:08:09Z\r\n"
        f"WARC-Record-ID: <urn:uuid:{len(uri):032d}>\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body + b"\r\n\r\n"


def owl(number: int) -> bytes:
    return record(f"http://birds.example/{number}", page(f"Owl {number}").encode())


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as out:
        out.write(data)
    return sink.getvalue().to_pybytes()


PACKERS: dict[str, Callable[[bytes], bytes]] = {".warc": bytes, ".warc.gz": gzip.compress, ".warc.zst": zstd}


@pytest.mark.parametrize("suffix", PACKERS)
def test_each_page_of_a_crawl_is_a_document(tmp_path: Path, suffix: str) -> None:
    records = [
        record("http://birds.example/info", b"software: x", "application/warc-fields", warc_type="warcinfo"),
        owl(1),
        record("http://birds.example/gone", b"<p>Not here.</p>", status="404 Not Found"),
        record("http://birds.example/a.png", b"\x89PNG", "image/png"),
        record("http://birds.example/b.txt", "平文。".encode(), "text/plain"),
        record("http://birds.example/c", gzip.compress(page("Packed").encode()), headers="Content-Encoding: gzip\r\n"),
        record("http://birds.example/wet", b"Plain text of a page.", "text/plain", warc_type="conversion"),
        owl(2),
    ]
    (tmp_path / f"a{suffix}").write_bytes(b"".join(map(PACKERS[suffix], records)))
    ledger = Ledger(strict=True)
    found = samples(tmp_path / f"a{suffix}", ledger)
    assert [sample.source for sample in found] == [
        f"http://birds.example/{name}" for name in ("1", "b.txt", "c", "wet", "2")
    ]
    assert found[0].meta == {"url": "http://birds.example/1", "title": "Owl 1", "date": "2024-05-06T07:08:09Z"}
    assert found[0].text.startswith("Owl 1\n\nThe owl")
    assert [sample.text for sample in found[1:4:2]] == ["平文。", "Plain text of a page."]
    assert found[2].text.startswith("Packed")
    assert ledger.counts["pages that the server did not give"] == 1
    assert ledger.counts["records of other kinds"] == 1
    reference = [r.headers.get("WARC-Target-URI") for r in ArchiveIterator(io.BytesIO(b"".join(records)))]
    assert len(reference) == len(records)


def test_a_crawl_in_another_compression_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "a.warc.bz2").write_bytes(bz2.compress(owl(1) + owl(2)))
    assert len(samples(tmp_path / "a.warc.bz2")) == 2


@pytest.mark.parametrize("suffix", [".warc", ".warc.gz"])
def test_a_damaged_record_is_listed_and_the_others_are_read(tmp_path: Path, suffix: str) -> None:
    packed = [PACKERS[suffix](owl(number)) for number in range(5)]
    broken = bytearray(packed[1])
    broken[4 if suffix == ".warc" else 40] ^= 0xFF
    (tmp_path / f"a{suffix}").write_bytes(packed[0] + bytes(broken) + b"".join(packed[2:]))
    ledger = Ledger()
    assert [sample.source[-1] for sample in samples(tmp_path / f"a{suffix}", ledger)] == ["0", "2", "3", "4"]
    assert ledger.counts["problems"] == 1
    assert "a damaged record" in ledger.problems[0]["reason"]


@pytest.mark.parametrize("suffix", [".warc", ".warc.gz"])
def test_a_crawl_that_ends_within_a_record_gives_those_before(tmp_path: Path, suffix: str) -> None:
    data = b"".join(PACKERS[suffix](owl(number)) for number in range(3))
    (tmp_path / f"a{suffix}").write_bytes(data[:-60])
    ledger = Ledger()
    assert [sample.source[-1] for sample in samples(tmp_path / f"a{suffix}", ledger)] == ["0", "1"]
    assert ledger.counts["problems"] == 1


@pytest.mark.parametrize("suffix", [".warc", ".warc.gz"])
@pytest.mark.parametrize("kind", [b"text/html", b"image/png"])
def test_a_record_that_claims_to_be_endless_costs_itself_alone(tmp_path: Path, suffix: str, kind: bytes) -> None:
    records = [owl(number) for number in range(5)]
    claimed = re.sub(rb"Content-Length: \d+", b"Content-Length: 100000000000", records[2])
    records[2] = claimed.replace(b"text/html", kind)
    assert records[2] != owl(2)
    (tmp_path / f"a{suffix}").write_bytes(b"".join(PACKERS[suffix](record) for record in records))
    ledger = Ledger()
    assert [sample.source[-1] for sample in samples(tmp_path / f"a{suffix}", ledger)] == ["0", "1", "3", "4"]
    assert [problem["reason"] for problem in ledger.problems] == ["a damaged record: it is not as long as it says"]


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("wrong", [-300, -3, 30, 300, 1334, 100_000, 10**17])
@pytest.mark.parametrize("kind", ["response", "request"])
def test_a_record_whose_length_is_false_costs_itself_alone(tmp_path: Path, kind: str, wrong: int, suffix: str) -> None:
    records = [owl(number) for number in range(6)]
    if kind == "request":
        asked = b"GET / HTTP/1.1\r\nHost: birds.example\r\nAccept: " + b"text/html, " * 40
        asked = record("http://birds.example/2", asked, "application/http; msgtype=request", warc_type="request")
        records.insert(2, asked)
    claim = re.compile(rb"(?<=\r\nContent-Length: )\d+")
    records[2] = claim.sub(lambda match: str(int(match[0]) + wrong).encode(), records[2], count=1)
    (tmp_path / f"a{suffix}").write_bytes(b"".join(map(PACKERS[suffix], records)))
    ledger = Ledger()
    read = [sample.source[-1] for sample in samples(tmp_path / f"a{suffix}", ledger)]
    assert read == (list("012345") if kind == "request" else list("01345"))
    assert ledger.counts["problems"] == 1
    assert "a damaged record" in ledger.problems[0]["reason"]
    assert f"after byte {sum(len(PACKERS[suffix](one)) for one in records[:2])}" in ledger.problems[0]["where"]


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_page_that_tells_of_crawls_is_a_page(tmp_path: Path, suffix: str) -> None:
    quoted = b"\r\n\r\n" + record("http://quoted.example", b"text").replace(b"<", b"&lt;")
    told = record("http://birds.example/1", page().encode().replace(b"</article>", quoted + b"</article>"))
    (tmp_path / f"a{suffix}").write_bytes(b"".join(map(PACKERS[suffix], [owl(0), told, owl(2)])))
    found = samples(tmp_path / f"a{suffix}")
    assert [sample.source[-1] for sample in found] == ["0", "1", "2"]
    assert "quoted.example" in found[1].text


def test_what_is_no_crawl_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "a.warc").write_bytes(b"just text")
    with pytest.raises(DataError, match="not a readable WARC file"):
        samples(tmp_path / "a.warc")


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_crawl_whose_lines_end_with_lf_alone_is_one_problem_that_says_so(tmp_path: Path, suffix: str) -> None:
    records = [owl(number).replace(b"\r\n", b"\n") for number in range(3)]
    (tmp_path / f"a{suffix}").write_bytes(b"".join(map(PACKERS[suffix], records)))
    ledger = Ledger()
    assert samples(tmp_path / f"a{suffix}", ledger) == []
    assert [problem["reason"] for problem in ledger.problems] == [
        "not a readable WARC file: its lines end with LF alone, and those of WARC with CR LF"
    ]


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_page_in_an_encoding_that_is_none_costs_itself_alone(tmp_path: Path, suffix: str, place: int) -> None:
    records = [owl(number) for number in range(3)]
    records[place] = record("http://birds.example/x", page().encode(), headers="Content-Encoding: utf-8\r\n")
    (tmp_path / f"a{suffix}").write_bytes(b"".join(map(PACKERS[suffix], records)))
    ledger = Ledger()
    read = [sample.source[-1] for sample in samples(tmp_path / f"a{suffix}", ledger)]
    assert read == [str(number) for number in range(3) if number != place]
    (problem,) = ledger.problems
    assert "a damaged record: " in problem["reason"]
