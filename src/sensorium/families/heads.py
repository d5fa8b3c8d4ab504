"""The heads that stock `transformers` puts on an encoder, told apart by the ends of its class names, and their labels.

Each family says in its `for_task` what stands between the hidden states and the outputs. One model has one of these
heads: stock `transformers` has no class with two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from sensorium.core.config import (
    Activation,
    ClassHeadConfig,
    FeatureConfig,
    LanguageHeadConfig,
    ModelConfig,
    NormConfig,
    Problem,
)
from sensorium.errors import CheckpointError
from sensorium.families.hf_config import ANEW, HFConfig
from sensorium.families.keymap import KeyMap

Kind = Literal["spans", "classes", "tags"]
ENDINGS: dict[Kind, str] = {
    "spans": "ForQuestionAnswering",
    "classes": "ForSequenceClassification",
    "tags": "ForTokenClassification",
}
MASKED, BARE = "ForMaskedLM", "Model"


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What an encoder is to tell.

    Args:
        kind: an answer's start and end, classes of a sequence, or tags of tokens.
        labels: names of the classes or tags, in their order.
        problem: of classes: whether they exclude each other; see `ClassHeadConfig`.
    """

    kind: Kind
    labels: tuple[str, ...] = ()
    problem: Problem | None = None


def architectures(name: str, *others: str) -> tuple[str, ...]:
    """The stock classes of a family that is called `name` in them: with each head, and without any."""
    return (*others, *(f"{name}{ending}" for ending in (MASKED, *ENDINGS.values(), BARE)))


def masked_head(transform: Activation, norm: NormConfig) -> LanguageHeadConfig:
    """BERT's, which RoBERTa and DistilBERT have too."""
    return LanguageHeadConfig(tied=True, bias=True, transform=transform, norm=norm)


def task_of(hf: HFConfig, architecture: str) -> Task | None:
    """The task of a stock class; None for a masked language model and for one without a head.

    Raises:
        CheckpointError: the labels are no list of names, or not those that the task has.
    """
    kind = next((kind for kind, ending in ENDINGS.items() if architecture.endswith(ending)), None)
    if kind is None:
        return None
    labels = label_names(hf)
    if kind == "spans":
        if len(labels) != 2:
            raise CheckpointError(
                f"{len(labels)} labels for question answering, which has a start and an end", fix=ANEW
            )
        return Task(kind=kind)
    return Task(kind=kind, labels=labels, problem=problem_of(hf) if kind == "classes" else None)


def problem_of(hf: HFConfig) -> Problem | None:
    """What the logits of their classes are, where they say it.

    Raises:
        CheckpointError: it is no kind of problem.
    """
    problem: Problem | None = hf.get("problem_type")
    if problem is not None and problem not in get_args(Problem):
        raise CheckpointError(f"problem_type={problem!r} is none of {', '.join(get_args(Problem))}", fix=ANEW)
    return problem


def label_names(hf: HFConfig) -> tuple[str, ...]:
    """The names in `id2label`; without them there are two classes, as stock `transformers` has it."""
    names = hf.get("id2label")
    if names is None:
        return tuple(f"LABEL_{i}" for i in range(hf.get("num_labels") or 2))
    if not isinstance(names, dict) or {str(key) for key in names} != {str(i) for i in range(len(names))} or not names:
        raise CheckpointError("id2label does not name the labels 0, 1, 2 ...", fix=ANEW)
    by_place = {int(key): name for key, name in names.items()}
    if not all(isinstance(name, str) for name in by_place.values()):
        raise CheckpointError("id2label names a label by something else than text", fix=ANEW)
    return tuple(by_place[i] for i in range(len(by_place)))


def with_head(
    config: ModelConfig, task: Task, features: FeatureConfig, *, pooling: Literal["first", "mean", "pooler"] = "first"
) -> ModelConfig:
    """The encoder of `config` with the head of a task and no other."""
    classes = ClassHeadConfig(n_classes=len(task.labels), pooling=pooling, problem=task.problem)
    return replace(
        config,
        language=None,
        n_pair_classes=0,
        spans=task.kind == "spans",
        n_tags=len(task.labels) if task.kind == "tags" else 0,
        classes=classes if task.kind == "classes" else None,
        features=features,
        labels=task.labels if task.kind != "spans" else (),
    )


def ending(config: ModelConfig) -> str | None:
    """How the stock class of a model's head ends; None where it has several, for which there is none."""
    heads = {
        MASKED: config.language is not None,
        ENDINGS["spans"]: config.spans,
        ENDINGS["classes"]: config.classes is not None,
        ENDINGS["tags"]: config.n_tags > 0,
    }
    found = [name for name, there in heads.items() if there]
    return None if len(found) > 1 else found[0] if found else BARE


def is_dense_before_classes(config: ModelConfig, transform: Activation) -> bool:
    """Whether classes are of the first token through a dense layer with this activation, and nothing else is through
    any: RoBERTa's and DistilBERT's."""
    features, classes = config.features, config.classes
    if classes is None:
        return features.transform is None and features.norm is None
    return (features.transform, features.norm, features.bias, classes.pooling) == (transform, None, True, "first")


def carried(given: KeyMap, wanted: KeyMap) -> dict[str, str]:
    """What another head reads through, and what it was in the given one: ModernBERT's heads all have one dense layer
    and norm of the same name, which the masked language model has learned.

    Args:
        given: the table of a model's parameters.
        wanted: the table of the same encoder with another head.
    """
    known = {row.theirs: row.ours for row in given.rows}
    features = [row for row in wanted.rows if row.ours[0].startswith("features.")]
    return {row.ours[0]: known[row.theirs][0] for row in features if known.get(row.theirs, row.ours) != row.ours}


def label_keys(config: ModelConfig) -> dict[str, Any]:
    """Their settings for the labels of ours."""
    outputs = config.classes.n_classes if config.classes is not None else config.n_tags
    return named(config.labels, outputs, config.classes.problem if config.classes is not None else None)


def named(labels: tuple[str, ...], outputs: int, problem: Problem | None) -> dict[str, Any]:
    """Their settings for so many classes or tags, which have names or not, and for what they are."""
    if not outputs:
        return {}
    names = labels or tuple(f"LABEL_{i}" for i in range(outputs))
    keys: dict[str, Any] = {
        "id2label": {str(i): name for i, name in enumerate(names)},
        "label2id": {name: i for i, name in enumerate(names)},
    }
    return keys | ({"problem_type": problem} if problem is not None else {})
