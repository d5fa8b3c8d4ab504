"""Which word of a text each word of its translation stands for, read from the decoder's cross-attention.

While a token is predicted, the heads of the layer before the last look at what it translates (Garg et al. 2019, whose
mean over that layer's heads this is). Tokens are put together to words, and every word of the translation is linked to
the word of the source that it looks at most.
"""

from __future__ import annotations

from collections.abc import Sequence

import regex
import torch
from jaxtyping import Float
from torch import Tensor

from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.inference.engine import Ids, Seq2SeqEngine
from sensorium.inference.text import TextStream
from sensorium.results import Link
from sensorium.tasks.direction import Direction
from sensorium.tasks.kept import placeholders

Span = tuple[int, int]
_CHARACTER = r"\p{Han}\p{Hiragana}\p{Katakana}"
_WORD = regex.compile(
    rf"[{_CHARACTER}]|[[\p{{L}}\p{{M}}\p{{N}}'’]--[{_CHARACTER}]]+|[^\s\p{{L}}\p{{M}}\p{{N}}]+", flags=regex.V1
)
"""A character of a script without spaces, a word, or a run of marks."""


def align(
    engine: Seq2SeqEngine, direction: Direction, source: str, target: str, target_ids: Ids, *, at: Span = (0, 0)
) -> tuple[Link, ...]:
    """The links between a text and its translation, in the order of the translation.

    Args:
        engine: that translated.
        direction: as it was told.
        source: the text.
        target: the translation.
        target_ids: its tokens.
        at: places of both texts in those that they are parts of.
    """
    ids = direction.encode([source])[0]
    lead = len(direction.prefix)
    encoding = direction.tokenizer.encodings_raw([direction.prefix + source])[0]
    first = len(direction.before) + len(direction.first)
    source_spans = [(a - lead, b - lead) for a, b in encoding.offsets]
    weights = engine.cross_attention(ids, target_ids)
    layer = weights[max(len(weights) - 2, 0)][:, first : first + len(source_spans)]
    source_words, target_words = words(source), words(target)
    target_spans = spans_of(engine.tokenizer.target, target_ids, target)
    looks = _shares(target_spans, target_words, mean=True) @ layer @ _shares(source_spans, source_words).t()
    links = []
    for (a, b), row in zip(target_words, looks, strict=True):
        if len(source_words) and float(row.max()) > 0:
            best = int(row.argmax())
            c, d = source_words[best]
            score = min(1.0, float(row[best]))
            links.append(Link((c + at[0], d + at[0]), (a + at[1], b + at[1]), score))
    return tuple(links)


def words(text: str) -> list[Span]:
    """Where words and marks stand; of scripts without spaces each character, of placeholders the whole."""
    kept, found, start = placeholders(text), list[Span](), 0
    for span in [*kept, (len(text), len(text))]:
        found += [match.span() for match in _WORD.finditer(text, start, span[0])]
        found += [span] if span[0] < span[1] else []
        start = span[1]
    return found


def spans_of(tokenizer: Tokenizer, ids: Sequence[int], text: str) -> list[Span]:
    """Where the text of every token stands in `text`, the stripped text of all; tokens without text are empty."""
    stream, spans = TextStream(tokenizer), list[Span]()
    end = len((whole := tokenizer.decode(ids)).lstrip()) - len(whole)
    for id in ids:
        start, end = end, end + len(stream.push(id))
        spans.append((min(max(start, 0), len(text)), min(max(end, 0), len(text))))
    return spans


def _shares(spans: Sequence[Span], words: Sequence[Span], *, mean: bool = False) -> Float[Tensor, "words tokens"]:
    """How much of each token's text is each word's; with `mean`, as the weights of a mean over a word's tokens."""
    share = torch.zeros(len(words), len(spans))
    for token, (start, end) in enumerate(spans):
        for word, (a, b) in enumerate(words):
            common = min(end, b) - max(start, a)
            if common > 0:
                share[word, token] = common / (end - start)
    return share / share.sum(1, keepdim=True).clamp(min=1e-9) if mean else share
