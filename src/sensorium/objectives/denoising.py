"""Learning to write from plain text: a source is made of each text by taking something away, and what was taken, or
the whole text, is to be written.

`SpanCorruptionObjective` is T5's (Raffel et al. 2020), `InfillingObjective` BART's (Lewis et al. 2020). What they do to
a text are functions of their own, `corrupt_spans`, `infill` and `permute`.

Unusual: the target does not end with a sentinel of its own, as in a figure of T5's paper, but with [EOS] alone. That
sentinel is for what stays behind the last span, and here, as in the authors' code, a text ends with a span.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from sensorium.data.shards import TokenShards
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import ConfigError
from sensorium.objectives.objective import Ids, Units
from sensorium.objectives.pairs import Ends, PairExample, TwoStacks
from sensorium.objectives.runs import sentence_runs

SENTINELS = 100
"""As many as T5 has."""


def sentinel(number: int) -> str:
    """What stands for the span of this number, as T5's tokenizers write it."""
    return f"<extra_id_{number}>"


class _Denoising(TwoStacks):
    """What both have in common: runs of whole sentences.

    Args:
        tokenizer: must have [EOS].
        seq_len: the most tokens a side, special tokens included.
        start: the decoder's first token.
        rate: share of the text that is taken away.
        mean_span: length of a span, on average.
        written: tokens of a target for each one of its text, on average.
    """

    def __init__(
        self, tokenizer: Tokenizer, *, seq_len: int, start: int, rate: float, mean_span: float, written: float
    ) -> None:
        self._ends = Ends(tokenizer, start=start)
        self._room = seq_len - self._ends.size
        if self._room < 4:
            raise ConfigError(f"batch.seq_len={seq_len} leaves no room for text", fix="Set batch.seq_len to 16 or more")
        read = 1 - rate + rate / mean_span
        super().__init__(lengths=(self._room * read, self._room * written))
        self._rate, self._mean_span = rate, mean_span

    def units(self, shards: TokenShards, rng: np.random.Generator) -> Units:
        """Rows of (first token, last token + 1, document): runs of whole sentences that fill the sequence."""
        return sentence_runs(shards, self._room)

    def units_of(self, shards: TokenShards, documents: Ids) -> Units:
        """`units` of some documents."""
        return sentence_runs(shards, self._room, documents)


class SpanCorruptionObjective(_Denoising):
    """T5's: spans are taken away, and written in their order, each after the sentinel that stands in its place.

    Args:
        tokenizer: must have [EOS] and sentinels, `<extra_id_0>` and on.
        seq_len: the most tokens a side, special tokens included.
        start: the decoder's first token.
        rate: share of the tokens that is taken away.
        mean_span: tokens of a span, on average.

    Raises:
        ConfigError: the tokenizer lacks these, or `seq_len` leaves no room.
    """

    name = "span_corruption"

    def __init__(
        self, tokenizer: Tokenizer, *, seq_len: int, start: int, rate: float = 0.15, mean_span: float = 3.0
    ) -> None:
        written = rate + rate / mean_span
        super().__init__(tokenizer, seq_len=seq_len, start=start, rate=rate, mean_span=mean_span, written=written)
        ids = [tokenizer.id(sentinel(number)) for number in range(SENTINELS)]
        self._sentinels = np.array([id for id in ids if id is not None], dtype=np.int64)
        if not len(self._sentinels):
            raise ConfigError(f"span corruption needs a tokenizer with sentinels ({sentinel(0)} ...)")

    def example(self, shards: TokenShards, unit: Units, rng: np.random.Generator) -> PairExample:
        """One text, with spans taken away."""
        tokens = shards.tokens(int(unit[0]), int(unit[1])).astype(np.int64)
        spans = noise_spans(len(tokens), self._rate, self._mean_span, len(self._sentinels), rng)
        return self._ends.example(*corrupt_spans(tokens, spans, self._sentinels))


class InfillingObjective(_Denoising):
    """BART's: spans of words become one mask each, sentences change places, and the whole text is written.

    Args:
        tokenizer: must have [EOS] and a mask.
        seq_len: the most tokens a side, special tokens included.
        start: the decoder's first token.
        rate: share of the words that is taken away.
        mean_span: words of a span, on average; their number is drawn from Poisson's distribution, and where it is 0
            a mask is put between two words.
        permute: whether sentences change places.

    Raises:
        ConfigError: the tokenizer lacks these, or `seq_len` leaves no room.
    """

    name = "infilling"

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        seq_len: int,
        start: int,
        rate: float = 0.3,
        mean_span: float = 3.0,
        permute: bool = True,
    ) -> None:
        super().__init__(tokenizer, seq_len=seq_len, start=start, rate=rate, mean_span=mean_span, written=1.0)
        if tokenizer.mask_id is None:
            raise ConfigError("infilling needs a tokenizer with a mask token", fix="Prepare with another one")
        self._mask, self._word_starts, self._permute = tokenizer.mask_id, tokenizer.word_starts, permute

    def example(self, shards: TokenShards, unit: Units, rng: np.random.Generator) -> PairExample:
        """One text, with its sentences in another order and spans taken away."""
        start, stop = int(unit[0]), int(unit[1])
        tokens = shards.tokens(start, stop).astype(np.int64)
        offsets = shards.sentence_offsets
        inner = offsets[np.searchsorted(offsets, start, side="right") : np.searchsorted(offsets, stop)] - start
        starts = self._word_starts[tokens]
        # A sentence begins a word wherever it is put, which a text's first token does not tell.
        starts[np.append(inner, 0)] = True
        order = np.arange(len(tokens))
        if self._permute:
            order = permute(order, inner, rng)
        source = infill(tokens[order], starts[order], self._rate, self._mean_span, self._mask, rng)
        # Masks between words may outgrow a short text.
        return self._ends.example(source[: self._room], tokens)


def noise_spans(length: int, rate: float, mean_span: float, most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Where spans are taken out of a text: rows of (first token, last token + 1).

    As T5 draws them: the rate fixes how many tokens are taken and the mean how many spans they are; both they and what
    stays are cut at random, each cut as likely as any other. The text begins with what stays and ends with a span.

    Args:
        length: of the text.
        rate: share of the tokens that is taken.
        mean_span: tokens of a span, on average.
        most: spans, at most.
        rng: draws.

    Returns:
        The spans, in order; none of a text of one token.
    """
    if length < 2:
        return np.empty((0, 2), dtype=np.int64)
    taken = min(max(round(length * rate), 1), length - 1)
    count = min(max(round(taken / mean_span), 1), taken, length - taken, most)
    spans, gaps = _cut(taken, count, rng), _cut(length - taken, count, rng)
    ends = np.cumsum(spans + gaps)
    return np.stack((ends - spans, ends), axis=1)


def _cut(length: int, parts: int, rng: np.random.Generator) -> Ids:
    """The lengths of so many parts, none of them empty."""
    cuts = np.sort(rng.choice(length - 1, parts - 1, replace=False)) + 1 if parts > 1 else np.empty(0, dtype=np.int64)
    return np.diff(np.concatenate(([0], cuts, [length])))


def corrupt_spans(tokens: Ids, spans: NDArray[np.int64], sentinels: Ids) -> tuple[Ids, Ids]:
    """A text with a sentinel for each span, and the spans, each after its sentinel.

    Args:
        tokens: the text.
        spans: rows of (first token, last token + 1), in order.
        sentinels: at least as many ids.

    Returns:
        Source and target, without special tokens.
    """
    source, target, end = list[Ids](), list[Ids](), 0
    for number, (start, stop) in enumerate(spans.tolist()):
        mark = sentinels[number : number + 1]
        source += [tokens[end:start], mark]
        target += [mark, tokens[start:stop]]
        end = stop
    return np.concatenate([*source, tokens[end:]]), np.concatenate([*target, tokens[:0]])


def permute(tokens: Ids, ends: NDArray[np.int64], rng: np.random.Generator) -> Ids:
    """A text with its sentences in a random order.

    Args:
        tokens: the text.
        ends: where its sentences end, but for the last.
        rng: draws.
    """
    sentences = np.split(tokens, ends)
    return np.concatenate([sentences[i] for i in rng.permutation(len(sentences))])


def infill(
    tokens: Ids,
    word_starts: NDArray[np.bool_],
    rate: float,
    mean_span: float,
    mask: int,
    rng: np.random.Generator,
) -> Ids:
    """A text in which spans of words have become one mask each.

    Lengths are drawn from Poisson's distribution until they hold as many words as are to be taken; the last is cut to
    that. Spans stand anywhere between the words that stay, none of them beside another.

    Args:
        tokens: the text.
        word_starts: where in it a word begins.
        rate: share of the words that is taken.
        mean_span: words of a span, on average.
        mask: id of the mask.
        rng: draws.
    """
    starts = np.flatnonzero(word_starts)
    words = np.split(tokens, starts[starts > 0])
    taken = math.ceil(len(words) * rate)
    lengths = _poisson(taken, mean_span, len(words) - taken + 1, rng)
    # A span may stand before each word that stays, or at the end.
    places = np.sort(rng.choice(len(words) - int(lengths.sum()) + 1, len(lengths), replace=False))
    out, kept, at = list[Ids](), 0, 0
    for place, length in zip(places.tolist(), lengths.tolist(), strict=True):
        out += [*words[at : at + place - kept], np.array([mask])]
        at, kept = at + place - kept + length, place
    return np.concatenate([*out, *words[at:]])


def _poisson(total: int, mean: float, most: int, rng: np.random.Generator) -> Ids:
    """At most so many lengths, with this sum. Where all of them are too short for it, chance makes some longer."""
    drawn = rng.poisson(mean, size=most)
    sums = np.cumsum(drawn)
    if sums[-1] < total:
        return drawn + rng.multinomial(total - sums[-1], np.full(most, 1 / most))
    count = int(np.searchsorted(sums, total)) + 1
    lengths = drawn[:count]
    lengths[-1] -= sums[count - 1] - total
    return lengths
