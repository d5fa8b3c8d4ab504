"""Translation memories (TMX 1.1 to 1.4), read as a stream and without trust.

Nothing outside the file is read: a DTD that it names is not loaded, an entity that it declares or leaves undefined is
an error, so that no file can grow to gigabytes or name another. The text of a segment is all the text in it, that of
inline codes (`<bpt>`, `<ph>`) too, which is the native markup that they stand for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

MAX_SEGMENT = 1 << 20
"""Characters of the longest segment: beyond it a file is damaged, or means harm."""


class TmxError(ValueError):
    """A file is no translation memory, or a damaged one; `line` where that is known."""

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(problem)
        self.line = line


@dataclass
class Unit:
    """A translation unit."""

    line: int
    texts: dict[str, str] = field(default_factory=dict)
    """By language, as the file spells it; the first segment of each."""


def read_tmx(blocks: Iterable[bytes]) -> Iterator[Unit]:
    """The units of a file.

    Args:
        blocks: its bytes, in pieces of any size.

    Raises:
        TmxError: it is no TMX, not well-formed XML, or declares entities.
    """
    reader = _Reader()
    for block in blocks:
        reader.feed(block, final=False)
        yield from reader.take()
    reader.feed(b"", final=True)
    yield from reader.take()


class _Reader:
    def __init__(self) -> None:
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        self._parser.EntityDeclHandler = self._entity_declared
        self._parser.SkippedEntityHandler = self._entity_skipped
        self._units: list[Unit] = []
        self._unit: Unit | None = None
        self._language = self._source = ""
        self._segment: list[str] | None = None
        self._size = 0
        self._rooted = False

    def feed(self, block: bytes, *, final: bool) -> None:
        try:
            self._parser.Parse(block, final)
        except TmxError:
            raise
        except expat.ExpatError as error:
            raise TmxError(f"not well-formed XML: {expat.ErrorString(error.code)}", error.lineno) from error
        except (LookupError, ValueError) as error:  # an encoding that expat is told of and cannot use
            raise TmxError(f"{error}; convert it to UTF-8", self._line) from error

    def take(self) -> list[Unit]:
        """The units that have ended since the last call."""
        units, self._units = self._units, []
        return units

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._rooted:
            self._rooted = True
            if name.lower() != "tmx":
                raise TmxError(f"the first element is <{name[:40]}>, not <tmx>", self._line)
        if name == "header":
            self._source = attributes.get("srclang", "")
        elif name == "tu":
            self._unit = Unit(self._line)
            source = attributes.get("srclang", self._source)
            if source and source.lower() != "*all*":
                self._unit.texts[source] = ""
        elif name == "tuv":
            self._language = attributes.get("xml:lang") or attributes.get("lang") or ""
        elif name == "seg" and self._unit is not None:
            if not self._language:
                raise TmxError("a <tuv> without xml:lang", self._line)
            self._segment, self._size = [], 0

    def _characters(self, text: str) -> None:
        if self._segment is not None:
            self._segment.append(text)
            self._size += len(text)
            if self._size > MAX_SEGMENT:
                raise TmxError(f"a segment of more than {MAX_SEGMENT} characters", self._line)

    def _end(self, name: str) -> None:
        if name == "seg" and self._segment is not None and self._unit is not None:
            texts = self._unit.texts
            known = next((code for code in texts if code.lower() == self._language.lower()), self._language)
            texts[known] = texts.get(known) or "".join(self._segment)
            self._segment = None
        elif name == "tu" and self._unit is not None:
            self._unit.texts = {code: text for code, text in self._unit.texts.items() if text}
            self._units.append(self._unit)
            self._unit = None

    def _entity_declared(self, name: str, *_: Any) -> None:
        raise TmxError(f"it declares the entity {name[:40]!r}, which is refused", self._line)

    def _entity_skipped(self, name: str, is_parameter: int) -> None:
        raise TmxError(f"it uses the entity {name[:40]!r}, which it does not define", self._line)

    @property
    def _line(self) -> int:
        return self._parser.CurrentLineNumber
