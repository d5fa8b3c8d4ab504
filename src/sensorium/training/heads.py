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
    tokenizer, seq_len, data = source.tokenizer, recipe.batch.seq_len, source.train
    if isinstance(data, TagExamples):
        weights = _weights(recipe, source, data.tags.values)
        return TagObjective(tokenizer, seq_len=seq_len, labels=source.task.labels, weights=weights)
    if isinstance(data, ClassExamples):
        weights = _weights(recipe, source, data.classes)
        return ClassObjective(tokenizer, seq_len=seq_len, weights=weights, pairs=len(data.texts) == 2)
    return SpanObjective(tokenizer, seq_len=seq_len, stride=recipe.objective.stride)


def _weights(recipe: Recipe, source: LabelledSource, found: NDArray[np.integer]) -> NDArray[np.float64] | None:
    """Of the labels, by how often they occur in the training data, if the recipe asks for them."""
    if recipe.objective.class_weights == "none":
        return None
    return balanced(np.bincount(found, minlength=len(source.task.labels)))
