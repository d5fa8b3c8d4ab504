"""Translation memories of every version, and those that mean harm."""

from __future__ import annotations

import pytest

from sensorium.data.parallel.tmx import TmxError, read_tmx

UNIT = '<tu><tuv xml:lang="en-US"><seg>{en}</seg></tuv><tuv xml:lang="zh-CN"><seg>{zh}</seg></tuv></tu>\n'
OPEN = '<?xml version="1.0" encoding="{encoding}"?>\n{doctype}<tmx version="1.4"><header srclang="en-US"/><body>\n'
CLOSE = "</body></tmx>"


def tmx(*pairs: tuple[str, str], encoding: str = "UTF-8", doctype: str = "") -> bytes:
    units = "".join(UNIT.format(en=en, zh=zh) for en, zh in pairs)
    return (OPEN.format(encoding=encoding, doctype=doctype) + units + CLOSE).encode(encoding)


def blocks(data: bytes) -> list[bytes]:
    return [data[i : i + 1000] for i in range(0, len(data), 1000)]


def read(data: bytes) -> list[dict[str, str]]:
    return [unit.texts for unit in read_tmx(blocks(data))]


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16"])
@pytest.mark.parametrize("doctype", ["", '<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n'])
def test_units_are_read(encoding: str, doctype: str) -> None:
    pairs = [(f"File {i} &amp; more &lt;b&gt;", f"文件 {i} &#38; 更多") for i in range(3000)]
    units = read(tmx(*pairs, encoding=encoding, doctype=doctype))
    assert len(units) == 3000
    assert units[7] == {"en-US": "File 7 & more <b>", "zh-CN": "文件 7 & 更多"}


def test_a_unit_says_its_line() -> None:
    assert [unit.line for unit in read_tmx([tmx(("a", "甲"), ("b", "乙"))])] == [3, 4]


def test_inline_codes_are_the_markup_that_they_stand_for() -> None:
    code = '<bpt i="1">&lt;b&gt;</bpt>Bold<ept i="1">&lt;/b&gt;</ept> <hi>word</hi> <ph x="1"/>'
    assert read(tmx((code, "粗")))[0]["en-US"] == "<b>Bold</b> word "


def test_the_source_language_comes_first_and_older_files_write_lang() -> None:
    data = tmx(("a", "甲")).replace(b'srclang="en-US"', b'srclang="zh-CN"')
    assert list(read(data)[0]) == ["zh-CN", "en-US"]
    assert read(tmx(("a", "甲")).replace(b"xml:lang", b"lang"))[0] == {"en-US": "a", "zh-CN": "甲"}
    assert list(read(tmx(("a", "甲")).replace(b'srclang="en-US"', b'srclang="*all*"'))[0]) == ["en-US", "zh-CN"]
    assert list(read(tmx(("a", "甲")).replace(b'srclang="en-US"', b'srclang="EN-us"'))[0]) == ["EN-us", "zh-CN"]


def test_a_segment_without_text_is_absent_and_a_second_one_is_left_out() -> None:
    assert read(tmx(("", "甲"))) == [{"zh-CN": "甲"}]
    twice = tmx(("a", "甲")).replace(b"</tu>", b'<tuv xml:lang="zh-CN"><seg>second</seg></tuv></tu>')
    assert read(twice)[0]["zh-CN"] == "甲"


BOMB = "<!DOCTYPE tmx [\n<!ENTITY a 'lol'>\n" + "".join(
    f"<!ENTITY {chr(98 + i)} '{f'&{chr(97 + i)};' * 10}'>\n" for i in range(9)
)
OUTSIDE = '<!DOCTYPE tmx [\n<!ENTITY x SYSTEM "file:///etc/hostname">\n]>\n'
PARAMETER = '<!DOCTYPE tmx [\n<!ENTITY % x SYSTEM "file:///etc/hostname">\n%x;\n]>\n'


@pytest.mark.parametrize(
    ("data", "line", "reason"),
    [
        (tmx(("&j;", "x"), doctype=BOMB + "]>\n"), 3, "declares the entity 'a', which is refused"),
        (tmx(("&x;", "x"), doctype=OUTSIDE), 3, "declares the entity 'x'"),
        (tmx(("a", "x"), doctype=PARAMETER), 3, "declares the entity 'x'"),
        (tmx(("&nbsp;", "x")), 3, "undefined entity"),
        (tmx(("&nbsp;", "x"), doctype='<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n'), 4, "uses the entity 'nbsp'"),
        (tmx(("a", "x"))[:-20], 3, "unclosed token|no element found"),
        (tmx(("a", "x")).replace(b"</seg>", b"</sge>", 1), 3, "mismatched tag"),
        (b"<html></html>", 1, "the first element is <html>, not <tmx>"),
        (b"", 1, "no element found"),
        (b"PK\3\4\0\0", 1, "not well-formed"),
        (tmx(("a", "x")).replace(b' xml:lang="en-US"', b""), 3, "a <tuv> without xml:lang"),
        (tmx(("a" * (1 << 21), "x")), 3, "a segment of more than 1048576 characters"),
        (tmx(("a", "x")).replace(b"UTF-8", b"no-such"), 1, "unknown encoding"),
        (tmx(("a", "文"), encoding="GB18030"), 1, "multi-byte encodings are not supported; convert it to UTF-8"),
    ],
)
def test_a_file_that_is_broken_or_means_harm_is_refused(data: bytes, line: int, reason: str) -> None:
    with pytest.raises(TmxError, match=reason) as raised:
        read(data)
    assert raised.value.line == line


def test_what_stands_before_the_break_is_read() -> None:
    data = tmx(*[(f"{i}" * 50, "x") for i in range(2000)])[:-200]
    units = read_tmx(blocks(data))
    assert [next(units).texts["en-US"] for _ in range(1900)] == [f"{i}" * 50 for i in range(1900)]
    with pytest.raises(TmxError):
        list(units)
