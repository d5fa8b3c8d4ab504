"""A text in parts that a translation model reads at once: whole if it can, and sentence by sentence if not.

A blank line always parts a text, for no model of sentences writes one.
"""

from __future__ import annotations

from dataclasses import dataclass

import regex

from sensorium.data.segment import sentences
from sensorium.errors import InputError
from sensorium.inference.engine import Ids, Seq2SeqEngine
from sensorium.tasks.wish import Wish

_BLANK = regex.compile(r"(\s*\n\s*\n\s*)")
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text that the model reads at once."""

    text: str
    start: int
    """Where it stands in the text."""
    gap: str
    """What stands before its translation."""
    ids: Ids


def pieces_of(engine: Seq2SeqEngine, text: str, wish: Wish, where: str | None) -> list[Piece]:
    """The parts of a text that are translated by themselves.

    Args:
        engine: translates.
        text: may be of any length.
        wish: how it is to be translated.
        where: how a message names it.

    Raises:
        InputError: a sentence is longer than the model reads.
    """
    found, start = list[Piece](), 0
    for number, part in enumerate(_BLANK.split(text)):
        if number % 2 == 0 and part.strip():
            ids = wish.direction.encode([part.strip()])[0]
            whole = engine.context is None or len(ids) <= engine.context
            inside = start
            for sentence in [part] if whole else sentences(part):
                if sentence.strip():
                    found.append(_piece(engine, text, inside, sentence, wish, where))
                inside += len(sentence)
        start += len(part)
    return found


def _piece(engine: Seq2SeqEngine, text: str, start: int, part: str, wish: Wish, where: str | None) -> Piece:
    core = part.strip()
    start += len(part) - len(part.lstrip())
    ids = wish.direction.encode([core])[0]
    if engine.context is not None and len(ids) > engine.context:
        beginning = core if len(core) <= _SHOWN else f"{core[:_SHOWN]}..."
        raise InputError(
            f"a sentence is {len(ids)} tokens long, the model reads {engine.context}: {beginning!r}",
            where=where,
            fix="Part it into shorter sentences",
        )
    before = text[:start]
    gap = before[len(before.rstrip()) :]
    return Piece(core, start, gap if "\n" in gap or not before.strip() else wish.joint, ids)
