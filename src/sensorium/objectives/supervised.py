"""Classes of texts and tags of words (Devlin et al. 2019): labelled examples, cross-entropy, accuracy and F1.

Texts that are too long are cut, the longer of a pair first; sentences are cut between words, and no word is lost. A
word's tag is read at its first token.

Unusual: weighted losses are divided by how many there are, and not by the sum of their weights. That way a label weighs
the same in every batch (King & Zeng 2001), even in one where it is alone, and many small batches are one large one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from sensorium.core.count import training_flops
from sensorium.core.model import AnyConfig, Transformer
from sensorium.core.pack import Packed, pack
from sensorium.data.labelled.examples import ClassExamples, TagExamples
from sensorium.data.tokens.frame import Frame, shorten
from sensorium.data.tokens.tokenizer import Tokenizer
from sensorium.errors import ConfigError
from sensorium.objectives.heads import encoded
from sensorium.objectives.metrics import accuracy_and_f1, entity_f1, has_entities
from sensorium.objectives.objective import Ids, Loss, Units, joined


@dataclass(frozen=True, eq=False)
class LabelledExample:
    """One sequence."""

    ids: Ids
    types: Ids
    targets: Ids
    """Its class, or the tags of its words."""
    places: Ids
    """Where the tags are read; none for classes."""
    begins: bool = True
    """Whether its text does; the later pieces of a sentence that was cut go on."""


@dataclass(frozen=True, eq=False)
class LabelledBatch:
    """Sequences laid end to end."""

    packed: Packed
    types: Int[Tensor, "1 total"]
    targets: Int[Tensor, " n"]
    places: Int[Tensor, " words"]
    """Where in the packed row the tags are read."""
    starts: tuple[int, ...]
    """Which of the targets are the first of a text."""

    @property
    def tokens(self) -> int:
        return int(self.packed.ids.shape[1])


class _Labels(ABC):
    """What classes and tags have in common.

    Args:
        frame: the special tokens around the texts.
        seq_len: the most tokens a sequence.
        weights: of the labels in the loss; None counts each example alike.

    Raises:
        ConfigError: `seq_len` leaves no room.
    """

    def __init__(self, frame: Frame, *, seq_len: int, weights: NDArray[np.float64] | None) -> None:
        self._frame, self._seq_len = frame, seq_len
        self._room = seq_len - frame.size
        self._weights = None if weights is None else torch.from_numpy(weights).float()
        if self._room < 2:
            raise ConfigError(f"batch.seq_len={seq_len} leaves no room for text", fix="Raise batch.seq_len")

    def size(self, example: LabelledExample) -> int:
        """Its tokens."""
        return len(example.ids)

    def collate(self, examples: Sequence[LabelledExample], device: torch.device | str = "cpu") -> LabelledBatch:
        """Sequences laid end to end."""
        packed = pack([example.ids for example in examples], device=device)
        firsts = np.cumsum([0, *packed.lengths[:-1]])
        starts = np.cumsum([0, *(len(example.targets) for example in examples[:-1])]).tolist()
        return LabelledBatch(
            packed=packed,
            types=joined([example.types for example in examples], device)[None],
            targets=joined([example.targets for example in examples], device),
            places=joined([example.places + first for example, first in zip(examples, firsts, strict=True)], device),
            starts=tuple(start for example, start in zip(examples, starts, strict=True) if example.begins),
        )

    def flops(self, config: AnyConfig) -> float:
        """Of sequences as long as they may be."""
        return training_flops(config, length=self._seq_len)

    def loss(self, model: Transformer, batch: LabelledBatch) -> Loss:
        """Mean cross-entropy of the labels, times their weights if they have any; `loss` among its parts is without.

        Raises:
            ConfigError: the model is no encoder.
        """
        losses = F.cross_entropy(self.logits(model, batch), batch.targets, reduction="none")
        plain = losses.mean()
        weights = None if self._weights is None else self._weights.to(losses.device)
        total = plain if weights is None else (losses * weights[batch.targets]).mean()
        return Loss(total, {"loss": plain.detach()})

    @abstractmethod
    def logits(self, model: Transformer, batch: LabelledBatch) -> Float[Tensor, "n labels"]:
        """One row a target."""

    def _predict(
        self, model: Transformer, batches: Iterator[LabelledBatch]
    ) -> tuple[dict[str, float], list[Ids], list[Ids]]:
        """Metrics, and the expected and the found labels of each text; nothing of nothing."""
        nats, count, n_labels = 0.0, 0, 0
        expected, found, starts = list[Ids](), list[Ids](), list[int]()
        for batch in batches:
            logits = self.logits(model, batch)
            nats += float(F.cross_entropy(logits, batch.targets, reduction="sum"))
            expected.append(batch.targets.cpu().numpy())
            found.append(logits.argmax(1).cpu().numpy())
            starts += [count + start for start in batch.starts]
            count, n_labels = count + len(batch.targets), logits.shape[1]
        if not count:
            return {}, [], []
        right, said = np.concatenate(expected), np.concatenate(found)
        accuracy, f1 = accuracy_and_f1(right, said, n_labels)
        metrics = {"loss": nats / count, "accuracy": accuracy, "macro_f1": f1}
        return metrics, np.split(right, starts[1:]), np.split(said, starts[1:])


class ClassObjective(_Labels):
    """Classes of texts, or of pairs of texts.

    Args:
        tokenizer: must put a token before a text ([CLS]).
        seq_len: the most tokens a sequence.
        weights: of the classes in the loss; None counts each example alike.
        pairs: whether there are two texts.

    Raises:
        ConfigError: `seq_len` leaves no room, or the tokenizer puts no token first.
    """

    name = "classes"

    def __init__(
        self, tokenizer: Tokenizer, *, seq_len: int, weights: NDArray[np.float64] | None = None, pairs: bool = False
    ) -> None:
        super().__init__(Frame.pair(tokenizer) if pairs else Frame.single(tokenizer), seq_len=seq_len, weights=weights)

    def units(self, data: ClassExamples, rng: np.random.Generator) -> Units:
        """Rows of (example,)."""
        return np.arange(len(data))[:, None]

    def example(self, data: ClassExamples, unit: Units, rng: np.random.Generator) -> LabelledExample:
        """A text, or two."""
        number = int(unit[0])
        ids, types = framed(self._frame, [side[number] for side in data.texts], self._room)
        return LabelledExample(ids, types, data.classes[number : number + 1], np.empty(0, np.int64))

    def logits(self, model: Transformer, batch: LabelledBatch) -> Float[Tensor, "n labels"]:
        """Of each sequence."""
        encoder, hidden = encoded(model, batch.packed, batch.types)
        return encoder.class_logits(hidden, lengths=batch.packed.lengths).float()

    @torch.inference_mode()
    def evaluate(self, model: Transformer, batches: Iterator[LabelledBatch], n_bytes: int) -> dict[str, float]:
        """Loss in nats an example, accuracy, macro-F1."""
        return self._predict(model, batches)[0]


class TagObjective(_Labels):
    """Tags of words.

    Args:
        tokenizer: must put a token before a text ([CLS]).
        seq_len: the most tokens a sequence.
        labels: names of the tags.
        weights: of the tags in the loss; None counts each word alike.

    Raises:
        ConfigError: `seq_len` leaves no room, or the tokenizer puts no token first.
    """

    name = "tags"

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        seq_len: int,
        labels: Sequence[str],
        weights: NDArray[np.float64] | None = None,
    ) -> None:
        super().__init__(Frame.single(tokenizer), seq_len=seq_len, weights=weights)
        self._names = tuple(labels)

    def units(self, data: TagExamples, rng: np.random.Generator) -> Units:
        """Rows of (sentence, first word, end): as many words as fit."""
        rows = list[tuple[int, int, int]]()
        for sentence in range(len(data)):
            places, end = data.words[sentence], int(data.ids.lengths[sentence])
            rows += [(sentence, first, last) for first, last in cut_between_words(places, end, self._room)]
        return np.array(rows, dtype=np.int64).reshape(-1, 3)

    def example(self, data: TagExamples, unit: Units, rng: np.random.Generator) -> LabelledExample:
        """A sentence, or a piece of one."""
        sentence, first, last = unit.tolist()
        places = data.words[sentence]
        start = int(places[first])
        end = int(places[last]) if last < len(places) else int(data.ids.lengths[sentence])
        ids, types = self._frame.around(data.ids[sentence][start:end][: self._room])
        return LabelledExample(
            ids,
            types,
            targets=data.tags[sentence][first:last],
            places=places[first:last] - start + self._frame.first,
            begins=first == 0,
        )

    def logits(self, model: Transformer, batch: LabelledBatch) -> Float[Tensor, "n labels"]:
        """Of each word."""
        encoder, hidden = encoded(model, batch.packed, batch.types)
        return encoder.tag_logits(hidden[0, batch.places]).float()

    @torch.inference_mode()
    def evaluate(self, model: Transformer, batches: Iterator[LabelledBatch], n_bytes: int) -> dict[str, float]:
        """Loss in nats a word, accuracy and macro-F1 of words; F1 of entities where tags are like B-PER."""
        metrics, expected, found = self._predict(model, batches)
        if metrics and has_entities(self._names):
            named = [[[self._names[tag] for tag in tags] for tags in side] for side in (expected, found)]
            metrics["entity_f1"] = entity_f1(*named)
        return metrics


def framed(frame: Frame, texts: Sequence[Ids], room: int) -> tuple[Ids, Ids]:
    """A sequence and its segment types, of texts that are cut to fit."""
    kept = shorten([len(text) for text in texts], room)
    return frame.around(*(text[:length] for text, length in zip(texts, kept, strict=True)))


def cut_between_words(places: Ids, end: int, room: int) -> list[tuple[int, int]]:
    """First word and end of pieces of at most `room` tokens; a longer word is a piece of its own.

    Args:
        places: each word's first token.
        end: of the last word.
        room: the most tokens a piece.
    """
    pieces = list[tuple[int, int]]()
    ends = np.append(places[1:], end)
    first = 0
    while first < len(places):
        last = max(first + 1, int(np.searchsorted(ends, places[first] + room, side="right")))
        pieces.append((first, last))
        first = last
    return pieces


def balanced(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weights that make every label count alike, however often it occurs (King & Zeng 2001)."""
    weights: NDArray[np.float64] = counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))
    return weights
