"""Translations that hold what they must: searched freely first, and again where they do not.

Pieces that lose a placeholder or a glossary's term are translated again by a search that must write them
(`inference.constrained`). Where even that finds nothing, what stands between the placeholders is translated part by
part, which keeps them whatever the model does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import regex

from sensorium.errors import InputError
from sensorium.inference.beam import beam_search
from sensorium.inference.beams import Hypothesis, Search
from sensorium.inference.constrained import constrained_search
from sensorium.inference.decode import Request, decode
from sensorium.inference.engine import Ids, Seq2SeqEngine
from sensorium.inference.logits import Sampling
from sensorium.tasks.kept import Kept, placeholders
from sensorium.tasks.pieces import Piece
from sensorium.tasks.wish import Wish

_LOGITS = 1 << 23
"""Logits of a step that are held at one time."""
_TOKENS = 8192
"""Tokens of sources that are read at one time."""
_WIDE = 8
"""Beams of a search that must write something, at least."""
_LETTER = regex.compile(r"\p{L}")
_WHITE = regex.compile(r"(\A\s+|\s+\Z)")
_SHOWN = 60

Found = list[Hypothesis]
"""Of one piece, best first."""


@dataclass(frozen=True, slots=True)
class Made:
    """A translated piece."""

    text: str
    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    score: float
    parts: tuple[tuple[str, Made], ...] = ()
    """Of what the piece was put together, where it was: parts of the source with what stands for them. A part without
    tokens is copied."""


def translated(
    engine: Seq2SeqEngine, pieces: Sequence[Piece], wish: Wish, place: Callable[[int], str | None]
) -> list[list[Made]]:
    """The best translations of every piece, best first.

    Args:
        engine: translates.
        pieces: what to translate.
        wish: how.
        place: how a message names a piece, by its number from 0.

    Raises:
        InputError: a glossary's term cannot be produced in a piece.
        EngineError: the model gives logits that are not numbers.
    """
    kept = [Kept.of(piece.text, wish.glossary, keep_placeholders=wish.keep_placeholders) for piece in pieces]
    free = replace(wish.search, n_best=wish.search.beams) if any(kept) else wish.search
    results = [[_made(engine, h) for h in found] for found in _searched(engine, [p.ids for p in pieces], free, wish)]
    lacking = dict[int, Made]()
    for i, held in enumerate(kept):
        whole = [made for made in results[i] if not held.missing(made.text)] if held else results[i]
        if not whole:
            lacking[i] = next(iter(results[i]), Made("", (), (), 0.0))
        results[i] = whole[: wish.search.n_best]
    for i in _constrained(engine, pieces, kept, results, list(lacking), wish):
        made = _between(engine, pieces[i], wish, place(i)) if kept[i].exactly else lacking[i]
        if missing := kept[i].missing_terms(made.text):
            raise InputError(
                f"the glossary's {', '.join(map(repr, missing))} cannot be produced in the translation of "
                f"{pieces[i].text[:_SHOWN]!r}",
                where=place(i),
                fix="Choose another translation, leave the term out, or give more beams",
            )
        results[i] = [made]
    return results


def _constrained(
    engine: Seq2SeqEngine,
    pieces: Sequence[Piece],
    kept: Sequence[Kept],
    results: list[list[Made]],
    lacking: Sequence[int],
    wish: Wish,
) -> list[int]:
    """Search again for the pieces that lack something; those for which that found nothing."""
    demands = {i: demand for i in lacking if (demand := kept[i].demand(engine.tokenizer.target)) is not None}
    search = replace(wish.search, beams=max(_WIDE, wish.search.beams))
    order = sorted(demands, key=lambda i: len(pieces[i].ids))
    for batch in _batches(engine, [len(pieces[i].ids) for i in order], search.beams):
        chosen = [order[j] for j in batch]
        extra = [sum(p.count * p.length for p in demands[i].phrases) for i in chosen]
        limits = [wish.longest(engine, pieces[i].ids, more) for i, more in zip(chosen, extra, strict=True)]
        sources, wanted = [pieces[i].ids for i in chosen], [demands[i] for i in chosen]
        for i, found in zip(chosen, constrained_search(engine, sources, wanted, search, limits=limits), strict=True):
            results[i] = [_made(engine, hypothesis) for hypothesis in found]
    return [i for i in lacking if not results[i]]


def _between(engine: Seq2SeqEngine, piece: Piece, wish: Wish, where: str | None) -> Made:
    """The translations of what stands between a piece's placeholders, with these between them."""
    cuts = [0, *(cut for span in placeholders(piece.text) for cut in span), len(piece.text)]
    parts, worded = list[str](), list[int]()
    for n, (a, b) in enumerate(pairwise(cuts)):
        between = n % 2 == 0
        # White space around words stays as it is, so it is a part of its own.
        for part in filter(None, _WHITE.split(piece.text[a:b]) if between else [piece.text[a:b]]):
            if between and _LETTER.search(part):
                worded.append(len(parts))
            parts.append(part)
    freely = replace(wish, keep_placeholders=False, aligned=False, search=replace(wish.search, n_best=1))
    cores = [Piece(parts[n], 0, "", wish.direction.encode([parts[n]])[0]) for n in worded]
    found = dict(zip(worded, translated(engine, cores, freely, lambda _: where), strict=True))
    made = [found[n][0] if n in found else Made(part, (), (), 0.0) for n, part in enumerate(parts)]
    logprobs = tuple(logprob for one in made for logprob in one.logprobs)
    ids = tuple(id for one in made for id in one.ids)
    text = "".join(one.text for one in made)
    return Made(text, ids, logprobs, wish.score(logprobs), tuple(zip(parts, made, strict=True)))


def _searched(engine: Seq2SeqEngine, sources: Sequence[Ids], search: Search, wish: Wish) -> list[Found]:
    """Hypotheses for every source, in batches of similar length."""
    results: list[Found] = [[] for _ in sources]
    order = sorted(range(len(sources)), key=lambda i: len(sources[i]))
    for batch in _batches(engine, [len(sources[i]) for i in order], search.beams):
        chosen = [order[j] for j in batch]
        limits = [wish.longest(engine, sources[i]) for i in chosen]
        if wish.sampling is not None:
            found = _sampled(engine, [sources[i] for i in chosen], limits, wish)
        else:
            found = beam_search(engine, [sources[i] for i in chosen], search, limits=limits)
        for i, hypotheses in zip(chosen, found, strict=True):
            results[i] = hypotheses
    return results


def _batches(engine: Seq2SeqEngine, lengths: Sequence[int], beams: int) -> list[range]:
    """Sources in batches: neither too many tokens to read nor too many logits to write."""
    most = max(1, _LOGITS // (beams * engine.tokenizer.target.vocab_size))
    batches, start, tokens = list[range](), 0, 0
    for i, length in enumerate(lengths):
        if i > start and (i - start >= most or tokens + length > _TOKENS):
            batches.append(range(start, i))
            start, tokens = i, 0
        tokens += length
    return [*batches, range(start, len(lengths))] if lengths else []


def _sampled(engine: Seq2SeqEngine, sources: Sequence[Ids], limits: Sequence[int], wish: Wish) -> list[Found]:
    requests = [
        Request(
            prompt=ids,
            max_new_tokens=limit,
            sampling=wish.sampling or Sampling(),
            seed=wish.seed,
            forced_bos=wish.direction.forced_bos,
            forced_eos=wish.search.forced_eos,
            suppressed=wish.search.suppressed,
            min_new_tokens=wish.search.min_new_tokens,
            no_repeat_ngram=wish.search.no_repeat_ngram,
        )
        for ids, limit in zip(sources, limits, strict=True)
    ]
    ids: list[list[int]] = [[] for _ in sources]
    logprobs: list[list[float]] = [[] for _ in sources]
    for step in decode(engine, requests):
        ids[step.row].append(step.token_id)
        logprobs[step.row].append(step.logprob)
    return [[Hypothesis(tuple(a), tuple(b), wish.score(b))] for a, b in zip(ids, logprobs, strict=True)]


def _made(engine: Seq2SeqEngine, found: Hypothesis) -> Made:
    ids = found.token_ids[:-1] if found.token_ids[-1:] and found.token_ids[-1] in engine.eos_ids else found.token_ids
    return Made(engine.tokenizer.target.decode(ids).strip(), ids, found.logprobs, found.score)
