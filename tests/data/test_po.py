"""Catalogues as gettext's own tools write them, by an independent writer (Babel), and damaged ones."""

from __future__ import annotations

import io
import random
import struct
from contextlib import suppress

import pytest
from babel.messages import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import write_po

from sensorium.data.parallel.po import Catalogue, CatalogueError, read_mo, read_po, without_accelerators

HEADER = 'msgid ""\nmsgstr ""\n"Language: zh_CN\\n"\n"Content-Type: text/plain; charset=UTF-8\\n"\n\n'
SIMPLE = 'msgid "Open"\nmsgstr "打开"\n'


def pairs(catalogue: Catalogue) -> list[tuple[str, str]]:
    return [(entry.source, entry.target) for entry in catalogue.entries]


def made(locale: str = "zh_CN") -> Catalog:
    catalogue = Catalog(locale=locale)
    catalogue.add("Open the file", "打开文件")
    catalogue.add('Say "%s"\twith a \\ and\na second line ' + "word " * 40, "说“%s”\t和 \\ 以及\n第二行")
    catalogue.add("Post", "帖子", context="noun")
    catalogue.add("Post", "发布", context="verb")
    catalogue.add("Not sure", "不确定", flags=["fuzzy"])
    catalogue.add("Later", "")
    catalogue.add("_Save", "保存(_S)")
    # French has two forms in some versions of CLDR, and a third one for millions in others.
    forms = {
        "zh_CN": ("%d 个文件",),
        "fr": ("%d fichier", "%d fichiers", "%d fichiers"),
        "ru": ("%d файл", "%d файла", "%d файлов"),
    }
    catalogue.add(("%d file", "%d files"), forms[locale][: catalogue.num_plurals])
    catalogue.add("translator-credits", "Somebody <a@b.c>")
    return catalogue


PLURALS = {
    "zh_CN": [("%d files", "%d 个文件")],
    "fr": [("%d file", "%d fichier"), ("%d files", "%d fichiers")],
    "ru": [("%d file", "%d файл"), ("%d files", "%d файлов")],
}


@pytest.mark.parametrize("locale", PLURALS)
def test_what_another_writer_wrote_is_read_in_both_forms(locale: str) -> None:
    po, mo = io.BytesIO(), io.BytesIO()
    write_po(po, made(locale))
    write_mo(mo, made(locale))
    expected = {
        ("Open the file", "打开文件"), ("Post", "帖子"), ("Post", "发布"), ("Save", "保存"), *PLURALS[locale],
        ('Say "%s"\twith a \\ and\na second line ' + "word " * 40, "说“%s”\t和 \\ 以及\n第二行"),
    }  # fmt: skip
    text = read_po(po.getvalue())
    assert set(pairs(text)) == expected
    assert text.left_out == {"fuzzy": 1, "not translated": 1, "names of translators": 1}
    compiled = read_mo(mo.getvalue())
    assert set(pairs(compiled)) == expected
    assert text.language == compiled.language == locale


def test_a_catalogue_of_the_other_byte_order_is_read() -> None:
    texts = [
        (b"", b"Language: fr\nContent-Type: text/plain; charset=ISO-8859-1\n"),
        (b"Summer", "Été".encode("latin-1")),
    ]
    offset, tables, blob = 28 + 32, [], b""
    for side in (0, 1):
        for pair in texts:
            tables.append(struct.pack(">2I", len(pair[side]), offset + len(blob)))
            blob += pair[side] + b"\0"
    data = struct.pack(">7I", 0x950412DE, 0, 2, 28, 44, 0, 60) + b"".join(tables) + blob
    catalogue = read_mo(data)
    assert (catalogue.language, pairs(catalogue)) == ("fr", [("Summer", "Été")])


def test_comments_obsolete_and_earlier_messages_are_no_entries() -> None:
    text = HEADER + (
        "# a comment\n#. extracted\n#: file.c:3\n#, c-format\n#| msgid \"Opne\"\n" + SIMPLE
        + '#~ msgid "Gone"\n#~ msgstr "没了"\n\n#, fuzzy, c-format\nmsgid "Maybe"\nmsgstr "也许"\n'
        + 'msgid "Close"\nmsgstr "关"\n"闭"\n'
    )  # fmt: skip
    catalogue = read_po(text.encode())
    assert pairs(catalogue) == [("Open", "打开"), ("Close", "关闭")]
    assert catalogue.entries[1].place == text[: text.index('msgid "Close"')].count("\n") + 1


def test_a_flag_above_an_obsolete_entry_is_not_that_of_the_next() -> None:
    text = HEADER + '#, fuzzy\n#~| msgid "Go"\n#~ msgid "Gone"\n#~ msgstr "没了"\n\n' + SIMPLE
    catalogue = read_po(text.encode())
    assert (pairs(catalogue), catalogue.left_out) == ([("Open", "打开")], {})
    # To gettext an empty line is nothing: the flag is that of the next message.
    assert read_po(text.replace("#~", "#.").encode()).left_out == {"fuzzy": 1}


@pytest.mark.parametrize("charset", ["hex", "rot13", "base64", "zlib", "nonsense"])
def test_what_is_no_charset_is_taken_for_utf_8(charset: str) -> None:
    assert pairs(read_po((HEADER.replace("UTF-8", charset) + SIMPLE).encode())) == [("Open", "打开")]
    parts = [f"Content-Type: text/plain; charset={charset}\n".encode(), "Été".encode()]
    keys, offset, tables, blob = [b"", b"Summer"], 28 + 32, b"", b""
    for text in (*keys, *parts):
        tables += struct.pack("<2I", len(text), offset + len(blob))
        blob += text + b"\0"
    data = struct.pack("<7I", 0x950412DE, 0, 2, 28, 44, 0, 60) + tables + blob
    assert pairs(read_mo(data)) == [("Summer", "Été")]


def test_the_charset_of_the_header_is_used_and_a_template_has_none() -> None:
    german = HEADER.replace("UTF-8", "ISO-8859-1").replace("zh_CN", "de") + 'msgid "beautiful"\nmsgstr "schön"\n'
    assert pairs(read_po(german.encode("latin-1"))) == [("beautiful", "schön")]
    template = HEADER.replace("UTF-8", "CHARSET").replace("zh_CN", "") + 'msgid "Open"\nmsgstr ""\n'
    catalogue = read_po(template.encode())
    assert (catalogue.language, catalogue.left_out) == (None, {"not translated": 1})
    assert pairs(read_po(("\ufeff" + HEADER + SIMPLE).encode())) == [("Open", "打开")]
    assert pairs(read_po((HEADER + SIMPLE).replace("\n", "\r\n").encode())) == [("Open", "打开")]


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ('msgid "a"\nmsgstr "b\n', 2, "neither a keyword nor a quoted string"),
        ('msgid "a"\nnonsense\n', 2, "neither a keyword"),
        ('msgstr "b"\n', 1, "a translation without its msgid"),
        ('msgid "a"\nmsgid "b"\nmsgstr "c"\n', 2, "a second msgid"),
        ('msgid "a"\n', 2, "the file ends within an entry"),
        ('"lost"\n', 1, "neither a keyword"),
        ("<html>", 1, "neither a keyword"),
    ],
)
def test_a_broken_po_file_says_where(text: str, line: int, reason: str) -> None:
    with pytest.raises(CatalogueError, match=reason) as raised:
        read_po(text.encode())
    assert raised.value.line == line


def test_bytes_that_are_no_catalogue_are_refused() -> None:
    with pytest.raises(CatalogueError, match="not valid UTF-8"):
        read_po((HEADER + SIMPLE).encode("gb18030"))
    with pytest.raises(CatalogueError, match="a binary file"):
        read_po(b"\xde\x12\x04\x95\0\0\0\0")
    for data in (b"", b"hello", (HEADER + SIMPLE).encode()):
        with pytest.raises(CatalogueError, match="not a compiled catalogue"):
            read_mo(data)


def test_a_mo_file_that_is_cut_or_changed_never_ends_in_a_defect_of_ours() -> None:
    sink = io.BytesIO()
    write_mo(sink, made())
    whole, draw = sink.getvalue(), random.Random(0)
    for size in range(len(whole) - 1):
        with pytest.raises(CatalogueError):
            read_mo(whole[:size])
    for _ in range(500):
        data = bytearray(whole)
        data[draw.randrange(len(data))] = draw.randrange(256)
        with suppress(CatalogueError):
            read_mo(bytes(data))


@pytest.mark.parametrize(
    ("pair", "expected"),
    [
        (("_File", "文件(_F)"), ("File", "文件")),
        (("S_ubject", "S_ujet"), ("Subject", "Sujet")),
        (("&Open", "&Öffnen"), ("Open", "Öffnen")),
        (("Save _As...", "另存为(_A)..."), ("Save As...", "另存为...")),
        (("Save file_name", "保存 file_name"), ("Save file_name", "保存 file_name")),
        (("Cut & Paste", "Couper et coller"), ("Cut & Paste", "Couper et coller")),
        (("_One _Two", "_Un"), ("_One _Two", "_Un")),
        (("Show &amp; tell", "展示"), ("Show &amp; tell", "展示")),
    ],
)
def test_accelerators_are_taken_off_where_both_sides_have_one(pair: tuple[str, str], expected: tuple[str, str]) -> None:
    assert without_accelerators(*pair) == expected
