"""What the decoder writes, and how well it foresees text that it has not read: bits per byte beside counting."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from sensorium.reports.blocks import Block, Figure, Sample, Table, Text
from sensorium.reports.plots import Bars, Colour, bars
from sensorium.results import Score
from sensorium.tour.trip import Trip
from sensorium.tour.verdict import verdict

TEMPERATURE, TOP_P, SEED = 0.8, 0.95, 1
_COLOURS: tuple[Colour, ...] = ("faint", "muted", "accent")


def generate(trip: Trip) -> Sequence[Block]:
    """Continue a few beginnings, in both languages."""
    prompts = list(trip.plan.prompts)
    made = trip.decoder.generate(
        prompts, max_new_tokens=trip.plan.new_tokens, temperature=TEMPERATURE, top_p=TOP_P, seed=SEED
    )
    return [
        Text(
            f"`sensorium generate` continues a text, here at temperature {TEMPERATURE} and top-p {TOP_P}. A model of "
            "this size, trained for minutes, catches something of the tone and loses the thread within a few words. "
            "Longer training and larger recipes mend that first."
        ),
        *(Sample(prompt, one.text.rstrip()) for prompt, one in zip(prompts, made, strict=True)),
    ]


def bits_per_byte(trip: Trip) -> Sequence[Block]:
    """The decoder beside a unigram and a bigram on the held-out text."""
    decode = trip.corpus.tokenizer.decode
    texts = {language: [decode(ids) for ids in documents] for language, documents in trip.held_out.items()}
    scores = {language: trip.decoder.score(some, method="causal") for language, some in texts.items()}
    scores["together"] = [score for some in scores.values() for score in some]
    ways: dict[str, Callable[[Score], float]] = {
        "unigram": lambda score: -float(trip.ngrams.unigram_logprobs(_ids(score)).sum()),
        "bigram": lambda score: -float(trip.ngrams.bigram_logprobs(_ids(score)).sum()),
        "decoder": lambda score: score.nats,
    }
    measured = {
        name: [sum(map(nats, some)) / math.log(2) / sum(score.n_bytes for score in some) for some in scores.values()]
        for name, nats in ways.items()
    }
    for name, values in measured.items():
        trip.numbers[f"bits_per_byte_{name}"] = values[-1]
    return [
        Text(
            "How many bits does a model need to write down each byte of the held-out text? It is the measure that "
            "compares models across tokenizers: fewer is better, 8 is knowing nothing. The baselines count the "
            "training text: the unigram knows how common a token is, the bigram also which token stands before it."
        ),
        Figure(
            bars(
                list(scores),
                [Bars(*named, colour) for named, colour in zip(measured.items(), _COLOURS, strict=True)],
                y_label="bits per byte",
            ),
            alt="Bar chart of bits per byte: decoder against unigram and bigram, by language.",
            caption=f"Lower is better. {verdict('decoder', measured, lower_is_better=True)}",
        ),
        Table(
            ["", "bytes", *measured],
            [
                [language, f"{sum(score.n_bytes for score in some):,}", *(f"{v[row]:.3f}" for v in measured.values())]
                for row, (language, some) in enumerate(scores.items())
            ],
            numeric=range(1, 2 + len(measured)),
        ),
    ]


def _ids(score: Score) -> NDArray[np.int64]:
    return np.array(score.token_ids, dtype=np.int64)
