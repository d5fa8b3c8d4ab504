"""What the encoder makes of gaps: its candidates for a few, and how often it is right on held-out text.

Accuracy is taken beside baselines that count (see `ngrams`). All see the same text with the same gaps: 15 % of the
tokens, each replaced by the mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensorium.inference.engine import Engine, by_length
from sensorium.reports.blocks import Bar, Block, Columns, Figure, Ranking, Table, Text
from sensorium.reports.plots import Bars, Colour, bars
from sensorium.tour.ngrams import NGrams
from sensorium.tour.trip import Trip
from sensorium.tour.verdict import verdict

SHARE = 0.15
_SHORTEST = 8
"""Tokens of the shortest piece that is measured: a shorter one has too little left beside its gaps."""
_BATCH_TOKENS = 4096
_COLOURS: tuple[Colour, ...] = ("faint", "muted", "second", "accent")
Ids = NDArray[np.int64]


def fill_masks(trip: Trip) -> Sequence[Block]:
    """Candidates for the gaps of a few texts, in both languages."""
    texts = list(trip.plan.masks)
    found = trip.encoder.fill_mask(texts, top_k=5)
    rankings = [
        Ranking(text, [Bar(fill.token or "␣", fill.score, f"{fill.score:.1%}") for fill in fills])
        for text, fills in zip(texts, found, strict=True)
    ]
    return [
        Text(
            "`sensorium fill` asks the encoder what stands at a mask. It has read for minutes, not for weeks: the "
            "commonest words of the novels and poems come first, and with longer reading the kind of word that fits."
        ),
        Columns(rankings),
    ]


class Gaps(NamedTuple):
    """A piece of text and the places in it that are hidden."""

    ids: Ids
    places: list[int]

    def hidden(self, mask: int) -> list[int]:
        """The piece with the mask at its gaps."""
        masked = self.ids.copy()
        masked[self.places] = mask
        return [int(id) for id in masked]

    @property
    def truth(self) -> Ids:
        return self.ids[self.places]

    def neighbours(self) -> list[tuple[int | None, int | None]]:
        """What can be seen left and right of each gap: None at an end and where the neighbour is hidden too."""
        seen: list[int | None] = [None, *self.ids.tolist(), None]
        for place in self.places:
            seen[place + 1] = None
        return [(seen[place], seen[place + 2]) for place in self.places]


def draw_gaps(documents: Sequence[Ids], *, window: int, seed: int = 0) -> list[Gaps]:
    """Cut documents into pieces of at most `window` tokens and hide some tokens of each."""
    chance = np.random.default_rng(seed)
    drawn = []
    for document in documents:
        for start in range(0, len(document), window):
            ids = document[start : start + window]
            if len(ids) >= _SHORTEST:
                places = chance.choice(len(ids), max(1, round(SHARE * len(ids))), replace=False)
                drawn.append(Gaps(ids, sorted(places.tolist())))
    return drawn


def accuracy_of_encoder(engine: Engine, gaps: Sequence[Gaps]) -> float:
    """Share of the gaps where the encoder's likeliest token is the true one."""
    tokenizer = engine.tokenizer
    sequences = [[tokenizer.cls_id, *one.hidden(tokenizer.mask_id), tokenizer.sep_id] for one in gaps]
    right = 0
    for batch in by_length([len(sequence) for sequence in sequences], budget=_BATCH_TOKENS):
        places = [[place + 1 for place in gaps[i].places] for i in batch]
        guesses = engine.masked_logits([sequences[i] for i in batch], places).argmax(-1).cpu().numpy()
        right += int((guesses == np.concatenate([gaps[i].truth for i in batch])).sum())
    return right / sum(len(one.places) for one in gaps)


def accuracy_of_counts(counts: NGrams, gaps: Sequence[Gaps], *, left: bool, right: bool) -> float:
    """Share of the gaps where the likeliest token between the neighbours that are looked at is the true one."""
    correct = total = 0
    for one in gaps:
        guesses = [counts.fill(a if left else None, b if right else None) for a, b in one.neighbours()]
        correct += int((np.array(guesses) == one.truth).sum())
        total += len(guesses)
    return correct / total


def masked_accuracy(trip: Trip) -> Sequence[Block]:
    """The encoder beside a unigram and two bigrams."""
    engine = trip.encoder.engine_for("fill_mask")
    window = (engine.context or 128) - 2
    drawn = {language: draw_gaps(documents, window=window) for language, documents in trip.held_out.items()}
    drawn = {language: gaps for language, gaps in drawn.items() if gaps}
    drawn["together"] = [one for gaps in drawn.values() for one in gaps]
    measured = {
        "unigram": [accuracy_of_counts(trip.ngrams, gaps, left=False, right=False) for gaps in drawn.values()],
        "bigram, left": [accuracy_of_counts(trip.ngrams, gaps, left=True, right=False) for gaps in drawn.values()],
        "bigram, both": [accuracy_of_counts(trip.ngrams, gaps, left=True, right=True) for gaps in drawn.values()],
        "encoder": [accuracy_of_encoder(engine, gaps) for gaps in drawn.values()],
    }
    for name, values in measured.items():
        trip.numbers[f"masked_accuracy_{name.replace(', ', '_')}"] = values[-1]
    counted = [sum(len(one.places) for one in gaps) for gaps in drawn.values()]
    return [
        Text(
            f"15% of the tokens of the held-out text are hidden, {counted[-1]:,} in all. How often is the first guess "
            "right? The baselines count the training text: the unigram always names the commonest token; the left "
            "bigram names what most often follows the token before the gap; the bigram of both neighbours names the "
            "token `x` with the highest P(x | left) · P(right | x). A neighbour that is hidden itself is left out."
        ),
        Figure(
            bars(
                list(drawn),
                [
                    Bars(name, [100 * value for value in values], colour)
                    for (name, values), colour in zip(measured.items(), _COLOURS, strict=True)
                ],
                y_label="gaps filled rightly, %",
                form="{:.0f}",
            ),
            alt="Bar chart of masked accuracy: encoder against unigram and bigrams, by language.",
            caption=verdict("encoder", measured),
        ),
        Table(
            ["", "gaps", *measured],
            [
                [language, f"{counted[row]:,}", *(f"{values[row]:.1%}" for values in measured.values())]
                for row, language in enumerate(drawn)
            ],
            numeric=range(1, 2 + len(measured)),
        ),
    ]
