"""The objectives of models with a head, over examples whose labels they know."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sensorium.data.labelled.examples import ClassExamples, TagExamples
from sensorium.objectives.objective import AnyObjective
from sensorium.objectives.spans import SpanObjective
from sensorium.objectives.supervised import ClassObjective, TagObjective, balanced
from sensorium.training.labelled import LabelledSource
from sensorium.training.recipe import Recipe


def build_head_objective(recipe: Recipe, source: LabelledSource) -> AnyObjective:
    """What a model with a head is trained for.

    Raises:
        ConfigError: sequences are too short, or the tokenizer is not an encoder's.
    """
    tokenizer, seq_len = source.tokenizer, recipe.batch.seq_len
    if source.task.kind == "spans":
        return SpanObjective(tokenizer, seq_len=seq_len, stride=recipe.objective.stride)
    weights = _weights(source) if recipe.objective.class_weights == "balanced" else None
    if source.task.kind == "tags":
        return TagObjective(tokenizer, seq_len=seq_len, labels=source.task.labels, weights=weights)
    pairs = isinstance(source.train, ClassExamples) and len(source.train.texts) == 2
    return ClassObjective(tokenizer, seq_len=seq_len, weights=weights, pairs=pairs)


def _weights(source: LabelledSource) -> NDArray[np.float64]:
    """Of the labels, by how often they occur in the training data."""
    data = source.train
    labels = data.classes if isinstance(data, ClassExamples) else np.empty(0, np.int64)
    if isinstance(data, TagExamples):
        labels = data.tags.values.astype(np.int64)
    return balanced(np.bincount(labels, minlength=len(source.task.labels)))
