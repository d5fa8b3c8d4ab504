"""Catalogues of gettext: `.po` as translators edit them, `.mo` as programs load them.

A catalogue is read whole or not at all: a file that breaks off is no translation of anything. Entries that are
fuzzy, obsolete or not translated are left out. Of plural forms, the singular goes with the first, the plural with the
last; a language of one form has only the latter. Accelerator marks (`_File`, `&File`, `文件(_F)`) are taken off both
sides: they cut words in two, and toolkits set them anew.
"""

from __future__ import annotations

import codecs
import re
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

_KEYWORD = re.compile(r'(msgctxt|msgid_plural|msgid|msgstr(?:\[(\d+)\])?)\s*("(?:[^"\\]|\\.)*")\s*$')
_STRING = re.compile(r'("(?:[^"\\]|\\.)*")\s*$')
_ESCAPE = re.compile(r"\\([0-7]{1,3}|x[0-9a-fA-F]{1,2}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_CHARSET = re.compile(rb"charset=([\w.:-]+)")
_HEADER = re.compile(r"^(Language|X-Source-Language):[ \t]*([\w@.-]+)[ \t]*$", re.MULTILINE)
_PLURAL_FORMS = re.compile(r"nplurals[ ]*=[ ]*(\d+)")
_MARK = re.compile(r"[_&](?=\w)")
_MARK_ASIDE = re.compile(r"\s*[(（][_&]\w[)）]")
_CREDITS = frozenset(
    [
        "translator-credits",
        "translator_credits",
        "NAME OF TRANSLATORS",
        "EMAIL OF TRANSLATORS",
        "Your names",
        "Your emails",
    ]
)
"""Messages that translators answer with their names."""
_MO_MAGIC = {b"\xde\x12\x04\x95": "<", b"\x95\x04\x12\xde": ">"}


class CatalogueError(ValueError):
    """A file is no catalogue, or a damaged one; `line` where that is known."""

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(problem)
        self.line = line


class Entry(NamedTuple):
    """One message and its translation."""

    source: str
    target: str
    place: int
    """The line of a .po file, the number of an entry of a .mo file."""


@dataclass
class Catalogue:
    """What a file holds."""

    language: str | None = None
    """What the header says of the translations' language."""
    source_language: str | None = None
    """What the header says of the messages' language, which gettext takes for English."""
    entries: list[Entry] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    """How many entries are fuzzy, not translated, or name the translators."""


@dataclass
class _Message:
    """An entry while it is read."""

    line: int = 0
    fuzzy: bool = False
    texts: dict[str, str] = field(default_factory=dict)
    """By keyword: msgctxt, msgid, msgid_plural, msgstr or msgstr[0], ..."""

    @property
    def complete(self) -> bool:
        return any(key.startswith("msgstr") for key in self.texts)


def read_po(data: bytes) -> Catalogue:
    """A .po file.

    Raises:
        CatalogueError: it is none; with the line where it breaks.
    """
    if b"\0" in data[:8192]:
        raise CatalogueError("a binary file, not text")
    charset = _CHARSET.search(data[:8192])
    text = _decode(data.removeprefix(codecs.BOM_UTF8), charset.group(1) if charset else b"utf-8")
    catalogue = Catalogue()
    forms = 0
    for message in _messages(text):
        texts = [value for key, value in sorted(message.texts.items(), key=_form) if key.startswith("msgstr")]
        identity = message.texts["msgid"]
        if not identity and "msgctxt" not in message.texts:
            forms = _header(catalogue, texts[0])
            continue
        _add(catalogue, identity, message.texts.get("msgid_plural"), texts, message.line, message.fuzzy, forms)
    return catalogue


def read_mo(data: bytes) -> Catalogue:
    """A .mo file.

    Raises:
        CatalogueError: it is none, or cut.
    """
    order = _MO_MAGIC.get(data[:4])
    if order is None:
        raise CatalogueError("not a compiled catalogue: its first bytes are others")
    try:
        revision, count, originals, translations = struct.unpack_from(f"{order}4I", data, 4)
        if revision >> 16 > 1:
            raise CatalogueError(f"a compiled catalogue of revision {revision >> 16}, which is not known")
        pairs = [
            (_mo_string(data, order, originals + 8 * i), _mo_string(data, order, translations + 8 * i))
            for i in range(count)
        ]
    except struct.error as error:
        raise CatalogueError("the file is cut: its tables point beyond its end") from error
    charset = b"utf-8"
    for identity, translated in pairs:
        if not identity and (named := _CHARSET.search(translated)):
            charset = named.group(1)
    catalogue = Catalogue()
    forms = 0
    for number, raw in enumerate(pairs, 1):
        key, value = (_decode(part, charset) for part in raw)
        if not key:
            forms = _header(catalogue, value)
            continue
        message, *plural = key.split("\x04", 1)[-1].split("\0", 1)
        texts = value.split("\0")
        _add(catalogue, message, plural[0] if plural else None, texts, number, False, forms)
    return catalogue


def without_accelerators(source: str, target: str) -> tuple[str, str]:
    """Both texts without the mark before a letter that each has once; `file_name` in both is left alone."""
    for mark in "_&":
        a, b = ([m for m in _MARK.finditer(text) if m.group() == mark] for text in (source, target))
        if len(a) != 1 or len(b) != 1:
            continue
        words = [re.findall(rf"\w+{mark}\w+", text) for text in (source, target)]
        if words[0] and words[0] == words[1]:
            continue
        aside = _MARK_ASIDE.sub("", target)
        source = _without(source, a[0])
        target = aside if aside != target else _without(target, b[0])
    return source, target


def _without(text: str, match: re.Match[str]) -> str:
    return text[: match.start()] + text[match.end() :]


def _add(
    catalogue: Catalogue, identity: str, plural: str | None, texts: list[str], place: int, fuzzy: bool, forms: int
) -> None:
    """Append what an entry says; count it where it says nothing."""
    if identity in _CREDITS:
        catalogue.left_out["names of translators"] += 1
        return
    if fuzzy or not all(texts):
        catalogue.left_out["fuzzy" if fuzzy else "not translated"] += 1
        return
    pairs = [(identity, texts[0])]
    if plural is not None:
        pairs = [(plural, texts[-1])] if len(texts) == 1 or forms == 1 else [*pairs, (plural, texts[-1])]
    for source, target in pairs:
        catalogue.entries.append(Entry(*without_accelerators(source, target), place))


def _header(catalogue: Catalogue, header: str) -> int:
    """Take the languages from the header; give the number of plural forms, 0 if it is not said."""
    said = dict(_HEADER.findall(header))
    catalogue.language = said.get("Language")
    catalogue.source_language = said.get("X-Source-Language")
    forms = _PLURAL_FORMS.search(header)
    return int(forms.group(1)) if forms else 0


def _messages(text: str) -> Iterator[_Message]:
    """The entries of a .po file, obsolete ones left out."""
    message, key = _Message(), ""
    number = 0
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if not line or line[0] == "#":
            if message.complete:
                yield message
                message = _Message()
            if line.startswith("#,") and "fuzzy" in line:
                message.fuzzy = True
            elif line.startswith("#~"):  # an obsolete entry takes the flags above it
                message.fuzzy = False
            key = ""
            continue
        if (found := _KEYWORD.match(line)) is not None:
            if found.group(1) in ("msgctxt", "msgid") and message.complete:
                yield message
                message = _Message()
            key = found.group(1)
            if key in message.texts:
                raise CatalogueError(f"a second {key} in one entry", number)
            message.line = message.line or number
            message.texts[key] = _unquote(found.group(3))
        elif key and (found := _STRING.match(line)) is not None:
            message.texts[key] += _unquote(found.group(1))
        else:
            raise CatalogueError(f"neither a keyword nor a quoted string: {line[:40]}", number)
        if key.startswith("msgstr") and "msgid" not in message.texts:
            raise CatalogueError("a translation without its msgid", number)
    if message.complete:
        yield message
    elif message.texts:
        raise CatalogueError("the file ends within an entry", number)


def _form(item: tuple[str, str]) -> int:
    """The number of a plural form, for its place."""
    digits = re.findall(r"\d+", item[0])
    return int(digits[0]) if digits else 0


def _unquote(quoted: str) -> str:
    return _ESCAPE.sub(_unescape, quoted[1:-1])


def _unescape(match: re.Match[str]) -> str:
    code = match.group(1)
    if code[0] == "x" and len(code) > 1:
        return chr(int(code[1:], 16))
    return chr(int(code, 8)) if code[0] in "01234567" else _ESCAPES.get(code, code)


def _decode(data: bytes, charset: bytes) -> str:
    name = charset.decode("ascii")
    try:
        return data.decode(name)
    except LookupError:  # CHARSET, as templates have it, or hex, which Python knows but not as one
        return _decode(data, b"utf-8")
    except ValueError as error:
        raise CatalogueError(f"not valid {name.upper()}: {error}") from error


def _mo_string(data: bytes, order: str, place: int) -> bytes:
    length, offset = struct.unpack_from(f"{order}2I", data, place)
    if offset + length > len(data):
        raise CatalogueError("the file is cut: its tables point beyond its end")
    return data[offset : offset + length]
