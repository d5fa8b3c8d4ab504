"""Translate texts: in pieces that the model can read (`pieces`), each held to what it must hold (`held`), and put
together again with the white space that stood between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from sensorium.errors import InputError
from sensorium.inference.engine import Seq2SeqEngine
from sensorium.results import Link, Translation
from sensorium.tasks.align import Span, align, words
from sensorium.tasks.groups import groups
from sensorium.tasks.held import Made, translated
from sensorium.tasks.pieces import Piece, pieces_of
from sensorium.tasks.texts import checked
from sensorium.tasks.wish import Wish


def translate_all(
    engine: Seq2SeqEngine, texts: Sequence[str], wish: Wish, place: Callable[[int], str | None]
) -> list[Translation]:
    """The translation of every text, in order; a text of nothing but white space is its own.

    Args:
        engine: translates.
        texts: what to translate.
        wish: how.
        place: how a message names a text, by its number from 0.

    Raises:
        InputError: a sentence is longer than the model reads, or a glossary's term cannot be produced in a text.
        EngineError: the model gives logits that are not numbers.
    """
    parts = [pieces_of(engine, text, wish, place(number)) for number, text in enumerate(texts)]
    owners = [number for number, pieces in enumerate(parts) for _ in pieces]
    pieces = [piece for text in parts for piece in text]
    made = translated(engine, pieces, wish, lambda i: place(owners[i]))
    results, at = [], 0
    for text, own in zip(texts, parts, strict=True):
        results.append(_joined(engine, text, own, made[at : at + len(own)], wish))
        at += len(own)
    return results


def stream_translations(engine: Seq2SeqEngine, texts: Iterable[str], wish: Wish, at_once: int) -> Iterator[Translation]:
    """The translation of every text, in order, as many at a time as have come meanwhile, at most `at_once`.

    Raises:
        InputError: see `translate_all`.
    """
    done = 0
    for group in groups(texts, at_once):
        yield from translate_all(engine, _checked(group, done), wish, partial(_numbered, done))
        done += len(group)


def _checked(group: Sequence[object], before: int) -> list[str]:
    """The texts of a group, a wrong one named by its place in the stream."""
    texts = list[str]()
    for number, text in enumerate(group):
        try:
            texts += checked([text])
        except InputError as error:
            raise InputError(error.problem, where=_numbered(before, number), fix=error.fix) from error
    return texts


def _numbered(before: int, number: int) -> str:
    return f"text {before + number + 1}"


def _joined(
    engine: Seq2SeqEngine, text: str, pieces: Sequence[Piece], made: Sequence[list[Made]], wish: Wish
) -> Translation:
    """A text's translations, of the translations of its pieces."""
    if not pieces:
        return Translation(text, 0.0, (), () if wish.aligned else None)
    count = min(len(found) for found in made)
    tail = text[len(text.rstrip()) :]
    ranked = [_together(engine, pieces, [found[n] for found in made], tail, wish) for n in range(count)]
    return replace(ranked[0], alternatives=tuple(ranked[1:]))


def _together(
    engine: Seq2SeqEngine, pieces: Sequence[Piece], made: Sequence[Made], tail: str, wish: Wish
) -> Translation:
    text, links = "", list[Link]()
    for piece, one in zip(pieces, made, strict=True):
        text += piece.gap
        if wish.aligned:
            links += _links(engine, wish, piece.text, one, (piece.start, len(text)))
        text += one.text
    logprobs = [logprob for one in made for logprob in one.logprobs]
    score = made[0].score if len(made) == 1 else wish.score(logprobs)
    tokens = tuple(token for one in made for token in _tokens(engine, one))
    return Translation(text + tail, score, tokens, tuple(links) if wish.aligned else None)


def _links(engine: Seq2SeqEngine, wish: Wish, source: str, made: Made, at: Span) -> Iterator[Link]:
    """Between a source and what stands for it, part by part where it was put together; what was copied stands for
    itself."""
    if made.parts:
        for text, part in made.parts:
            yield from _links(engine, wish, text, part, at)
            at = (at[0] + len(text), at[1] + len(part.text))
    elif made.ids:
        yield from align(engine, wish.direction, source, made.text, made.ids, at=at)
    else:
        for a, b in words(made.text):
            yield Link((a + at[0], b + at[0]), (a + at[1], b + at[1]), 1.0)


def _tokens(engine: Seq2SeqEngine, made: Made) -> list[str]:
    """As they stand in the vocabulary; what was copied is one token."""
    if made.parts:
        return [token for _, part in made.parts for token in _tokens(engine, part)]
    if made.ids:
        return [engine.tokenizer.target.token(id) for id in made.ids]
    return [made.text] if made.text.strip() else []
