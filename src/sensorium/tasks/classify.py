"""Classes of texts, or of pairs of texts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from sensorium.data.tokens.frame import Frame
from sensorium.errors import CapabilityError, InputError
from sensorium.inference.engine import Engine, HeadEngine, by_length
from sensorium.objectives.supervised import framed
from sensorium.results import Classification
from sensorium.tasks.texts import checked, place

_BUDGET = 4096
"""Tokens a batch."""
_LONGEST = 8192
"""Tokens of a text that are read where the model sets no limit."""


def classify_all(
    engine: Engine, texts: str | Sequence[str], pairs: str | Sequence[str] | None = None
) -> list[Classification]:
    """The class of every text. What is longer than the model's context is cut, the longer of a pair first.

    Args:
        engine: can `classify`.
        texts: what to classify.
        pairs: second texts, as many as `texts`, for a model of pairs.

    Raises:
        InputError: a text is empty, or there are not as many second texts as first ones.
    """
    if not isinstance(engine, HeadEngine):
        raise CapabilityError("the model has no classes", where=engine.source)
    sides = [_full(texts), *([] if pairs is None else [_full(pairs)])]
    if len({len(side) for side in sides}) > 1:
        raise InputError(
            f"{len(sides[0])} texts are paired with {len(sides[1])}", fix="Give each text the one that it belongs to"
        )
    frame = Frame.single(engine.tokenizer) if pairs is None else Frame.pair(engine.tokenizer)
    room = (engine.context or _LONGEST) - frame.size
    ids = [[torch.tensor(one).numpy() for one in engine.tokenizer.encode_raw(side)] for side in sides]
    sequences = [framed(frame, both, room) for both in zip(*ids, strict=True)]
    results: dict[int, Classification] = {}
    for batch in by_length([len(sequence) for sequence, _ in sequences], budget=_BUDGET):
        logits = engine.class_logits(
            [sequences[i][0].tolist() for i in batch], [sequences[i][1].tolist() for i in batch]
        )
        scores = probabilities(logits, engine.problem)
        results |= {i: _classification(engine.labels, row) for i, row in zip(batch, scores, strict=True)}
    return [results[i] for i in range(len(sequences))]


def probabilities(
    logits: Float[Tensor, "sequences classes"], problem: str | None
) -> Float[Tensor, "sequences classes"]:
    """Of classes that exclude each other, or not; of an amount, the amount itself."""
    if problem == "multi_label_classification":
        return logits.sigmoid()
    if problem == "regression" or (problem is None and logits.shape[1] == 1):
        return logits
    return logits.softmax(-1)


def _classification(labels: Sequence[str], scores: Float[Tensor, " classes"]) -> Classification:
    names = labels or tuple(f"LABEL_{i}" for i in range(len(scores)))
    order = scores.argsort(descending=True, stable=True).tolist()
    ranked = {names[i]: float(scores[i]) for i in order}
    return Classification(names[order[0]], float(scores[order[0]]), ranked)


def _full(given: str | Sequence[str]) -> list[str]:
    """The texts, none of them empty."""
    texts = checked(given)
    for number, text in enumerate(texts):
        if not text.strip():
            raise InputError("the text is empty", where=place(number, texts), fix="Give some text")
    return texts
