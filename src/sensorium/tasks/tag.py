"""Tags of the words of a text, such as names and parts of speech.

A word's tag is read at its first token, as it was in training. A text longer than the model's context is read in
pieces that end between words.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from sensorium.data.labelled.words import Word, pieces, words_of
from sensorium.data.tokens.frame import Frame
from sensorium.errors import CapabilityError
from sensorium.inference.engine import Engine, HeadEngine, by_length
from sensorium.objectives.metrics import entities, has_entities
from sensorium.objectives.supervised import cut_between_words
from sensorium.results import Entity, Tag, Tagging
from sensorium.tasks.texts import checked

_BUDGET = 4096
"""Tokens a batch."""
_LONGEST = 8192
"""Tokens of a piece where the model sets no limit."""

Ids = NDArray[np.int64]


def tag_all(engine: Engine, texts: str | Sequence[str]) -> list[Tagging]:
    """The tags of every text's words; a text without words has none.

    Args:
        engine: can `tag`.
        texts: what to tag.

    Raises:
        InputError: one is no text.
    """
    if not isinstance(engine, HeadEngine):
        raise CapabilityError("the model has no tags", where=engine.source)
    given = checked(texts)
    split = [words_of(text) for text in given]
    found: list[list[Tag]] = [[] for _ in given]
    items = list(_pieces(engine, given, split))
    results: dict[int, list[Tag]] = {}
    for batch in by_length([len(ids) for _, ids, _, _ in items], budget=_BUDGET):
        logits = engine.tag_logits([items[i][1].tolist() for i in batch])
        for i, rows in zip(batch, logits, strict=True):
            _, _, places, words = items[i]
            scores = rows.softmax(-1)
            results[i] = []
            for at, word in zip(places.tolist(), words, strict=True):
                score, label = scores[at].max(-1)
                results[i].append(Tag(word.text, engine.labels[int(label)], float(score), word.start, word.end))
    for i, (number, *_) in enumerate(items):
        found[number] += results[i]
    return [Tagging(text, tuple(tags), _entities(text, tags)) for text, tags in zip(given, found, strict=True)]


def _pieces(
    engine: Engine, texts: Sequence[str], split: Sequence[Sequence[Word]]
) -> Iterator[tuple[int, Ids, Ids, list[Word]]]:
    """Number of the text, ids, places of the words' first tokens, and the words, of every sequence to read."""
    frame = Frame.single(engine.tokenizer)
    room = (engine.context or _LONGEST) - frame.size
    given = [pieces(text, words) for text, words in zip(texts, split, strict=True)]
    numbers = [number for number, words in enumerate(given) if words]
    encodings = engine.tokenizer.encodings_raw([given[number] for number in numbers])
    for number, encoding in zip(numbers, encodings, strict=True):
        firsts = dict[int, int]()
        for at, word in enumerate(encoding.word_ids):
            if word is not None:
                firsts.setdefault(word, at)
        ids, places = np.array(encoding.ids, dtype=np.int64), np.array(list(firsts.values()), dtype=np.int64)
        words = [split[number][word] for word in firsts]
        for first, last in cut_between_words(places, len(ids), room):
            start = int(places[first])
            end = int(places[last]) if last < len(places) else len(ids)
            sequence, _ = frame.around(ids[start:end][:room])
            yield number, sequence, places[first:last] - start + frame.first, words[first:last]


def _entities(text: str, tags: Sequence[Tag]) -> tuple[Entity, ...]:
    labels = [tag.label for tag in tags]
    if not has_entities(labels):
        return ()
    found = []
    for kind, first, last in entities(labels):
        start, end = tags[first].start, tags[last - 1].end
        found.append(Entity(text[start:end], kind, min(tag.score for tag in tags[first:last]), start, end))
    return tuple(found)
