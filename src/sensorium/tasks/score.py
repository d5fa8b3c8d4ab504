"""How probable a model finds a text, token by token.

Causal models score every token by those before it. A text longer than the context is read in windows that overlap
by half, and a token is scored where it has most of its past in view. Encoders score each token with it alone
masked (pseudo-log-likelihood, Salazar et al. 2020).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sensorium.errors import InputError
from sensorium.inference.engine import Engine, by_length
from sensorium.inference.logits import check_whole
from sensorium.results import Score
from sensorium.tasks.texts import checked, place

_BUDGET = 4096
"""Tokens a batch."""


def windows(length: int, size: int, stride: int) -> Iterator[tuple[int, int, int]]:
    """(begin, first, end) of windows over `length` tokens, each scoring [first, end) after reading [begin, end)."""
    if length <= size:
        yield 0, 0, length
        return
    first = 0
    for begin in range(0, length, stride):
        end = min(begin + size, length)
        yield begin, first, end
        first = end
        if end == length:
            return


def score_causal(engine: Engine, texts: Sequence[str], *, stride: int | None = None) -> list[Score]:
    """Scores from left to right.

    The model's begin token is put before the text, so that every token of it is scored; without one the first
    token is only read, and counts neither as a token nor in bytes.

    Args:
        engine: a causal one.
        texts: what to score.
        stride: by how many tokens windows move; half the context by default.

    Raises:
        InputError: a text is empty.
    """
    tokenizer = engine.tokenizer
    bos = tokenizer.bos_id
    encoded = _encode(engine, texts)
    sequences: list[list[int]] = []
    cuts: list[tuple[int, int]] = []
    """Text number and how many log-probabilities of the sequence's end belong to it."""
    lead = 0 if bos is None else 1
    size = engine.context - lead if engine.context is not None else max(map(len, encoded))
    for number, ids in enumerate(encoded):
        for begin, first, end in windows(len(ids), size, _stride(stride, size - 1 + lead)):
            sequences.append([*([] if bos is None else [bos]), *ids[begin:end]])
            cuts.append((number, end - max(first, 1 - lead)))
    logprobs: list[list[float]] = [[] for _ in sequences]
    for batch in by_length([len(s) for s in sequences], budget=_BUDGET):
        for i, values in zip(batch, engine.logprobs([sequences[i] for i in batch]), strict=True):
            logprobs[i] = values.tolist()
    joined: list[list[float]] = [[] for _ in texts]
    for (number, count), found in zip(cuts, logprobs, strict=True):
        joined[number] += found[len(found) - count :]
    return [
        _score(engine, text, ids[1 - lead :], scored, skipped=ids[: 1 - lead])
        for text, ids, scored in zip(texts, encoded, joined, strict=True)
    ]


def score_pseudo(engine: Engine, texts: Sequence[str]) -> list[Score]:
    """Scores of each token from both sides, by masking it.

    Raises:
        InputError: a text is empty, or the model has no mask token.
    """
    mask = engine.tokenizer.mask_id
    if mask is None:
        raise InputError("the model's tokenizer has no mask token", where=engine.source)
    before, after = _frame(engine)
    room = None if engine.context is None else engine.context - len(before) - len(after)
    scores = []
    for text, ids in zip(texts, _encode(engine, texts), strict=True):
        values: list[float] = []
        size = len(ids) if room is None else room
        for begin, first, end in windows(len(ids), size, _stride(None, size)):
            framed = [*before, *ids[begin:end], *after]
            places = range(first - begin + len(before), end - begin + len(before))
            count = max(1, _BUDGET // len(framed))
            for group in (places[i : i + count] for i in range(0, len(places), count)):
                copies = [[*framed[:place], mask, *framed[place + 1 :]] for place in group]
                logits = engine.masked_logits(copies, [[place] for place in group])
                chosen = logits.log_softmax(-1)[range(len(group)), [framed[place] for place in group]]
                values += chosen.tolist()
        scores.append(_score(engine, text, ids, values, method_pseudo=True))
    return scores


def _encode(engine: Engine, texts: Sequence[str]) -> list[list[int]]:
    encoded = engine.tokenizer.encode_batch(checked(texts), special=False)
    for number, ids in enumerate(encoded):
        if not ids:
            raise InputError(
                "the text is empty: there is nothing to score", where=place(number, texts), fix="Give some text"
            )
    return encoded


def _stride(stride: int | None, size: int) -> int:
    if stride is None:
        return max(1, size // 2)
    check_whole("stride", stride, f"from 1 to {size}", lambda x: 1 <= x <= size)
    return stride


def _frame(engine: Engine) -> tuple[list[int], list[int]]:
    """The special tokens that the tokenizer puts before and after a text."""
    encoding = engine.tokenizer.encoding("a")
    inside = [place for place, special in enumerate(encoding.special_tokens_mask) if not special]
    if not inside:
        return encoding.ids, []
    return encoding.ids[: inside[0]], encoding.ids[inside[-1] + 1 :]


def _score(
    engine: Engine,
    text: str,
    ids: Sequence[int],
    logprobs: Sequence[float],
    *,
    skipped: Sequence[int] = (),
    method_pseudo: bool = False,
) -> Score:
    unread = len(engine.tokenizer.decode(list(skipped)).encode()) if skipped else 0
    return Score(
        tokens=tuple(engine.tokenizer.token(id) for id in ids),
        token_ids=tuple(ids),
        logprobs=tuple(logprobs),
        n_bytes=max(0, len(text.encode()) - unread),
        method="pseudo" if method_pseudo else "causal",
    )
