"""The bundled translator on a product's strings: both directions, what must stand in a translation, where it looks.

The tour trains no translator, for minutes are too few. Where the bundled one is not there, the chapter says so.
"""

from __future__ import annotations

from collections.abc import Sequence

from sensorium.errors import CheckpointError, InputError
from sensorium.inference.engine import Seq2SeqEngine
from sensorium.reports.blocks import Block, Columns, HeatMap, Table, Text
from sensorium.results import Translation
from sensorium.tasks.direction import find_direction
from sensorium.tasks.model import LanguageModel, load
from sensorium.tour.attention import label
from sensorium.tour.plan import Strings, Term
from sensorium.tour.trip import Trip, left_out

_N_BEST = 3


def translate(trip: Trip) -> Sequence[Block]:
    """Short strings of software in every direction, some candidates, a glossary, and the cross-attention."""
    try:
        lm = load(trip.plan.translator)
    except CheckpointError as error:
        return left_out(error)
    said: list[Block] = [
        Text(
            f"`sensorium translate {trip.plan.translator}` translates the words of programs, which it learned from the "
            "help of LibreOffice, and little else. Placeholders such as `%s` and `{name}` stand in a translation as "
            "they are, and as often. A score is a log-probability: the nearer to 0, the surer."
        )
    ]
    maps = list[Block]()
    for number, strings in enumerate(trip.plan.strings):
        source, target, texts = strings
        try:
            found = lm.translate(list(texts), source=source, target=target)
        except InputError as error:
            said.append(Text(f"It does not translate from {source} to {target}: {error.problem}."))
            continue
        rows = [[text, one.text, f"{one.score:.2f}"] for text, one in zip(texts, found, strict=True)]
        said.append(Table([source, target, "score"], rows, numeric=[2]))
        maps.append(look(lm, texts[0], found[0], source=source, target=target))
        if number == 0:
            said += [candidates(lm, strings), terms(lm, strings, trip.plan.terms)]
    if maps:
        said += [
            Text(
                "Each row is a token of the text and each column one of its translation: the darker a cell, the more "
                "the column's token looks at the row's while it is written. `--align` reads from it which word stands "
                "for which."
            ),
            Columns(maps),
        ]
    return said


def candidates(lm: LanguageModel, strings: Strings) -> Table:
    """The best translations of the first text."""
    text = strings.texts[0]
    best = lm.translate(text, source=strings.source, target=strings.target, n_best=_N_BEST)
    rows = [[one.text, f"{one.score:.2f}"] for one in (best, *best.alternatives)]
    return Table([f"“{text}”, --n-best {_N_BEST}", "score"], rows, numeric=[1])


def terms(lm: LanguageModel, strings: Strings, wanted: Sequence[Term]) -> Table:
    """Texts with and without a glossary; of a term that cannot be produced, why."""
    rows = []
    for text, term, said in wanted:
        free = lm.translate(text, source=strings.source, target=strings.target).text
        try:
            held = lm.translate(text, source=strings.source, target=strings.target, glossary={term: said}).text
        except InputError as error:
            held = f"{error.problem}."
        rows.append([text, free, f"{term} = {said}", held])
    return Table([strings.source, strings.target, "--glossary", "with it"], rows)


def look(
    lm: LanguageModel, text: str, made: Translation, *, source: str | None = None, target: str | None = None
) -> HeatMap:
    """The cross-attention of the layer before the last, token by token: what `align` is read from.

    Args:
        lm: that translated.
        text: no longer than the model reads at once.
        made: its translation.
        source: the language of the text, as it was told.
        target: the language of the translation, likewise.
    """
    engine = lm.engine_for("translate")
    assert isinstance(engine, Seq2SeqEngine)
    ids = find_direction(engine, source, target).encode([text])[0]
    found = [engine.tokenizer.target.id(token) for token in made.tokens]
    written = [id for id in found if id is not None]
    weights = engine.cross_attention(ids, written)
    layer = weights[max(len(weights) - 2, 0)][: len(written)].float().cpu()
    values: list[list[float]] = layer.t().tolist()
    return HeatMap(
        [label(engine.tokenizer, id) for id in ids],
        [label(engine.tokenizer.target, id) for id in written],
        values,
        title=f"{text} → {made.text}",
    )
