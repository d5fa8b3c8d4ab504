"""Fill the masks of a text with the tokens that the model finds likeliest there.

Each mask is filled by itself, the others staying masked. Scores are probabilities over the whole vocabulary, also
where candidates are restricted to targets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from tokenizers import Encoding
from torch import Tensor

from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import InputError
from sensorium.inference.engine import Engine, by_length
from sensorium.inference.logits import check_whole
from sensorium.results import Fill
from sensorium.tasks.texts import checked, place

_BUDGET = 2048
"""Tokens a batch."""
_FOREIGN_MASKS = ("[MASK]", "<mask>", "<MASK>", "[mask]", "___")
_SPACE_MARKS = ("Ġ", "▁")
"""How byte-level and SentencePiece vocabularies write the space before a word."""


@dataclass(frozen=True, slots=True)
class _Masked:
    """A text with its ids and the places of its masks among them."""

    text: str
    encoding: Encoding
    places: list[int]


def fill_masks(
    engine: Engine, texts: str | Iterable[str], *, top_k: int = 5, targets: str | Sequence[str] | None = None
) -> list[list[Fill]]:
    """Candidates for every mask of every text: by mask, then by falling score.

    Args:
        engine: can `fill_mask`.
        texts: each holds the model's mask token at least once; a string alone is one.
        top_k: candidates a mask; ignored where `targets` are given.
        targets: the only candidates, each one token of the vocabulary.

    Raises:
        InputError: a text has no mask or is longer than the context, or a target is no single token.
    """
    check_whole("top_k", top_k, "1 or more", lambda x: x >= 1)
    targets = None if targets is None else checked(targets, "target")
    if targets is not None and not (targets and all(targets)):
        raise InputError("there are no targets" if not targets else "a target is empty", fix="Leave it out")
    texts = checked(texts)
    masked = _find_masks(engine, texts)
    ids = [item.encoding.ids for item in masked]
    results: list[list[Fill]] = [[] for _ in texts]
    for batch in by_length([len(x) for x in ids], budget=_BUDGET):
        logits = engine.masked_logits([ids[i] for i in batch], [masked[i].places for i in batch])
        first = 0
        for i in batch:
            count = len(masked[i].places)
            if targets is not None:
                results[i] = _fill_targets(engine.tokenizer, masked[i], logits[first : first + count], targets)
            first += count
        if targets is None:
            _fill_top(engine.tokenizer, [masked[i] for i in batch], logits, top_k, [results[i] for i in batch])
    return results


def _find_masks(engine: Engine, texts: list[str]) -> list[_Masked]:
    tokenizer, mask = engine.tokenizer, engine.tokenizer.mask_id
    if mask is None:
        raise InputError("the model's tokenizer has no mask token", where=engine.source)
    found = []
    encodings = tokenizer.backend.encode_batch(texts)
    for number, (text, encoding) in enumerate(zip(texts, encodings, strict=True)):
        where = place(number, texts)
        places = [place for place, id in enumerate(encoding.ids) if id == mask]
        if not places:
            name = tokenizer.special["mask"]
            other = next((form for form in _FOREIGN_MASKS if form in text and form != name), None)
            problem = f"the text has no {name}" + (f" (it has {other})" if other else "")
            raise InputError(problem, where=where, fix=f"This model's mask token is {name}: write it where to fill")
        if engine.context is not None and len(encoding.ids) > engine.context:
            raise InputError(
                f"the text is {len(encoding.ids)} tokens long, the model takes {engine.context}",
                where=where,
                fix="Shorten the text around its masks",
            )
        found.append(_Masked(text, encoding, places))
    return found


def _fill_top(
    tokenizer: Tokenizer,
    items: Sequence[_Masked],
    logits: Float[Tensor, "masks vocab"],
    top_k: int,
    results: Sequence[list[Fill]],
) -> None:
    # A model may have more rows than the tokenizer has tokens; those count in the scores but are no candidates.
    named = logits[:, : tokenizer.vocab_size]
    values, ids = named.topk(min(top_k, named.shape[-1]))
    scores = (values - logits.logsumexp(-1, keepdim=True)).exp()
    rows = iter(zip(ids.tolist(), scores.tolist(), strict=True))
    for item, fills in zip(items, results, strict=True):
        for mask in range(len(item.places)):
            row_ids, row_scores = next(rows)
            fills.extend(_fill(tokenizer, item, mask, id, s) for id, s in zip(row_ids, row_scores, strict=True))


def _fill_targets(
    tokenizer: Tokenizer, item: _Masked, logits: Float[Tensor, "masks vocab"], targets: Sequence[str]
) -> list[Fill]:
    fills: list[Fill] = []
    for mask, probabilities in enumerate(logits.softmax(-1)):
        ids = [_target_id(tokenizer, item, mask, target) for target in dict.fromkeys(targets)]
        ranked: Int[Tensor, " targets"] = probabilities[torch.tensor(ids)].argsort(descending=True, stable=True)
        fills.extend(_fill(tokenizer, item, mask, ids[i], float(probabilities[ids[i]])) for i in ranked.tolist())
    return fills


def _target_id(tokenizer: Tokenizer, item: _Masked, mask: int, target: str) -> int:
    """The one token of a target; where a space stands before the mask, the token that begins with it."""
    start, _ = _span(tokenizer, item, mask)
    spaced = start == 0 or item.text[start - 1].isspace()
    forms = (f" {target}", target) if spaced else (target, f" {target}")
    exact = tokenizer.id(target)
    for form in forms:
        ids = tokenizer.encode(form, special=False)
        if len(ids) == 1 and ids[0] != tokenizer.unk_id:
            return ids[0]
    if exact is not None:
        return exact
    raise InputError(
        f"the target {target!r} is {len(tokenizer.encode(target, special=False))} tokens in this vocabulary, not one",
        fix="Give targets that are single tokens (words that are frequent in the training text)",
    )


def _span(tokenizer: Tokenizer, item: _Masked, mask: int) -> tuple[int, int]:
    """Characters of the mask token itself, without the space that some tokenizers count to it."""
    name = tokenizer.special["mask"]
    start, end = item.encoding.offsets[item.places[mask]]
    at = item.text.find(name, start, end)
    return (start, end) if at < 0 else (at, at + len(name))


def _fill(tokenizer: Tokenizer, item: _Masked, mask: int, id: int, score: float) -> Fill:
    start, end = _span(tokenizer, item, mask)
    eaten = item.encoding.offsets[item.places[mask]][0] < start
    before, after = item.text[:start], item.text[end:]
    raw, token = tokenizer.token(id), tokenizer.decode([id], skip_special=False).strip()
    if raw.startswith("##") and len(raw) > 2:
        return Fill(token, before.rstrip() + raw[2:] + after, score, id, mask)
    if raw.startswith(_SPACE_MARKS):
        space = " " if before and not before[-1].isspace() else ""
        return Fill(token, before + space + token + after, score, id, mask)
    if eaten:
        before = item.text[: item.encoding.offsets[item.places[mask]][0]]
    return Fill(token, before + token + after, score, id, mask)
